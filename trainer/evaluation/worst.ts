/** Pictures with the most wrong with them at the scores that would be deployed. */
import { iou } from '../../protocol/boxes.ts'
import type { EvaluatedPicture } from './coco.ts'
import { liesIn, type Prediction, type Truth } from './matching.ts'

export interface WorstPicture {
  /** Place in the list that was given. */
  readonly index: number
  readonly missed: readonly Truth[]
  readonly spurious: readonly Prediction[]
  /** What counted: detections at or above their class's threshold. */
  readonly predictions: readonly Prediction[]
}

/** Worst first; pictures with nothing wrong are left out. */
export function worstPictures(
  pictures: readonly EvaluatedPicture[],
  { thresholds, most }: { thresholds: readonly number[]; most: number },
): WorstPicture[] {
  return pictures
    .map(({ truths, predictions }, index) => {
      const counted = predictions.filter(({ label, score }) => score >= thresholds[label]!)
      const free = new Set(counted)
      const missed: Truth[] = []
      for (const truth of truths) {
        const hit = [...free].find((each) => each.label === truth.label && iou(each.box, truth.box) >= 0.5)
        if (hit) free.delete(hit)
        else if (!truth.ignore) missed.push(truth)
      }
      const regions = truths.filter(({ ignore }) => ignore)
      const spurious = [...free].filter((each) => !liesIn(regions, each))
      return { index, missed, spurious, predictions: counted }
    })
    .filter((picture) => wrongs(picture) > 0)
    .sort((a, b) => wrongs(b) - wrongs(a))
    .slice(0, most)
}

const wrongs = ({ missed, spurious }: Pick<WorstPicture, 'missed' | 'spurious'>): number => missed.length + spurious.length
