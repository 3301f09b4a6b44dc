/** Which class is taken for which, at the scores that would be deployed: the confusion matrix with a row and a column for the background. */
import { iou } from '../../protocol/boxes.ts'
import type { EvaluatedPicture } from './coco.ts'
import { liesIn, type Prediction, type Truth } from './matching.ts'

const least = 0.5

/**
 * Objects are paired with detections of their own class first (IoU 0.5, best score first), then with what is left of other classes (best
 * IoU first): a doubtful second detection must not hide that the object was found.
 * @param thresholds lowest score that counts, by class
 * @returns [truth][said]; index `classes` is the background: its row is what was made up, its column what was missed
 */
export function confusion(
  pictures: readonly EvaluatedPicture[],
  { classes, thresholds }: { classes: number; thresholds: readonly number[] },
): number[][] {
  const matrix = Array.from({ length: classes + 1 }, () => new Array<number>(classes + 1).fill(0))
  for (const { truths, predictions } of pictures) {
    const regions = truths.filter(({ ignore }) => ignore)
    const open = new Set<Truth>(truths.filter(({ ignore }) => !ignore))
    const free = new Set<Prediction>(
      predictions.filter(({ label, score }) => score >= thresholds[label]!).sort((a, b) => b.score - a.score),
    )
    const settle = (truth: Truth, prediction: Prediction) => {
      matrix[truth.label]![prediction.label]!++
      open.delete(truth)
      free.delete(prediction)
    }
    for (const prediction of free) {
      const [best] = near([...open], [prediction]).filter(({ truth }) => truth.label === prediction.label)
      if (best) settle(best.truth, prediction)
    }
    for (const { truth, prediction } of near([...open], [...free]))
      if (open.has(truth) && free.has(prediction)) settle(truth, prediction)
    for (const { label } of open) matrix[label]![classes]!++
    for (const prediction of free) if (!liesIn(regions, prediction)) matrix[classes]![prediction.label]!++
  }
  return matrix
}

/** Pairs that lie on each other, best first. */
const near = (truths: readonly Truth[], predictions: readonly Prediction[]) =>
  truths
    .flatMap((truth) => predictions.map((prediction) => ({ truth, prediction, shared: iou(truth.box, prediction.box) })))
    .filter(({ shared }) => shared >= least)
    .sort((a, b) => b.shared - a.shared)
