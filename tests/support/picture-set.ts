/** Reads a folder with coco.json and cuts it in time: what a camera sees, a gap, and what is held out and never mined. */
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { extname, join, resolve } from 'node:path'
import { Type } from 'typebox'
import { parseJson } from '../../protocol/parse.ts'
import { type LabelledPicture, picturePath } from './truth-labeller.ts'

const Coco = Type.Object({
  images: Type.Array(
    Type.Object({
      id: Type.Integer(),
      file_name: Type.String(),
      width: Type.Integer(),
      height: Type.Integer(),
      source_path: Type.Optional(Type.String()),
    }),
  ),
  annotations: Type.Array(
    Type.Object({
      image_id: Type.Integer(),
      category_id: Type.Integer(),
      bbox: Type.Tuple([Type.Number(), Type.Number(), Type.Number(), Type.Number()]),
      iscrowd: Type.Optional(Type.Integer()),
    }),
  ),
  categories: Type.Array(Type.Object({ id: Type.Integer(), name: Type.String() })),
})

/** Pictures of one film, in time order. */
export interface Clip {
  readonly name: string
  readonly pictures: readonly LabelledPicture[]
}

export interface PictureSet {
  readonly classes: readonly string[]
  readonly clips: readonly Clip[]
}

/** Clips are told apart by the part of `source_path` before `#`; without one the whole set is a single clip in file order. */
export function readPictureSet(folder: string): PictureSet {
  const path = join(folder, 'coco.json')
  if (!existsSync(path)) throw new Error(`${path} is not there: --dataset wants a folder with coco.json and images/`)
  const coco = parseJson(Coco, readFileSync(path, 'utf8'), path)
  const labels = new Map(coco.categories.map(({ id, name }) => [id, name]))
  const boxes = new Map<number, LabelledPicture['boxes'][number][]>()
  for (const { image_id, category_id, bbox, iscrowd } of coco.annotations) {
    if (iscrowd) continue
    const [x, y, w, h] = bbox
    boxes.set(image_id, [...(boxes.get(image_id) ?? []), { box: [x, y, x + w, y + h], label: labels.get(category_id) ?? '?' }])
  }
  const clips = new Map<string, { at: number; picture: LabelledPicture }[]>()
  for (const [index, image] of coco.images.entries()) {
    const source = image.source_path?.split('/').at(-1) ?? 'clip'
    const at = /#t=(\d+)/.exec(source)
    const name = source.split('#')[0]!
    const picture = {
      path: resolve(picturePath(folder, image.file_name)),
      width: image.width,
      height: image.height,
      boxes: boxes.get(image.id) ?? [],
    }
    clips.set(name, [...(clips.get(name) ?? []), { at: at ? Number(at[1]) : index, picture }])
  }
  return {
    classes: coco.categories.map(({ name }) => name),
    clips: [...clips].map(([name, entries]) => ({
      name,
      pictures: entries.sort((a, b) => a.at - b.at).map(({ picture }) => picture),
    })),
  }
}

/** The first 60 % in time are seen, the next 10 % are a gap, the last 30 % are held out. */
export function cutInTime(pictures: readonly LabelledPicture[]): { seen: LabelledPicture[]; heldOut: LabelledPicture[] } {
  const n = pictures.length
  return { seen: pictures.slice(0, Math.round(n * 0.6)), heldOut: pictures.slice(Math.round(n * 0.7)) }
}

/** A folder that a folder camera plays in this order. */
export function stageFolder(folder: string, pictures: readonly LabelledPicture[]): string {
  mkdirSync(folder, { recursive: true })
  for (const [index, { path }] of pictures.entries())
    symlinkSync(path, join(folder, `${String(index).padStart(5, '0')}${extname(path)}`))
  return folder
}
