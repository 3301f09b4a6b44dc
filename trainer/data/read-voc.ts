/** Pascal VOC folders: an XML file a picture, in Annotations/ with JPEGImages/ (VOCdevkit), or beside the pictures (LabelImg, Roboflow). */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { DOMParser, type Element } from '@xmldom/xmldom'
import { MuninnError } from '../../protocol/errors.ts'
import {
  type DeclaredFolder,
  type DeclaredPicture,
  type DeclaredSplit,
  pictureNames,
  some,
  splitOf,
  splits,
  stemOf,
} from './declared.ts'

interface VocObject {
  readonly name: string
  /** xmin ymin xmax ymax as written. */
  readonly box: readonly [number, number, number, number]
  readonly difficult: boolean
}

interface VocFile {
  readonly path: string
  readonly filename: string
  readonly size: { readonly width: number; readonly height: number } | null
  readonly objects: readonly VocObject[]
}

export async function readVocFolder(folder: string, files: readonly string[]): Promise<DeclaredFolder> {
  const read = await Promise.all(
    files
      .filter((path) => /\.xml$/i.test(path))
      .map(async (path) => readVoc(await readFile(path, 'utf8'), { path, where: relative(folder, path) })),
  )
  const annotations = read.filter((each) => each !== null)
  const classes = [...new Set(annotations.flatMap(({ objects }) => objects.map(({ name }) => name)))].sort()
  const pictures = files.filter((path) => pictureNames.test(path))
  const lists = await imageSets(files)
  // The devkit's pixels are numbered from 1, both ends included (Detectron2 reads them so); a 0 anywhere says that this folder's are not.
  const origin = annotations.some(({ objects }) => objects.some(({ box }) => box[0] === 0 || box[1] === 0)) ? 0 : 1
  const found = new Set<string>()
  const missing: string[] = []
  const declared: DeclaredPicture[] = []
  for (const annotation of annotations) {
    const path = pictureOf(annotation, pictures)
    if (!path) {
      missing.push(`${annotation.filename} (${relative(folder, annotation.path)})`)
      continue
    }
    found.add(path)
    declared.push({
      path,
      split: lists.get(basename(stemOf(annotation.path))) ?? splitOf(annotation.path, folder) ?? splitOf(path, folder),
      boxes: annotation.objects.map(({ name, box: [x1, y1, x2, y2], difficult }) => ({
        corners: [x1 - origin, y1 - origin, x2, y2],
        label: classes.indexOf(name),
        // Neither right nor wrong, as in VOC's own evaluation.
        ...(difficult && { ignore: true }),
      })),
      unit: annotation.size,
    })
  }
  const unlabelled = pictures.filter((path) => !found.has(path)).map((path) => relative(folder, path))
  const notes =
    unlabelled.length > 0 ? [`${unlabelled.length} pictures have no XML file and are left out: ${some(unlabelled)}`] : []
  return { classes, pictures: declared, missing, notes }
}

/** By the name of the XML file, nearest folder first; else by the name that stands in it. */
function pictureOf({ path, filename }: VocFile, pictures: readonly string[]): string | undefined {
  const stem = basename(stemOf(path))
  const [near, root] = [dirname(path), dirname(dirname(path))]
  const same = pictures.filter((each) => basename(stemOf(each)) === stem)
  return (
    same.find((each) => dirname(each) === near) ??
    same.find((each) => each.startsWith(root)) ??
    same[0] ??
    pictures.find((each) => basename(each) === basename(filename))
  )
}

/** ImageSets/Main/train.txt, val.txt, test.txt: names without ending. */
async function imageSets(files: readonly string[]): Promise<Map<string, DeclaredSplit>> {
  const sets = new Map<string, DeclaredSplit>()
  for (const [file, split] of [
    ['train.txt', 'train'],
    ['val.txt', 'valid'],
    ['test.txt', 'test'],
  ] as const) {
    const path = files.find((each) => each.endsWith(join('ImageSets', 'Main', file)))
    if (!path || !existsSync(path) || !splits.includes(split)) continue
    for (const name of (await readFile(path, 'utf8')).split(/\s+/).filter((each) => each !== '')) sets.set(name, split)
  }
  return sets
}

/** @returns null for an XML file that is no annotation */
function readVoc(text: string, { path, where }: { path: string; where: string }): VocFile | null {
  const refuse = (why: string, cause?: unknown) => new MuninnError('INVALID_INPUT', `${where}: ${why}`, { cause })
  let root: Element | null
  try {
    const quiet = new DOMParser({
      onError: (level, message) => {
        if (level !== 'warning') throw new Error(message)
      },
    })
    root = quiet.parseFromString(text, 'text/xml').documentElement
  } catch (cause) {
    throw refuse(`it is no well-formed XML (${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)})`, cause)
  }
  if (root?.tagName !== 'annotation') return null
  const number = (parent: Element | undefined, name: string) => {
    const value = Number(parent && textOf(parent, name))
    return parent && Number.isFinite(value) ? value : null
  }
  const size = child(root, 'size')
  const [width, height] = [number(size, 'width'), number(size, 'height')]
  const objects = children(root, 'object').map((object, i): VocObject => {
    const name = textOf(object, 'name')
    const bounds = child(object, 'bndbox')
    const box = ['xmin', 'ymin', 'xmax', 'ymax'].map((each) => number(bounds, each))
    if (!name || box.some((each) => each === null))
      throw refuse(`object ${i + 1} wants a name and a bndbox with xmin, ymin, xmax, ymax`)
    return { name, box: box as [number, number, number, number], difficult: textOf(object, 'difficult') === '1' }
  })
  return { path, filename: textOf(root, 'filename') ?? '', size: width && height ? { width, height } : null, objects }
}

const children = (parent: Element, name: string): Element[] => {
  const found: Element[] = []
  for (let node = parent.firstChild; node; node = node.nextSibling)
    if (node.nodeType === node.ELEMENT_NODE && node.nodeName === name) found.push(node as Element)
  return found
}
const child = (parent: Element, name: string): Element | undefined => children(parent, name)[0]
const textOf = (parent: Element, name: string): string | undefined => child(parent, name)?.textContent?.trim() || undefined
