/** Runs a deployed file over labelled pictures and pairs what it found with the truth, class names matched between the two. */

import { decodePicture } from '../data/picture.ts'
import type { LabelledSample } from '../data/sample.ts'
import { type Found, PictureDetector } from '../inference/detector.ts'
import type { EvaluatedPicture } from './coco.ts'

export interface MeasuredModel {
  /** Labels are indices into the classes that were asked for. */
  readonly pictures: readonly EvaluatedPicture[]
  readonly embeddings: readonly Float32Array[]
  /** Median of the inference alone. */
  readonly milliseconds: number
  readonly detector: Pick<PictureDetector, 'specification' | 'width' | 'height'>
}

/** @param classes of the samples' labels; detections of other classes are left out, classes the model lacks are simply missed */
export async function measureModel(
  model: Uint8Array,
  {
    samples,
    classes,
    threads,
    signal,
    onPicture,
  }: {
    samples: readonly LabelledSample[]
    classes: readonly string[]
    threads?: number
    signal?: AbortSignal
    onPicture?: (done: number) => void
  },
): Promise<MeasuredModel> {
  const detector = await PictureDetector.load(model, { threads })
  try {
    const labelOf = detector.specification.classes.map((name) => classes.indexOf(name))
    const pictures: EvaluatedPicture[] = []
    const embeddings: Float32Array[] = []
    const times: number[] = []
    for (const [i, { path, labels }] of samples.entries()) {
      signal?.throwIfAborted()
      const { found, embedding, milliseconds } = await detector.detect(await decodePicture(path))
      const known = found.flatMap(({ label, ...rest }: Found) =>
        labelOf[label]! >= 0 ? [{ ...rest, label: labelOf[label]! }] : [],
      )
      pictures.push({ truths: labels, predictions: known })
      embeddings.push(embedding)
      times.push(milliseconds)
      onPicture?.(i + 1)
    }
    return { pictures, embeddings, milliseconds: times.sort((a, b) => a - b)[times.length >> 1] ?? 0, detector }
  } finally {
    await detector.stop()
  }
}
