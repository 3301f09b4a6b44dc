/** A model on held-out pictures, with bootstrap intervals; and two models on the same pictures, resampled together (Efron and Tibshirani 1993). */
import type { Evaluation } from '../../protocol/http/reports.ts'
import { Random } from '../detector/random.ts'
import { curveOf, meanOf, type Ranking, rank } from './average-precision.ts'
import type { EvaluatedPicture } from './coco.ts'
import { iouThresholds, match } from './matching.ts'

export interface Interval {
  readonly value: number
  readonly low: number
  readonly high: number
}

const range = [0, 1e10] as const
const most = 100
const resamples = 1000

/** Matched once; every resample only weighs the pictures anew. */
export interface Scored {
  readonly rankings: readonly Ranking[]
  readonly pictures: number
}

export function score(pictures: readonly EvaluatedPicture[], classes: number): Scored {
  const rankings = Array.from({ length: classes }, (_, label) =>
    rank(
      pictures.map(({ truths, predictions }) =>
        match(
          truths.filter((each) => each.label === label),
          predictions.filter((each) => each.label === label),
          range,
          most,
        ),
      ),
    ),
  )
  return { rankings, pictures: pictures.length }
}

export interface Precision {
  readonly mAP50: number
  readonly 'mAP50-95': number
}

/** Means over the classes that have true boxes (in this resample); 0 when none has. */
export function precisionOf({ rankings }: Scored, weights?: Int32Array): Precision {
  const at50: number[] = []
  const all: number[] = []
  for (const ranking of rankings) {
    const first = curveOf(ranking, 0, weights)
    if (!first) continue
    at50.push(meanOf(first.precision))
    all.push(meanOf(iouThresholds.map((_, t) => meanOf((t === 0 ? first : curveOf(ranking, t, weights)!).precision))))
  }
  return { mAP50: at50.length > 0 ? meanOf(at50) : 0, 'mAP50-95': all.length > 0 ? meanOf(all) : 0 }
}

function* resampled(pictures: number, seed: number): Generator<Int32Array> {
  const random = new Random(seed)
  for (let i = 0; i < resamples; i++) {
    const weights = new Int32Array(pictures)
    for (let j = 0; j < pictures; j++) weights[random.integer(pictures)]!++
    yield weights
  }
}

/** The middle 95 % of the resampled values. */
function interval(value: number, values: number[]): Interval {
  values.sort((a, b) => a - b)
  const at = (share: number) => values[Math.min(values.length - 1, Math.max(0, Math.round(share * (values.length - 1))))] ?? value
  return { value, low: at(0.025), high: at(0.975) }
}

const measures = ['mAP50', 'mAP50-95'] as const
export type Intervals = Record<(typeof measures)[number], Interval>

/** 95 % percentile intervals over pictures. */
export function intervals(scored: Scored, seed = 1): Intervals {
  const samples = [...resampled(scored.pictures, seed)].map((weights) => precisionOf(scored, weights))
  const value = precisionOf(scored)
  return {
    mAP50: interval(
      value.mAP50,
      samples.map((each) => each.mAP50),
    ),
    'mAP50-95': interval(
      value['mAP50-95'],
      samples.map((each) => each['mAP50-95']),
    ),
  }
}

/** Challenger minus champion, both on the same resampled pictures, so that what is hard for both cancels out. */
export function difference(challenger: Scored, champion: Scored, seed = 1): Intervals {
  const samples = [...resampled(challenger.pictures, seed)].map((weights) => ({
    a: precisionOf(challenger, weights),
    b: precisionOf(champion, weights),
  }))
  const [a, b] = [precisionOf(challenger), precisionOf(champion)]
  const of = (measure: (typeof measures)[number]) =>
    interval(
      a[measure] - b[measure],
      samples.map((each) => each.a[measure] - each.b[measure]),
    )
  return { mAP50: of('mAP50'), 'mAP50-95': of('mAP50-95') }
}

/** Per class: counts, precision, curve, and the score with the best F1. */
export function perClass({ rankings }: Scored, classes: readonly string[]): Evaluation['perClass'] {
  return classes.map((label, i) => {
    const ranking = rankings[i]!
    const curves = iouThresholds.map((_, t) => curveOf(ranking, t))
    const [first] = curves
    return {
      label,
      truths: ranking.positives.reduce((sum, each) => sum + each, 0),
      AP50: first ? meanOf(first.precision) : 0,
      'AP50-95': first ? meanOf(curves.map((each) => meanOf(each!.precision))) : 0,
      threshold: bestThreshold(ranking),
      precision: first ? [...first.precision] : [],
    }
  })
}

/** Score with the greatest F1 at IoU 0.5; 0.3 where there is nothing to tell by. */
function bestThreshold({ scores, outcome, positives }: Ranking): number {
  const total = positives.reduce((sum, each) => sum + each, 0)
  let right = 0
  let wrong = 0
  let best = { f1: 0, score: 0.3 }
  for (const [i, result] of (outcome[0] ?? new Int8Array(0)).entries()) {
    if (result === 1) right++
    else if (result === 0) wrong++
    const f1 = (2 * right) / (right + wrong + total)
    if (f1 > best.f1) best = { f1, score: scores[i]! }
  }
  return Math.min(0.95, Math.max(0.05, best.score))
}
