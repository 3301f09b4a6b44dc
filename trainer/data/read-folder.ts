/** Reads a folder of labelled pictures, whatever its format (COCO, YOLO, Pascal VOC), looks at every picture, and says what is wrong with them. */
import { stat } from 'node:fs/promises'
import { relative } from 'node:path'
import { MuninnError } from '../../protocol/errors.ts'
import { type DeclaredFolder, type DeclaredSplit, filesUnder, some } from './declared.ts'
import { inspectPicture, placeBox } from './inspect-picture.ts'
import { cocoFiles, readCocoFolder } from './read-coco.ts'
import { readVocFolder } from './read-voc.ts'
import { looksLikeYolo, readYoloFolder } from './read-yolo.ts'
import { type LabelledSample, notExhaustive } from './sample.ts'

export interface FolderSample extends LabelledSample {
  /** Path below its folder. */
  readonly name: string
  readonly split: DeclaredSplit | null
  readonly sha256: string
  readonly thumbnail: Uint8Array
}

export interface LabelledFolder {
  readonly classes: readonly string[]
  /** In time order as far as can be told. */
  readonly samples: readonly FolderSample[]
  readonly notes: readonly string[]
}

export interface ReadOptions {
  /** Leave out pictures that are missing or cannot be decoded, instead of refusing the folder. */
  readonly skipBroken?: boolean
  readonly onPicture?: (done: number, of: number) => void
}

const parallel = 4

/** @throws MuninnError NOT_FOUND, INVALID_INPUT naming the file, BAD_PICTURE naming the pictures; each with the cure */
export async function readFolder(folder: string, { skipBroken = false, onPicture }: ReadOptions = {}): Promise<LabelledFolder> {
  const declared = await declaredIn(folder)
  const faults = declared.missing.map((name) => `${name} is missing`)
  const samples: (FolderSample | null)[] = []
  const lost: string[] = []
  let next = 0
  let done = 0
  const work = async () => {
    for (let i = next++; i < declared.pictures.length; i = next++) {
      const { path, split, boxes, unit, notExhaustive: partial = [] } = declared.pictures[i]!
      const name = relative(folder, path)
      samples[i] = null
      try {
        const picture = await inspectPicture(path)
        const labels = boxes.flatMap(({ corners, ...rest }) => {
          const box = placeBox(corners, unit, picture)
          if (!box) lost.push(name)
          return box ? [{ box, ...rest }] : []
        })
        samples[i] = {
          path,
          name,
          split,
          labels: [...labels, ...partial.map(notExhaustive)],
          sha256: picture.sha256,
          thumbnail: picture.thumbnail,
        }
      } catch (error) {
        faults.push(`${name} cannot be decoded (${error instanceof Error ? error.message : String(error)})`)
      }
      onPicture?.(++done, declared.pictures.length)
    }
  }
  await Promise.all(Array.from({ length: parallel }, work))
  const notes = [...declared.notes]
  if (faults.length > 0) {
    const told = `${faults.length} of ${declared.pictures.length + declared.missing.length} pictures: ${some(faults, 5)}`
    if (!skipBroken)
      throw new MuninnError(
        'BAD_PICTURE',
        `${folder}: ${told}. Put good files in their place, or leave them out with --skip-broken`,
      )
    notes.push(`left out ${told}`)
  }
  if (lost.length > 0)
    notes.push(`${lost.length} boxes have no area inside their picture and are left out: ${some([...new Set(lost)])}`)
  return { classes: declared.classes, samples: samples.filter((each) => each !== null), notes }
}

async function declaredIn(folder: string): Promise<DeclaredFolder> {
  if (!(await stat(folder).catch(() => null))?.isDirectory())
    throw new MuninnError('NOT_FOUND', `${folder} is no folder: name one with labelled pictures`)
  const files = await filesUnder(folder)
  const coco = cocoFiles(files)
  if (coco.length > 0) return await readCocoFolder(folder, coco)
  if (files.some((path) => /\.xml$/i.test(path))) {
    const voc = await readVocFolder(folder, files)
    if (voc.pictures.length + voc.missing.length > 0) return voc
  }
  if (looksLikeYolo(files)) return await readYoloFolder(folder, files)
  throw new MuninnError(
    'NOT_FOUND',
    `${folder} holds no labelled pictures. Wanted is one of
  COCO   coco.json, and the pictures in images/ or beside it
  YOLO   data.yaml (names), images/ and labels/, or train/ and valid/ with both in each
  VOC    Annotations/*.xml and JPEGImages/, or an .xml beside each picture`,
  )
}
