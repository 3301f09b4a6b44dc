/** The report of a run: challenger and champion, the exact files, on the same held-out pictures. */
import { createHash } from 'node:crypto'
import { iou } from '../../protocol/boxes.ts'
import type { DatasetRecord, Evaluation } from '../../protocol/http/training.ts'
import type { LabelledSample } from '../data/sample.ts'
import type { EvaluatedPicture } from '../evaluation/coco.ts'
import { difference, intervals, perClass, type Scored, score } from '../evaluation/compare.ts'
import { measureModel } from '../evaluation/measure.ts'

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
  return pictures
    .map(({ truths, predictions }, i) => {
      const counted = predictions.filter(({ label, score }) => score >= thresholds[label]!)
      const free = new Set(counted)
      let missed = 0
      for (const truth of truths) {
        const hit = [...free].find((each) => each.label === truth.label && iou(each.box, truth.box) >= 0.5)
        if (hit) free.delete(hit)
        else missed++
      }
      return {
        image: records[i]!.image,
        missed,
        spurious: free.size,
        detections: counted.map(({ box, label, score }) => ({
          box: [...box] as [number, number, number, number],
          label: classes[label]!,
          score,
        })),
      }
    })
    .filter(({ missed, spurious }) => missed + spurious > 0)
    .sort((a, b) => b.missed + b.spurious - (a.missed + a.spurious))
    .slice(0, worstFrames)
}
