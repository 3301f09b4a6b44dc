/**
 * Static post-training quantisation of a deployed file: fold, calibrate on pictures of the training split, choose the range rule by what it
 * changes, and leave in float what costs too much (Nagel et al. 2021, "A White Paper on Neural Network Quantization").
 */
import { createHash } from 'node:crypto'
import { MuninnError } from '../../protocol/errors.ts'
import { fitPicture } from '../../protocol/letterbox.ts'
import { decodePicture } from '../data/picture.ts'
import type { LabelledSample } from '../data/sample.ts'
import { specificationOf } from '../detector/specification.ts'
import { precisionOf, score } from '../evaluation/compare.ts'
import { measureModel } from '../evaluation/measure.ts'
import type { Graph } from '../onnx/graph.ts'
import { readOnnx } from '../onnx/read.ts'
import { writeOnnx } from '../onnx/write.ts'
import { calibrate } from './calibrate.ts'
import { disagreement, rawOutputs } from './disagreement.ts'
import { foldImage, foldNormalizations } from './fold.ts'
import type { Histogram } from './histogram.ts'
import { integerForm } from './integer-form.ts'
import { markOf, withMark } from './mark.ts'
import { layerOf, planOf, type Unit } from './plan.ts'
import { type RangeRule, rangeOf, rangeRules, scaleOf } from './ranges.ts'
import { bySensitivity } from './sensitivity.ts'
import { widenStem } from './stem.ts'

export interface QuantizeProgress {
  readonly step: number
  readonly steps: number
  /** What is being done, in words. */
  readonly words: string
}

export interface QuantizeOptions {
  /** Pictures of the training split, with classes as `classes` has them; never held-out ones. */
  readonly samples: readonly LabelledSample[]
  readonly classes: readonly string[]
  readonly threads?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: QuantizeProgress) => void
}

export interface Quantized {
  readonly model: Uint8Array
  readonly rule: RangeRule
  /** Layers that compute in integers, and those that were left in float by measurement. */
  readonly integer: readonly string[]
  readonly floats: readonly string[]
  readonly pictures: number
}

/** Pictures for the ranges: more change little (Nagel et al. 2021, 3.3 use as many). */
const calibrationPictures = 64
/** Of those, pictures that the rules and layers are compared on. */
const comparedPictures = 12
/** Loss on training pictures from which layers are freed: half of what the verdict allows. */
const freeFrom = 0.005
/** Most layers that are freed: beyond, the file would be too slow anyway. */
const mostFreed = 8

/** Every n-th of them, so that all cameras and days are there. */
export function spread<T>(values: readonly T[], count: number): T[] {
  const step = Math.max(1, values.length / count)
  return Array.from({ length: Math.min(count, values.length) }, (_, i) => values[Math.floor(i * step)]!)
}

/** The graph with nothing left to do before its integers. */
export function prepared(graph: Graph): Graph {
  const { rows, scores, feature } = specificationOf(graph)
  const kept = [rows, scores, feature].filter((name) => name !== undefined)
  return widenStem(foldImage(foldNormalizations(graph, kept), kept))
}

