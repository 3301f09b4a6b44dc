/** One cell of the few-labels benchmark (a data set, a number of labels, a seed, a variant): trained, measured, and kept as a JSON line and a file of detections. */
import { existsSync } from 'node:fs'
import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Static, Type } from 'typebox'
import { parse, parseJson } from '../../protocol/parse.ts'
import type { DeviceChoice } from '../../trainer/engine/devices/choose-device.ts'
import type { EvaluatedPicture } from '../../trainer/evaluation/coco.ts'
import { precisionOf, score } from '../../trainer/evaluation/compare.ts'
import { measureModel } from '../../trainer/evaluation/measure.ts'
import { writeAside } from '../../trainer/files/write-aside.ts'
import { chosen } from '../../trainer/loop/choose.ts'
import { trainWithUnlabelled } from '../../trainer/loop/self-train.ts'
import { type TrainOptions, train } from '../../trainer/loop/train.ts'
import { drawLabels, type FewLabelsSet } from './few-labels-data.ts'
import { trainWithPyTorch } from './few-labels-python.ts'
import type { Variant } from './few-labels-variants.ts'

/** More pictures without labels than this only take time. */
const mostUnlabelled = 200

export const Cell = Type.Object({
  dataset: Type.String(),
  labels: Type.Integer(),
  seed: Type.Integer(),
  variant: Type.String(),
  /** Start, size and steps: cells of other settings are not compared. */
  setting: Type.String(),
  mAP50: Type.Number(),
  'mAP50-95': Type.Number(),
  seconds: Type.Number(),
})
export type Cell = Static<typeof Cell>

const Place = Type.Object({
  box: Type.Tuple([Type.Number(), Type.Number(), Type.Number(), Type.Number()]),
  label: Type.Integer(),
})
const Pictures = Type.Array(
  Type.Object({
    truths: Type.Array(Type.Intersect([Place, Type.Object({ ignore: Type.Optional(Type.Boolean()) })])),
    predictions: Type.Array(Type.Intersect([Place, Type.Object({ score: Type.Number() })])),
  }),
)

type Key = Pick<Cell, 'dataset' | 'labels' | 'seed' | 'variant' | 'setting'>
const fields = ['dataset', 'labels', 'seed', 'variant', 'setting'] as const
export const sameCell = (a: Key, b: Key): boolean => fields.every((field) => a[field] === b[field])
const fileOf = (out: string, key: Key) => join(out, 'cells', `${fields.map((field) => key[field]).join('_')}.json`)

/** Cells that earlier runs left in the folder. */
export async function readCells(out: string): Promise<Cell[]> {
  const path = join(out, 'cells.jsonl')
  if (!existsSync(path)) return []
  // A run that was cut off may have left half a line; its cell is run again.
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line.endsWith('}'))
  return lines.map((line, i) => parseJson(Cell, line, `${path} line ${i + 1}`))
}

export async function readPictures(out: string, key: Key): Promise<EvaluatedPicture[]> {
  const path = fileOf(out, key)
  return parse(Pictures, JSON.parse(await readFile(path, 'utf8')), path)
}

async function trainHere(
  settings: TrainOptions,
  { variant, pool, heldOut }: Pick<FewLabelsSet, 'pool' | 'heldOut'> & { variant: Variant },
) {
  const begun = performance.now()
  const labelled = new Set(settings.samples.map(({ path }) => path))
  const paths = pool.flatMap(({ path }) => (labelled.has(path) ? [] : [path])).slice(0, mostUnlabelled)
  const tuned = variant.choose ? await chosen(settings, { share: variant.choose }) : settings
  const { model } = variant.unlabelled ? await trainWithUnlabelled(tuned, { paths, teacher: null }) : await train(tuned)
  const seconds = (performance.now() - begun) / 1000
  const { pictures } = await measureModel(model, { samples: heldOut, classes: settings.classes })
  return { pictures, seconds }
}

export async function runCell(options: {
  key: Key
  set: FewLabelsSet
  variant: Variant
  base: Uint8Array | null
  size: number
  steps: number
  device: DeviceChoice
  out: string
  python: string
}): Promise<Cell> {
  const { key, set, variant, base, size, steps, device, out, python } = options
  const { classes, pool, heldOut } = set
  const samples = drawLabels(pool, key.labels, key.seed)
  const settings = { base, classes, samples, inputSize: size, steps, device, seed: key.seed, ...variant.options }
  const { pictures, seconds } = variant.python
    ? await trainWithPyTorch(settings, { heldOut, python })
    : await trainHere(settings, { variant, pool, heldOut })
  const cell: Cell = {
    ...key,
    ...precisionOf(score(pictures, classes.length)),
    seconds: Math.round(seconds * 10) / 10,
  }
  await mkdir(join(out, 'cells'), { recursive: true })
  await writeAside(fileOf(out, key), JSON.stringify(pictures))
  await appendFile(join(out, 'cells.jsonl'), `\n${JSON.stringify(cell)}`)
  return cell
}
