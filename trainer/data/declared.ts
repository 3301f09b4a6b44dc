/** What annotation files say of pictures, before anybody looked at the pictures: what every format is read into. */
import { readdir, stat } from 'node:fs/promises'
import { extname, join, sep } from 'node:path'

export const splits = ['train', 'valid', 'test'] as const
export type DeclaredSplit = (typeof splits)[number]

export interface DeclaredPicture {
  readonly path: string
  /** As the folder's own layout has it. */
  readonly split: DeclaredSplit | null
  /** Corners x1 y1 x2 y2. */
  readonly boxes: readonly { readonly corners: readonly number[]; readonly label: number; readonly ignore?: boolean }[]
  /** Classes that were not exhaustively labelled here. */
  readonly notExhaustive?: readonly number[]
  /** Whether corners are shares of the picture as it is shown, or pixels of one that is so large (null: of the stored file). */
  readonly unit: 'shares' | { readonly width: number; readonly height: number } | null
}

export interface DeclaredFolder {
  readonly classes: readonly string[]
  /** In time order as far as the format or the names tell. */
  readonly pictures: readonly DeclaredPicture[]
  /** Pictures that annotations name and that are not there. */
  readonly missing: readonly string[]
  /** What people should know: what was taken for what, what was left out. */
  readonly notes: readonly string[]
}

export const pictureNames = /\.(jpe?g|png|webp|bmp|tiff?|avif|gif)$/i

/** So that frame-9 comes before frame-10. */
const natural = new Intl.Collator('en', { numeric: true })

/** Every file under a folder, links followed, in natural order of their paths. */
export async function filesUnder(folder: string, depth = 6): Promise<string[]> {
  const found: string[] = []
  for (const name of (await readdir(folder)).filter((each) => !each.startsWith('.'))) {
    const path = join(folder, name)
    // A link that leads nowhere is a missing file, which is told by whoever wants it.
    const kind = await stat(path).catch(() => null)
    if (kind?.isFile()) found.push(path)
    else if (kind?.isDirectory() && depth > 0) found.push(...(await filesUnder(path, depth - 1)))
  }
  return found.sort(natural.compare)
}

/** By a part of the path below the folder: train/images/1.jpg, images/val2017/1.jpg. */
export function splitOf(path: string, folder: string): DeclaredSplit | null {
  for (const part of path.slice(folder.length).split(sep).slice(0, -1)) {
    const [, name] = /^(train|valid|val|test)(?:ing|ation)?\d*$/i.exec(part) ?? []
    if (name) return name.toLowerCase() === 'val' ? 'valid' : (splits.find((each) => each === name.toLowerCase()) ?? null)
  }
  return null
}

export const stemOf = (path: string): string => path.slice(0, path.length - extname(path).length)

/** "a, b, c and 4 more". */
export function some(names: readonly string[], most = 3): string {
  const rest = names.length - most
  return rest > 0 ? `${names.slice(0, most).join(', ')} and ${rest} more` : names.join(', ')
}
