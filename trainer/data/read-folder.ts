/** Reads a labelled folder: coco.json beside images/ (or the pictures themselves), or YOLO's images/ and labels/ with data.yaml. */
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import sharp from 'sharp'
import { Type } from 'typebox'
import { parse as parseYaml } from 'yaml'
import { clip } from '../../protocol/boxes.ts'
import { MuninnError } from '../../protocol/errors.ts'
import { parse } from '../../protocol/parse.ts'
import { CocoTruth, cornersOf, readCoco } from '../evaluation/coco-files.ts'
import type { LabelledSample } from './sample.ts'

export interface LabelledFolder {
  readonly classes: readonly string[]
  readonly samples: readonly LabelledSample[]
}

const pictureNames = /\.(jpe?g|png|webp|bmp|tiff?|avif)$/i

/** @throws MuninnError NOT_FOUND, INVALID_INPUT naming the file */
export async function readFolder(folder: string): Promise<LabelledFolder> {
  if (existsSync(join(folder, 'coco.json'))) return await readCocoFolder(folder)
  if (existsSync(join(folder, 'labels'))) return await readYoloFolder(folder)
  throw new MuninnError(
    'NOT_FOUND',
    `${folder} holds no labelled pictures: a coco.json beside images/, or images/ and labels/ with data.yaml, is wanted`,
  )
}

async function readCocoFolder(folder: string): Promise<LabelledFolder> {
  const path = join(folder, 'coco.json')
  const coco = await readCoco(path, CocoTruth)
  const categories = coco.categories.toSorted((a, b) => a.id - b.id)
  const labelOf = new Map(categories.map(({ id }, index) => [id, index]))
  const boxes = new Map<string | number, LabelledSample['labels'][number][]>()
  for (const { image_id, category_id, bbox, iscrowd } of coco.annotations) {
    const label = labelOf.get(category_id)
    if (label === undefined)
      throw new MuninnError(
        'INVALID_INPUT',
        `${path}: an annotation of image ${image_id} has the unknown category ${category_id}`,
      )
    const list = boxes.get(image_id) ?? []
    list.push({ box: cornersOf(bbox), label, ...(iscrowd && { ignore: true }) })
    boxes.set(image_id, list)
  }
  const samples = coco.images.map(({ id, file_name }) => {
    if (!file_name) throw new MuninnError('INVALID_INPUT', `${path}: image ${id} has no file_name`)
    const found = [join(folder, 'images', file_name), join(folder, file_name)].find((each) => existsSync(each))
    if (!found)
      throw new MuninnError('NOT_FOUND', `${path} names ${file_name}, which is neither in ${folder}/images nor in ${folder}`)
    return { path: found, labels: boxes.get(id) ?? [] }
  })
  return { classes: categories.map(({ name }) => name), samples }
}

const DataYaml = Type.Object({ names: Type.Union([Type.Array(Type.String()), Type.Record(Type.String(), Type.String())]) })

/** YOLO: a text file a picture, one line a box: class, centre x, centre y, width, height, all relative. */
async function readYoloFolder(folder: string): Promise<LabelledFolder> {
  const yaml = ['data.yaml', 'data.yml'].map((name) => join(folder, name)).find((each) => existsSync(each))
  if (!yaml) throw new MuninnError('NOT_FOUND', `${folder} has labels/ but no data.yaml with the class names`)
  const { names } = parse(DataYaml, parseYaml(await readFile(yaml, 'utf8')), yaml)
  const classes = Array.isArray(names) ? names : Object.values(names)
  const files = (await readdir(join(folder, 'images'), { recursive: true })).filter((name) => pictureNames.test(name)).sort()
  const samples = await Promise.all(
    files.map(async (name): Promise<LabelledSample> => {
      const path = join(folder, 'images', name)
      const labelPath = join(folder, 'labels', `${name.slice(0, -extname(name).length)}.txt`)
      if (!existsSync(labelPath)) return { path, labels: [] }
      const { width = 0, height = 0 } = await sharp(path).metadata()
      const lines = (await readFile(labelPath, 'utf8')).split(/\r?\n/).filter((line) => line.trim() !== '')
      return {
        path,
        labels: lines.map((line, i) =>
          yoloLabel(line, { width, height, classes: classes.length, where: `${basename(labelPath)} line ${i + 1}` }),
        ),
      }
    }),
  )
  return { classes, samples }
}

function yoloLabel(
  line: string,
  { width, height, classes, where }: { width: number; height: number; classes: number; where: string },
) {
  const [label, x, y, w, h] = line.trim().split(/\s+/).map(Number)
  if (
    ![label, x, y, w, h].every((each) => Number.isFinite(each)) ||
    !Number.isInteger(label) ||
    label! < 0 ||
    label! >= classes
  ) {
    throw new MuninnError(
      'INVALID_INPUT',
      `${where}: 'class x y width height' with a class below ${classes} is wanted, it says '${line}'`,
    )
  }
  const box = [(x! - w! / 2) * width, (y! - h! / 2) * height, (x! + w! / 2) * width, (y! + h! / 2) * height] as const
  return { label: label!, box: clip(box, width, height) }
}
