/**
 * YOLO folders: a text file a picture, one line a box, `class x y width height` as shares of the picture. Layouts: images/ and labels/
 * (with or without splits below), Roboflow's train|valid|test/images, or pictures and texts side by side.
 */
import { readFile } from 'node:fs/promises'
import { basename, join, relative, sep } from 'node:path'
import { type Static, Type } from 'typebox'
import { parse as parseYaml } from 'yaml'
import { MuninnError } from '../../protocol/errors.ts'
import { parse } from '../../protocol/parse.ts'
import { type DeclaredFolder, type DeclaredPicture, pictureNames, some, splitOf, stemOf } from './declared.ts'

const Names = Type.Union([Type.Array(Type.String()), Type.Record(Type.String(), Type.String())])
const DataYaml = Type.Object({ names: Names })

/** Ids as the label files write them, in order; they may have gaps. */
type ClassIds = readonly { readonly id: number; readonly name: string }[]

export const looksLikeYolo = (files: readonly string[]): boolean =>
  files.some((path) => path.split(sep).includes('labels') && path.endsWith('.txt')) ||
  (files.some((path) => pictureNames.test(path)) && (namesFile(files) !== undefined || yamlFile(files) !== undefined))

const yamlFile = (files: readonly string[]) =>
  files.find((path) => /^(data|dataset)\.ya?ml$/i.test(basename(path))) ?? files.find((path) => /\.ya?ml$/i.test(path))
const namesFile = (files: readonly string[]) =>
  files.find((path) => /^(classes\.txt|obj\.names|.+\.names)$/i.test(basename(path)))

export async function readYoloFolder(folder: string, files: readonly string[]): Promise<DeclaredFolder> {
  const ids = await classIds(folder, files)
  const texts = new Set(files.filter((path) => path.endsWith('.txt')))
  const pictures: DeclaredPicture[] = []
  const unlabelled: string[] = []
  for (const path of files.filter((each) => pictureNames.test(each))) {
    const labels = labelFiles(path).find((each) => texts.has(each))
    if (labels) texts.delete(labels)
    else unlabelled.push(relative(folder, path))
    const boxes = labels ? readLabels(await readFile(labels, 'utf8'), { ids, where: relative(folder, labels) }) : []
    pictures.push({ path, split: splitOf(path, folder), boxes, unit: 'shares' })
  }
  // Texts under labels/ that no picture belongs to; elsewhere a text may be anything.
  const missing = [...texts]
    .filter((path) => path.split(sep).includes('labels') && basename(path) !== 'classes.txt')
    .map((path) => `the picture of ${relative(folder, path)}`)
  const notes =
    unlabelled.length > 0
      ? [`${unlabelled.length} pictures have no label file and count as showing nothing: ${some(unlabelled)}`]
      : []
  return { classes: ids.map(({ name }) => name), pictures, missing, notes }
}

/** Where the labels of a picture may be: labels/ in the place of images/ (as Ultralytics looks for them), else beside it. */
function labelFiles(path: string): string[] {
  const parts = path.split(sep)
  const at = parts.lastIndexOf('images')
  const beside = `${stemOf(path)}.txt`
  if (at < 0) return [beside]
  return [`${stemOf([...parts.slice(0, at), 'labels', ...parts.slice(at + 1)].join(sep))}.txt`, beside]
}

async function classIds(folder: string, files: readonly string[]): Promise<ClassIds> {
  const yaml = yamlFile(files)
  if (yaml) return idsOf(parse(DataYaml, parseYaml(await readFile(yaml, 'utf8')), yaml).names, yaml)
  const list = namesFile(files)
  if (list) {
    const names = (await readFile(list, 'utf8')).split(/\r?\n/).map((line) => line.trim())
    return names.flatMap((name, id) => (name === '' ? [] : [{ id, name }]))
  }
  throw new MuninnError(
    'NOT_FOUND',
    `${folder} has YOLO labels but no class names: add ${join(folder, 'data.yaml')} with a line like  names: [car, person]`,
  )
}

function idsOf(names: Static<typeof Names>, file: string): ClassIds {
  const ids = Object.entries(names).map(([id, name]) => ({ id: Number(id), name }))
  const odd = ids.find(({ id }) => !Number.isInteger(id) || id < 0)
  if (odd) throw new MuninnError('INVALID_INPUT', `${file}: names has the key of '${odd.name}', which is no class number`)
  return ids.sort((a, b) => a.id - b.id)
}

/** Lines with more numbers are polygons (segmentation labels), of which the box around them is taken; six numbers end with a score. */
function readLabels(text: string, { ids, where }: { ids: ClassIds; where: string }): DeclaredPicture['boxes'] {
  return text.split(/\r?\n/).flatMap((line, i) => {
    if (line.trim() === '') return []
    const [id, ...numbers] = line.trim().split(/\s+/).map(Number)
    const refuse = (why: string) =>
      new MuninnError('INVALID_INPUT', `${where} line ${i + 1} says '${line.trim().slice(0, 60)}': ${why}`)
    if (numbers.length < 4 || ![id, ...numbers].every((each) => Number.isFinite(each)))
      throw refuse("'class x y width height' is wanted, all numbers")
    const label = ids.findIndex((each) => each.id === id)
    if (label < 0)
      throw refuse(`there is no class ${id}; the names end at ${ids.at(-1)?.id ?? 'none'}. Add it to the names, or mend the line`)
    if (numbers.some((each) => each > 1.5))
      throw refuse('YOLO wants shares of the picture between 0 and 1, not pixels. Divide by its width and height')
    if (numbers.length <= 5) {
      const [x, y, w, h] = numbers as [number, number, number, number]
      return [{ corners: [x - w / 2, y - h / 2, x + w / 2, y + h / 2], label }]
    }
    const [xs, ys] = [numbers.filter((_, k) => k % 2 === 0), numbers.filter((_, k) => k % 2 === 1)]
    return [{ corners: [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)], label }]
  })
}
