/** A training without a hub: a data set in, a folder with model, curves and checkpoint out; interrupted, it goes on where it was. */
import { existsSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Static, Type } from 'typebox'
import { parseJson } from '../../protocol/parse.ts'
import type { DataSet } from '../data/data-set.ts'
import { precisionOf, score } from '../evaluation/compare.ts'
import { measureModel } from '../evaluation/measure.ts'
import { writeAside } from '../files/write-aside.ts'
import { type Beyond, trainBeyondLabels } from './beyond-labels.ts'
import type { TrainOptions, TrainResult } from './train.ts'

/** Held-out pictures that a model in training is measured on: a look, no choice is made by it. */
const glance = 40
/** Points that a curve keeps. */
const resolution = 400

const Curves = Type.Array(Type.Object({ step: Type.Integer(), values: Type.Record(Type.String(), Type.Number()) }))
/** A point of the curves: losses, learning rate, mAP50 where it was measured. */
export type CurvePoint = Static<typeof Curves>[number]

export interface FolderTraining extends TrainResult {
  readonly curves: readonly CurvePoint[]
}

export async function trainInto(
  out: string,
  {
    data,
    onLog = () => {},
    onMeasured,
    choose,
    unlabelled,
    ...options
  }: Omit<TrainOptions, 'classes' | 'samples' | 'resume' | 'onCheckpoint' | 'onCandidate'> &
    Omit<Beyond, 'keptAt'> & {
      readonly data: DataSet
      readonly onMeasured?: (mAP50: number, step: number) => void
    },
): Promise<FolderTraining> {
  const [checkpoint, drawn] = [join(out, 'checkpoint.bin'), join(out, 'curves.json')]
  const resume = existsSync(checkpoint) ? await readFile(checkpoint) : null
  const before = resume && existsSync(drawn) ? parseJson(Curves, await readFile(drawn, 'utf8'), drawn) : []
  const points = new Map<number, CurvePoint['values']>()
  const put = (step: number, values: Readonly<Record<string, number>>) => {
    const sane = Object.fromEntries(Object.entries(values).filter(([, value]) => Number.isFinite(value)))
    points.set(step, { ...points.get(step), ...sane })
  }
  const curves = () => [...points].map(([step, values]) => ({ step, values })).sort((a, b) => a.step - b.step)
  const every = Math.max(1, Math.ceil(data.heldOut.length / glance))
  const seen = data.heldOut.filter((_, i) => i % every === 0)
  let first = true
  const settings: TrainOptions = {
    ...options,
    classes: data.classes,
    samples: data.training,
    resume,
    onLog,
    onProgress: (progress) => {
      const { step, steps, losses, rate } = progress
      // Where the checkpoint was not taken, its curves are not either: they belong to the steps before this one.
      if (first) for (const point of before) if (point.step < step) put(point.step, point.values)
      first = false
      if (step % Math.max(1, Math.floor(steps / resolution)) === 0 || step === steps) put(step, { ...losses, learningRate: rate })
      options.onProgress?.(progress)
    },
    onCheckpoint: async (bytes) => {
      await writeAside(drawn, JSON.stringify(curves()))
      await writeAside(checkpoint, bytes)
    },
    onCandidate: async (model, step) => {
      if (seen.length === 0) return
      const { pictures } = await measureModel(model, { samples: seen, classes: data.heldOutClasses, threads: options.threads })
      const found = precisionOf(score(pictures, data.heldOutClasses.length))
      put(step, { ...found })
      onMeasured?.(found.mAP50, step)
    },
  }
  const keptAt = join(out, 'chosen.json')
  const result = await trainBeyondLabels(settings, { choose, unlabelled, keptAt })
  await writeAside(join(out, 'model.onnx'), result.model)
  await writeAside(drawn, JSON.stringify(curves()))
  // What is finished is not gone on with.
  await rm(checkpoint, { force: true })
  await rm(keptAt, { force: true })
  return { ...result, curves: curves() }
}
