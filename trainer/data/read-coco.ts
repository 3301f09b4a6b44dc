/** COCO detection files: coco.json beside images/, Roboflow's train/_annotations.coco.json, CVAT's annotations/instances_default.json. */
import { existsSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { MuninnError } from '../../protocol/errors.ts'
import { CocoTruth, cornersOf, notExhaustiveCategories, readCoco } from '../evaluation/coco-files.ts'
import { type DeclaredFolder, type DeclaredPicture, splitOf } from './declared.ts'

const names = /^(coco|annotations|_annotations\.coco|instances_\w+)\.json$/i

/** The COCO files of a folder: its own, or one in each split. */
export const cocoFiles = (files: readonly string[]): string[] => {
  const found = files.filter((path) => names.test(basename(path)))
  const own = found.filter((path) => basename(path) === 'coco.json')
  return own.length > 0 ? own : found
}

export async function readCocoFolder(folder: string, paths: readonly string[]): Promise<DeclaredFolder> {
  const files = await Promise.all(paths.map(async (path) => ({ path, coco: await readCoco(path, CocoTruth) })))
  const classes: string[] = []
  const notes: string[] = []
  for (const { coco } of files) {
    for (const { name } of coco.categories.filter((each) => !isPlaceholder(each, coco)).sort((a, b) => a.id - b.id))
      if (!classes.includes(name)) classes.push(name)
  }
  const pictures: DeclaredPicture[] = []
  let partialPictures = 0
  const missing: string[] = []
  for (const { path, coco } of files) {
    const labelOf = new Map(coco.categories.map(({ id, name }) => [id, classes.indexOf(name)]))
    const boxes = new Map<string | number, DeclaredPicture['boxes'][number][]>(coco.images.map(({ id }) => [id, []]))
    for (const { image_id, category_id, bbox, iscrowd, ignore } of coco.annotations) {
      const [label, list] = [labelOf.get(category_id) ?? -1, boxes.get(image_id)]
      if (label < 0)
        throw new MuninnError(
          'INVALID_INPUT',
          `${path}: an annotation of image ${image_id} has the unknown category ${category_id}; add it to categories`,
        )
      if (!list) throw new MuninnError('INVALID_INPUT', `${path}: an annotation names image ${image_id}, which images lacks`)
      list.push({ corners: cornersOf(bbox), label, ...((iscrowd || ignore) && { ignore: true }) })
    }
    const here = dirname(path)
    const partial = notExhaustiveCategories(coco)
    // A file that lacks a class of the others was labelled without it.
    const unknown = [...classes.keys()].filter((label) => ![...labelOf.values()].includes(label))
    for (const { id, file_name, width, height } of coco.images) {
      if (!file_name) throw new MuninnError('INVALID_INPUT', `${path}: image ${id} has no file_name`)
      const found = [join(here, 'images'), here, join(folder, 'images'), folder]
        .map((place) => join(place, file_name))
        .find((each) => existsSync(each))
      if (!found) missing.push(`${file_name} (${relative(folder, path)})`)
      else {
        const notExhaustive = [
          ...unknown,
          ...(partial.get(id) ?? []).map((category) => labelOf.get(category)!).filter((label) => label >= 0),
        ]
        if (notExhaustive.length > 0) partialPictures++
        pictures.push({
          path: found,
          split: splitOf(path, folder),
          boxes: boxes.get(id) ?? [],
          ...(notExhaustive.length > 0 && { notExhaustive }),
          unit: width && height ? { width, height } : null,
        })
      }
    }
  }
  if (partialPictures > 0)
    notes.push(
      `${partialPictures} of ${pictures.length} pictures were not labelled for every class: where a class was not looked for, nothing is learnt of it and nothing is counted against it`,
    )
  return { classes, pictures, missing, notes }
}

/** Roboflow puts the name of the whole set first, as the parent of the real classes; nothing is labelled so. */
const isPlaceholder = (
  { id, name }: { id: number; name: string },
  {
    categories,
    annotations,
  }: { categories: readonly { supercategory?: string }[]; annotations: readonly { category_id: number }[] },
): boolean =>
  id === 0 &&
  categories.some(({ supercategory }) => supercategory === name) &&
  !annotations.some(({ category_id }) => category_id === id)
