/** Reads COCO ground truth and results files. */
import { readFile } from 'node:fs/promises'
import { type Static, type TSchema, Type } from 'typebox'
import type { Box } from '../../protocol/boxes.ts'
import { MuninnError } from '../../protocol/errors.ts'
import { parseJson } from '../../protocol/parse.ts'
import { notExhaustive } from '../data/sample.ts'
import type { EvaluatedPicture } from './coco.ts'

const Bbox = Type.Array(Type.Number(), { minItems: 4, maxItems: 4 })
const Id = Type.Union([Type.Integer(), Type.String()])

export const CocoTruth = Type.Object({
  images: Type.Array(
    Type.Object({
      id: Id,
      file_name: Type.Optional(Type.String()),
      width: Type.Optional(Type.Number()),
      height: Type.Optional(Type.Number()),
      /** LVIS: categories that somebody looked for and did not find, and those of which not all are labelled. */
      neg_category_ids: Type.Optional(Type.Array(Type.Integer())),
      not_exhaustive_category_ids: Type.Optional(Type.Array(Type.Integer())),
    }),
  ),
  annotations: Type.Array(
    Type.Object({
      image_id: Id,
      category_id: Type.Integer(),
      bbox: Bbox,
      area: Type.Optional(Type.Number()),
      iscrowd: Type.Optional(Type.Union([Type.Integer(), Type.Boolean()])),
      ignore: Type.Optional(Type.Union([Type.Integer(), Type.Boolean()])),
    }),
  ),
  categories: Type.Array(Type.Object({ id: Type.Integer(), name: Type.String(), supercategory: Type.Optional(Type.String()) })),
})

export const CocoResults = Type.Array(
  Type.Object({ image_id: Id, category_id: Type.Integer(), bbox: Bbox, score: Type.Number() }),
)

/** @throws MuninnError NOT_FOUND, INVALID_INPUT naming the file and the field */
export async function readCoco<T extends TSchema>(path: string, schema: T): Promise<Static<T>> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw new MuninnError('NOT_FOUND', `${path} cannot be read`, { cause })
  }
  return parseJson(schema, text, path)
}

/** COCO's [x, y, width, height] as corners. */
export const cornersOf = ([x, y, w, h]: readonly number[]): Box => [x!, y!, x! + w!, y! + h!]

/**
 * Categories by image that were not exhaustively labelled there, as LVIS has it (Gupta et al., CVPR 2019, section 3.3): those that the image
 * says so of, and where images name what they lack (`neg_category_ids`), all that they neither have nor lack.
 */
export function notExhaustiveCategories({
  images,
  annotations,
  categories,
}: Static<typeof CocoTruth>): Map<string | number, number[]> {
  const federated = images.some(({ neg_category_ids }) => neg_category_ids !== undefined)
  const present = groupBy(annotations)
  return new Map(
    images.map(({ id, neg_category_ids = [], not_exhaustive_category_ids = [] }) => {
      const said = new Set([...neg_category_ids, ...(present.get(id) ?? []).map(({ category_id }) => category_id)])
      const doubtful = new Set(not_exhaustive_category_ids)
      const partial = categories.filter((category) => doubtful.has(category.id) || (federated && !said.has(category.id)))
      return [id, partial.map((category) => category.id)]
    }),
  )
}

/** Pictures in the order of their ids, as pycocotools sorts them. */
export function pair(
  truth: Static<typeof CocoTruth>,
  results: Static<typeof CocoResults>,
): { pictures: EvaluatedPicture[]; labels: number[] } {
  const known = new Set(truth.images.map(({ id }) => id))
  const stray = results.find(({ image_id }) => !known.has(image_id))
  if (stray)
    throw new MuninnError('INVALID_INPUT', `the detections name image ${stray.image_id}, which the ground truth does not have`)
  const truths = groupBy(truth.annotations)
  const partial = notExhaustiveCategories(truth)
  const predictions = groupBy(results)
  const ids = [...known].sort((a, b) => (typeof a === 'number' && typeof b === 'number' ? a - b : String(a) < String(b) ? -1 : 1))
  return {
    labels: truth.categories.map(({ id }) => id).sort((a, b) => a - b),
    pictures: ids.map((id) => ({
      truths: [
        ...(truths.get(id) ?? []).map(({ category_id, bbox, area, iscrowd }) => ({
          box: cornersOf(bbox),
          label: category_id,
          area: area ?? bbox[2]! * bbox[3]!,
          ignore: Boolean(iscrowd),
        })),
        ...(partial.get(id) ?? []).map(notExhaustive),
      ],
      predictions: (predictions.get(id) ?? []).map(({ category_id, bbox, score }) => ({
        box: cornersOf(bbox),
        label: category_id,
        score,
      })),
    })),
  }
}

function groupBy<T extends { image_id: string | number }>(items: readonly T[]): Map<string | number, T[]> {
  const groups = new Map<string | number, T[]>()
  for (const item of items) {
    const group = groups.get(item.image_id)
    if (group) group.push(item)
    else groups.set(item.image_id, [item])
  }
  return groups
}
