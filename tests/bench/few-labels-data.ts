/** Cuts a labelled folder so that nothing leaks: near-duplicates and the frames of one clip lie on one side; identical files count once. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import sharp from 'sharp'
import { Type } from 'typebox'
import { parseJson } from '../../protocol/parse.ts'
import { readFolder } from '../../trainer/data/read-folder.ts'
import type { LabelledSample } from '../../trainer/data/sample.ts'
import { Random } from '../../trainer/detector/random.ts'

export interface FewLabelsSet {
  readonly name: string
  readonly classes: readonly string[]
  /** What labels are drawn from. */
  readonly pool: readonly LabelledSample[]
  readonly heldOut: readonly LabelledSample[]
}

const Sources = Type.Object({ images: Type.Array(Type.Object({ source_path: Type.Optional(Type.String()) })) })

/** Least share of the pictures that is held out. */
const heldOutShare = 0.25
/** Of the 64 bits of a difference hash: so near are re-encoded copies and neighbouring frames. */
const nearBits = 5

/** Bits of "darker than the right-hand neighbour" on a small grey picture (dHash, Krawetz 2013). */
async function differenceHash(path: string): Promise<bigint> {
  const grey = await sharp(path).greyscale().resize(9, 8, { fit: 'fill' }).raw().toBuffer()
  let bits = 0n
  for (let row = 0; row < 8; row++)
    for (let x = 0; x < 8; x++) bits = (bits << 1n) | (grey[row * 9 + x]! < grey[row * 9 + x + 1]! ? 1n : 0n)
  return bits
}

function distance(a: bigint, b: bigint): number {
  let count = 0
  for (let rest = a ^ b; rest > 0n; rest &= rest - 1n) count++
  return count
}

/** Index of the group of each item: those that are linked, directly or through others. */
export function grouped(count: number, linked: (a: number, b: number) => boolean): number[] {
  const parents = Array.from({ length: count }, (_, i) => i)
  const root = (i: number): number => (parents[i] === i ? i : root(parents[i]!))
  for (let a = 0; a < count; a++) for (let b = a + 1; b < count; b++) if (linked(a, b)) parents[root(b)] = root(a)
  return parents.map((_, i) => root(i))
}

/** Groups that are held out: drawn until the share is reached; one that is half of the set is always learnt from. */
export function heldOutGroups(groups: readonly number[], share = heldOutShare): Set<number> {
  const sizes = new Map<number, number>()
  for (const group of groups) sizes.set(group, (sizes.get(group) ?? 0) + 1)
  const chosen = new Set<number>()
  let pictures = 0
  for (const group of new Random(2026).shuffle([...sizes.keys()])) {
    if (pictures >= share * groups.length) break
    if (sizes.get(group)! * 2 > groups.length) continue
    chosen.add(group)
    pictures += sizes.get(group)!
  }
  return chosen
}

/** The same cut for every seed and variant. Clips are told apart by the part of `source_path` before `#`. */
export async function readFewLabelsSet(folder: string): Promise<FewLabelsSet> {
  const { classes, samples } = await readFolder(folder)
  const path = join(folder, 'coco.json')
  const { images } = parseJson(Sources, await readFile(path, 'utf8'), path)
  const known = new Set<string>()
  const items: { sample: LabelledSample; clip: string | null; hash: bigint }[] = []
  for (const [i, sample] of samples.entries()) {
    const digest = createHash('sha256')
      .update(await readFile(sample.path))
      .digest('hex')
    if (known.has(digest)) continue
    known.add(digest)
    const source = images[i]?.source_path ?? ''
    const clip = source.includes('#') ? source.split('#')[0]!.split('/').at(-1)! : null
    items.push({ sample, clip, hash: await differenceHash(sample.path) })
  }
  const groups = grouped(items.length, (a, b) => {
    const [first, second] = [items[a]!, items[b]!]
    if (first.clip || second.clip) return first.clip === second.clip
    return distance(first.hash, second.hash) <= nearBits
  })
  const out = heldOutGroups(groups)
  const of = (held: boolean) => items.filter((_, i) => out.has(groups[i]!) === held).map(({ sample }) => sample)
  return { name: basename(folder), classes, pool: of(false), heldOut: of(true) }
}

/** The labels of a seed: the smaller budgets are the first of the larger ones. */
export function drawLabels(pool: readonly LabelledSample[], labels: number, seed: number): LabelledSample[] {
  return new Random(seed * 7919).shuffle(pool).slice(0, labels)
}
