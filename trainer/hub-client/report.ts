/** The report of a run: challenger and champion, the exact files, on the same held-out pictures. */
import { createHash } from 'node:crypto'
import type { DatasetRecord, Evaluation } from '../../protocol/http/training.ts'
import type { LabelledSample } from '../data/sample.ts'
import type { EvaluatedPicture } from '../evaluation/coco.ts'
import { difference, intervals, perClass, type Scored, score } from '../evaluation/compare.ts'
import { measureModel } from '../evaluation/measure.ts'
import { worstPictures } from '../evaluation/worst.ts'

const worstFrames = 12

export interface Judged {
  readonly evaluation: Evaluation
  readonly scored: Scored
}

export async function judge(
  model: Uint8Array,
  {
    samples,
    records,
    classes,
    signal,
    onPicture,
  }: {
    samples: readonly LabelledSample[]
    records: readonly DatasetRecord[]
    classes: readonly string[]
    signal: AbortSignal
    onPicture: () => void
  },
): Promise<Judged> {
  const { pictures, milliseconds } = await measureModel(model, { samples, classes, signal, onPicture })
  const scored = score(pictures, classes.length)
  const byClass = perClass(scored, classes)
  return {
    scored,
    evaluation: {
      model: createHash('sha256').update(model).digest('hex'),
      images: pictures.length,
      ...intervals(scored),
      perClass: byClass,
      worst: worstOf(
        pictures,
        records,
        classes,
        byClass.map(({ threshold }) => threshold),
      ),
      millisecondsPerImage: milliseconds,
    },
  }
}

export const compare = (challenger: Judged, champion: Judged) => difference(challenger.scored, champion.scored)

/** Frames with the most missed and made-up objects at the proposed thresholds. */
function worstOf(
  pictures: readonly EvaluatedPicture[],
  records: readonly DatasetRecord[],
  classes: readonly string[],
  thresholds: readonly number[],
): Evaluation['worst'] {
  return worstPictures(pictures, { thresholds, most: worstFrames }).map(({ index, missed, spurious, predictions }) => ({
    image: records[index]!.image,
    missed: missed.length,
    spurious: spurious.length,
    detections: predictions.map(({ box, label, score }) => ({
      box: [...box] as [number, number, number, number],
      label: classes[label]!,
      score,
    })),
  }))
}
