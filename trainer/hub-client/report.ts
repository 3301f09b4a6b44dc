/** The report of a run: challenger and champion, the exact files, on the same held-out pictures. */
import { createHash } from 'node:crypto'
import type { DatasetRecord } from '../../protocol/http/datasets.ts'
import type { Evaluation } from '../../protocol/http/reports.ts'
import type { LabelledSample } from '../data/sample.ts'
import { type Analysed, analyse } from '../evaluation/analysis.ts'
import { difference, type Scored } from '../evaluation/compare.ts'
import { measureModel } from '../evaluation/measure.ts'

const worstFrames = 12

export interface Judged {
  readonly evaluation: Evaluation
  readonly scored: Scored
  readonly analysed: Analysed
}

export async function judge(
  model: Uint8Array,
  {
    samples,
    records,
    classes,
    threads,
    signal,
    onPicture,
  }: {
    samples: readonly LabelledSample[]
    records: readonly DatasetRecord[]
    classes: readonly string[]
    threads?: number
    signal: AbortSignal
    onPicture: () => void
  },
): Promise<Judged> {
  const { pictures, milliseconds } = await measureModel(model, { samples, classes, threads, signal, onPicture })
  const analysed = analyse(pictures, { classes, most: worstFrames })
  return {
    scored: analysed.scored,
    analysed,
    evaluation: {
      model: createHash('sha256').update(model).digest('hex'),
      images: pictures.length,
      ...analysed.intervals,
      perClass: analysed.perClass,
      worst: worstOf(analysed, records, classes),
      millisecondsPerImage: milliseconds,
    },
  }
}

export const compare = (challenger: Judged, champion: Judged) => difference(challenger.scored, champion.scored)

/** Frames with the most missed and made-up objects at the proposed thresholds. */
function worstOf({ worst }: Analysed, records: readonly DatasetRecord[], classes: readonly string[]): Evaluation['worst'] {
  return worst.map(({ index, missed, spurious, predictions }) => ({
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
