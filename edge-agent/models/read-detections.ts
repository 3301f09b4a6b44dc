/** From the numbers that a model gave to detections in the picture's pixels, as the manifest names and the protocol has them. */
import { type Box, clip } from '../../protocol/boxes.ts'
import { MuninnError } from '../../protocol/errors.ts'
import type { Detection } from '../../protocol/primitives.ts'
import { inEnglish, say } from '../../protocol/sentences.ts'
import type { RawDetections } from '../detector/detector.ts'

/** Picture pixels to model-input pixels; the two differ only for a `stretch` input. */
export interface InputScale {
  readonly x: number
  readonly y: number
}

/** Detections of one frame that the protocol takes. */
const maxDetections = 1000

const finite = (values: Float32Array) => values.every((value) => Number.isFinite(value))

/**
 * @param floor lowest score that is of interest
 * @throws MuninnError BAD_MODEL for NaN, infinite values or another number of classes than the manifest names
 */
export function readDetections(
  { boxes, scores, classes, embedding }: RawDetections,
  options: { labels: readonly string[]; picture: { width: number; height: number }; scale: InputScale; floor?: number },
): Detection[] {
  const { labels, picture, scale, floor = 0.05 } = options
  if (!finite(boxes) || !finite(scores) || !finite(embedding))
    throw new MuninnError('BAD_MODEL', inEnglish(say('update.not-finite')))
  const count = boxes.length / 4
  if (count > 0 && classes !== labels.length)
    throw new MuninnError('BAD_MODEL', inEnglish(say('update.other-classes', { given: classes, named: labels.length })))
  const detections: Detection[] = []
  for (let index = 0; index < count; index++) {
    let best = 0
    for (let label = 1; label < classes; label++) {
      if (scores[index * classes + label]! > scores[index * classes + best]!) best = label
    }
    const score = scores[index * classes + best]!
    if (score < floor) continue
    if (score > 1.001) throw new MuninnError('BAD_MODEL', inEnglish(say('update.score', { score })))
    const side = (offset: number, by: number) => boxes[index * 4 + offset]! / by
    const inPicture: Box = [side(0, scale.x), side(1, scale.y), side(2, scale.x), side(3, scale.y)]
    const box = clip(inPicture, picture.width, picture.height)
    detections.push({ box: [...box], label: labels[best]!, score: Math.min(score, 1) })
  }
  return detections.sort((a, b) => b.score - a.score).slice(0, maxDetections)
}

/** Score from which a detection of this class counts; 0.5 where the manifest has none. */
export function thresholdOf(thresholds: Readonly<Record<string, number>>, label: string): number {
  return thresholds[label] ?? 0.5
}
