/** Everything that a report says of a model's detections, from one look at them. */
import type { Analysis, Evaluation } from '../../protocol/http/reports.ts'
import { calibrationOf } from './calibration.ts'
import { type CocoNumbers, type EvaluatedPicture, evaluateCoco } from './coco.ts'
import { type Intervals, intervals, perClass, type Scored, score } from './compare.ts'
import { confusion } from './confusion.ts'
import { errorSplit } from './tide.ts'
import { type WorstPicture, worstPictures } from './worst.ts'

export interface Analysed {
  readonly scored: Scored
  readonly images: number
  readonly numbers: CocoNumbers
  readonly intervals: Intervals
  readonly perClass: Evaluation['perClass']
  readonly analysis: Analysis
  readonly worst: readonly WorstPicture[]
}

export function analyse(
  pictures: readonly EvaluatedPicture[],
  { classes, most = 12 }: { classes: readonly string[]; most?: number },
): Analysed {
  const scored = score(pictures, classes.length)
  const byClass = perClass(scored, classes)
  const thresholds = byClass.map(({ threshold }) => threshold)
  const { ECE, bins } = calibrationOf(scored.rankings)
  const { kinds, ...errors } = errorSplit(pictures, classes.length)
  return {
    scored,
    images: pictures.length,
    numbers: evaluateCoco(pictures, [...classes.keys()]),
    intervals: intervals(scored),
    perClass: byClass,
    analysis: {
      confusion: confusion(pictures, { classes: classes.length, thresholds }),
      errors: { ...errors, kinds: { ...kinds } },
      calibration: { ECE, bins: [...bins] },
    },
    worst: worstPictures(pictures, { thresholds, most }),
  }
}
