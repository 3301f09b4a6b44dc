/** Pictures with the most wrong with them at the scores that would be deployed. */
import { iou } from '../../protocol/boxes.ts'
import type { EvaluatedPicture } from './coco.ts'
import type { Prediction } from './matching.ts'

export interface WorstPicture {
  /** Place in the list that was given. */
  readonly index: number
  readonly missed: number
  readonly spurious: number
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
      let missed = 0
      for (const truth of truths) {
        const hit = [...free].find((each) => each.label === truth.label && iou(each.box, truth.box) >= 0.5)
        if (hit) free.delete(hit)
        else if (!truth.ignore) missed++
      }
      return { index, missed, spurious: free.size, predictions: counted }
    })
    .filter(({ missed, spurious }) => missed + spurious > 0)
    .sort((a, b) => b.missed + b.spurious - (a.missed + a.spurious))
    .slice(0, most)
}
