/** Means over seeds, and paired differences to `base` with hierarchical bootstrap intervals: seeds drawn, then pictures (Davison and Hinkley 1997, 3.8). */

import { Random } from '../../trainer/detector/random.ts'
import { meanOf } from '../../trainer/evaluation/average-precision.ts'
import { type Interval, type Precision, precisionOf, type Scored } from '../../trainer/evaluation/compare.ts'

export interface Row {
  readonly dataset: string
  readonly labels: number
  readonly variant: string
  readonly seeds: number
  readonly seconds: number
  /** Expected calibration error, mean over seeds. */
  readonly ECE: number
  readonly mAP50: Interval
  readonly 'mAP50-95': Interval
  /** To `base` on the same pictures with the same seeds; null for base itself, and where it was not run. */
  readonly difference: { readonly mAP50: Interval; readonly 'mAP50-95': Interval } | null
}

const resamples = 300
const measures = ['mAP50', 'mAP50-95'] as const

type Weighted = (weights?: Int32Array) => Precision

function bootstrap(seeds: readonly Weighted[], pictures: number): Record<(typeof measures)[number], Interval> {
  const random = new Random(1)
  const mean = (values: readonly Precision[]) => ({
    mAP50: meanOf(values.map((each) => each.mAP50)),
    'mAP50-95': meanOf(values.map((each) => each['mAP50-95'])),
  })
  const value = mean(seeds.map((of) => of()))
  const drawn = Array.from({ length: resamples }, () => {
    const weights = new Int32Array(pictures)
    for (let i = 0; i < pictures; i++) weights[random.integer(pictures)]!++
    return mean(seeds.map(() => seeds[random.integer(seeds.length)]!(weights)))
  })
  const interval = (measure: (typeof measures)[number]): Interval => {
    const values = drawn.map((each) => each[measure]).sort((a, b) => a - b)
    const at = (share: number) => values[Math.round(share * (values.length - 1))]!
    return { value: value[measure], low: at(0.025), high: at(0.975) }
  }
  return { mAP50: interval('mAP50'), 'mAP50-95': interval('mAP50-95') }
}

/** @param seeds detections of one variant by seed, all on the same held-out pictures */
export function precisionOverSeeds(seeds: readonly Scored[]): Record<(typeof measures)[number], Interval> {
  return bootstrap(
    seeds.map((scored) => (weights?: Int32Array) => precisionOf(scored, weights)),
    seeds[0]!.pictures,
  )
}

/** @param pairs of the variant and base, by seed */
export function differenceOverSeeds(
  pairs: readonly { readonly variant: Scored; readonly base: Scored }[],
): Record<(typeof measures)[number], Interval> {
  const minus = (a: Precision, b: Precision) => ({ mAP50: a.mAP50 - b.mAP50, 'mAP50-95': a['mAP50-95'] - b['mAP50-95'] })
  return bootstrap(
    pairs.map(
      ({ variant, base }) =>
        (weights?: Int32Array) =>
          minus(precisionOf(variant, weights), precisionOf(base, weights)),
    ),
    pairs[0]!.base.pictures,
  )
}