/** @throws MuninnError NOT_READY without pictures, BAD_MODEL for a file that is quantised already or has no convolution to quantise */
export async function quantize(
  file: Uint8Array,
  { samples, classes, threads, signal, onProgress }: QuantizeOptions,
): Promise<Quantized> {
  if (samples.length === 0) throw new MuninnError('NOT_READY', 'there are no pictures to calibrate on: ranges come from pictures')
  const float = readOnnx(file)
  if (markOf(float)) throw new MuninnError('BAD_MODEL', 'the file is int8 already; quantise the float file that it came from')
  const { resize } = specificationOf(float)
  const [, height, width] = float.inputs[0]!.shape.map(Number)
  const graph = prepared(float)
  const whole = planOf(graph)
  if (!whole.units.some(({ node }) => node.op === 'Conv'))
    throw new MuninnError('BAD_MODEL', 'there is no convolution with fixed filters in the file, so there is nothing to quantise')

  const chosen = spread(samples, calibrationPictures)
  const images: Uint8Array[] = []
  for (const { path } of chosen) {
    signal?.throwIfAborted()
    images.push(fitPicture(await decodePicture(path), { width: width!, height: height!, resize }).tensor)
  }
  const histograms = await calibrate(graph, [...whole.rangeOf.keys()], {
    images,
    threads,
    signal,
    onImage: (step, steps) => onProgress?.({ step, steps, words: 'calibrating' }),
  })

  const build = (rule: RangeRule, floats: ReadonlySet<string>) => integerGraph(graph, { rule, floats, histograms })
  const compared = spread(images, comparedPictures)
  const wanted = await rawOutputs(float, compared, { threads, signal })
  const distance = async (rule: RangeRule, floats: ReadonlySet<string>) =>
    disagreement(wanted, await rawOutputs(build(rule, floats), compared, { threads, signal }))

  // The last convolutions make numbers, not features: eight bits of a box's sides are coarse, and in float they cost next to nothing.
  const ends = new Set(lastConvolutions(graph, whole.units))
  let best = { rule: rangeRules[0] as RangeRule, floats: new Set<string>(), distance: Number.POSITIVE_INFINITY }
  const choices = rangeRules.flatMap((rule) => [new Set<string>(), ends].map((floats) => ({ rule, floats })))
  for (const [i, { rule, floats }] of choices.entries()) {
    const found = await distance(rule, floats)
    if (found < best.distance) best = { rule, floats: new Set(floats), distance: found }
    onProgress?.({ step: i + 1, steps: choices.length, words: 'choosing ranges' })
  }

  const precision = async (model: Uint8Array) => {
    const { pictures } = await measureModel(model, { samples: chosen, classes, threads, signal })
    return precisionOf(score(pictures, classes.length))
  }
  const goal = await precision(file)
  const loses = async (floats: ReadonlySet<string>) => {
    const now = await precision(writeOnnx(build(best.rule, floats)))
    return Math.max(goal.mAP50 - now.mAP50, goal['mAP50-95'] - now['mAP50-95']) > freeFrom
  }
  const { floats } = best
  if (await loses(floats)) {
    const order = await bySensitivity(whole.units, {
      floats,
      distance: async (others) => await distance(best.rule, others),
      onUnit: (step, steps) => onProgress?.({ step, steps, words: 'looking for sensitive layers' }),
    })
    for (const name of order.slice(0, mostFreed)) {
      floats.add(name)
      if (!(await loses(floats))) break
    }
  }
  const integers = build(best.rule, floats)
  const mark = { v: 1 as const, float: createHash('sha256').update(file).digest('hex') }
  return {
    model: writeOnnx(withMark(integers, mark)),
    rule: best.rule,
    integer: planOf(graph, floats).units.map(layerOf),
    floats: whole.units.filter(({ name }) => floats.has(name)).map(layerOf),
    pictures: images.length,
  }
}

function integerGraph(
  graph: Graph,
  { rule, floats, histograms }: { rule: RangeRule; floats: ReadonlySet<string>; histograms: ReadonlyMap<string, Histogram> },
): Graph {
  const plan = planOf(graph, floats)
  const owners = [...new Set(plan.rangeOf.values())]
  return integerForm(graph, plan, new Map(owners.map((name) => [name, scaleOf(rangeOf(histograms.get(name)!, rule))])))
}

/** Convolutions behind which there is no other, whatever lies between. */
function lastConvolutions(graph: Graph, units: readonly Unit[]): string[] {
  const before = new Set<string>()
  for (const { op, inputs, outputs } of graph.nodes.toReversed())
    if (op === 'Conv' || outputs.some((name) => before.has(name))) for (const name of inputs) before.add(name)
  return units.filter(({ node, name }) => node.op === 'Conv' && !before.has(name)).map(({ name }) => name)
}
