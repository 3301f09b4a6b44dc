/** Detections against ground truth of one picture and one class, step by step as in COCO's evaluation (pycocotools, cocoeval.py, evaluateImg). */

import { area, type Box, intersection } from '../../protocol/boxes.ts'
import { linspace } from './linspace.ts'

export interface Truth {
  readonly box: Box
  readonly label: number
  /** Square pixels of the object; the box's area when left out. */
  readonly area?: number
  /** A crowd or a region to leave out: detections there are neither right nor wrong. */
  readonly ignore?: boolean
}

export interface Prediction {
  readonly box: Box
  readonly label: number
  readonly score: number
}

/** IoU thresholds 0.50, 0.55, ... 0.95. */
export const iouThresholds: readonly number[] = linspace(0.5, 0.95, 10)

/** Whether a detection lies, for the greater part, in a region of its class that is left out: then it is no error. */
export const liesIn = (regions: readonly Truth[], { label, box }: Prediction): boolean =>
  regions.some((region) => region.label === label && 2 * intersection(box, region.box) > area(box))

/** Outcome of a picture's detections of one class, by falling score. */
export interface Matched {
  readonly scores: readonly number[]
  /** [threshold][detection]: 1 right, 0 wrong, -1 left out */
  readonly outcome: readonly Int8Array[]
  /** True boxes that count. */
  readonly positives: number
}

const sizeOf = (truth: Truth): number => truth.area ?? area(truth.box)

/** @param range square pixels of true boxes (and of unmatched detections) that count, both ends included */
export function match(
  truths: readonly Truth[],
  predictions: readonly Prediction[],
  range: readonly [number, number],
  most: number,
): Matched {
  const detections = predictions.toSorted((a, b) => b.score - a.score).slice(0, most)
  const outside = (size: number) => size < range[0] || size > range[1]
  const leftOut = truths.map((truth) => truth.ignore === true || outside(sizeOf(truth)))
  // Those that count come first; the order among equals stays.
  const order = [...truths.keys()].sort((a, b) => Number(leftOut[a]) - Number(leftOut[b]) || a - b)
  const ious = detections.map(({ box }) =>
    order.map((t) => {
      const truth = truths[t]!
      const shared = intersection(box, truth.box)
      const union = truth.ignore ? area(box) : area(box) + area(truth.box) - shared
      return union > 0 ? shared / union : 0
    }),
  )
  const outcome = iouThresholds.map((threshold) => {
    const taken = new Uint8Array(order.length)
    return Int8Array.from(detections, (detection, d) => {
      let best = Math.min(threshold, 1 - 1e-10)
      let found = -1
      for (const [g, t] of order.entries()) {
        const free = truths[t]!.ignore === true
        if (taken[g] && !free) continue
        if (found >= 0 && !leftOut[order[found]!] && leftOut[t]) break
        if (ious[d]![g]! < best) continue
        best = ious[d]![g]!
        found = g
      }
      if (found < 0) return outside(area(detection.box)) ? -1 : 0
      taken[found] = 1
      return leftOut[order[found]!] ? -1 : 1
    })
  })
  return { scores: detections.map(({ score }) => score), outcome, positives: leftOut.filter((each) => !each).length }
}
