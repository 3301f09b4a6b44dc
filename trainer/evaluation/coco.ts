/** COCO's detection evaluation: the 12 numbers of pycocotools (cocoeval.py, summarize). */
import { curveOf, meanOf, rank } from './average-precision.ts'
import { iouThresholds, match, type Prediction, type Truth } from './matching.ts'

export interface EvaluatedPicture {
  readonly truths: readonly Truth[]
  readonly predictions: readonly Prediction[]
}

export const cocoNames = ['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR1', 'AR10', 'AR100', 'ARs', 'ARm', 'ARl'] as const
export type CocoNumbers = Record<(typeof cocoNames)[number], number>

const everything = [0, 1e10] as const
const areas = { all: everything, small: [0, 32 ** 2], medium: [32 ** 2, 96 ** 2], large: [96 ** 2, 1e10] } as const

/** Average precision and recall of every class that has true boxes; -1 where there is none, as pycocotools has it. */
function tally(pictures: readonly EvaluatedPicture[], labels: readonly number[], range: readonly [number, number], most: number) {
  const precision: number[][] = iouThresholds.map(() => [])
  const recall: number[][] = iouThresholds.map(() => [])
  for (const label of labels) {
    const ranking = rank(
      pictures.map(({ truths, predictions }) =>
        match(
          truths.filter((each) => each.label === label),
          predictions.filter((each) => each.label === label),
          range,
          most,
        ),
      ),
    )
    for (const t of iouThresholds.keys()) {
      const curve = curveOf(ranking, t)
      if (!curve) continue
      precision[t]!.push(meanOf(curve.precision))
      recall[t]!.push(curve.recall)
    }
  }
  return { precision, recall }
}

const average = (values: readonly number[]): number => (values.length === 0 ? -1 : meanOf(values))

/** @param labels all classes of the data set */
export function evaluateCoco(pictures: readonly EvaluatedPicture[], labels: readonly number[]): CocoNumbers {
  const of = (range: readonly [number, number], most: number) => tally(pictures, labels, range, most)
  const all = of(areas.all, 100)
  const [small, medium, large] = [of(areas.small, 100), of(areas.medium, 100), of(areas.large, 100)]
  return {
    AP: average(all.precision.flat()),
    AP50: average(all.precision[0]!),
    AP75: average(all.precision[5]!),
    APs: average(small.precision.flat()),
    APm: average(medium.precision.flat()),
    APl: average(large.precision.flat()),
    AR1: average(of(areas.all, 1).recall.flat()),
    AR10: average(of(areas.all, 10).recall.flat()),
    AR100: average(all.recall.flat()),
    ARs: average(small.recall.flat()),
    ARm: average(medium.recall.flat()),
    ARl: average(large.recall.flat()),
  }
}
