/** Precision at 101 recall levels from matched detections of many pictures (pycocotools, cocoeval.py, accumulate). */
import { linspace } from './linspace.ts'
import type { Matched } from './matching.ts'

/** Recall levels 0, 0.01, ... 1. */
export const recallLevels: readonly number[] = linspace(0, 1, 101)

/** All detections of one class over all pictures by falling score, ready to be weighted again and again. */
export interface Ranking {
  readonly scores: Float64Array
  readonly picture: Int32Array
  /** [threshold][detection]: 1 right, 0 wrong, -1 left out */
  readonly outcome: readonly Int8Array[]
  /** True boxes by picture. */
  readonly positives: Int32Array
}

/** Equal scores stay in the order of the pictures, as in a merge sort. */
export function rank(pictures: readonly Matched[]): Ranking {
  const flat = pictures.flatMap(({ scores }, picture) => scores.map((score, index) => ({ score, picture, index })))
  flat.sort((a, b) => b.score - a.score)
  const thresholds = pictures[0]?.outcome.length ?? 0
  return {
    scores: Float64Array.from(flat, ({ score }) => score),
    picture: Int32Array.from(flat, ({ picture }) => picture),
    outcome: Array.from({ length: thresholds }, (_, t) =>
      Int8Array.from(flat, ({ picture, index }) => pictures[picture]!.outcome[t]![index]!),
    ),
    positives: Int32Array.from(pictures, ({ positives }) => positives),
  }
}

export interface Curve {
  /** At the 101 recall levels. */
  readonly precision: Float64Array
  readonly score: Float64Array
  /** Greatest recall. */
  readonly recall: number
}

/**
 * @param weights how often each picture counts (bootstrap); once when left out
 * @returns null when no true box counts
 */
export function curveOf({ picture, outcome, positives, scores }: Ranking, threshold: number, weights?: Int32Array): Curve | null {
  const of = weights ? (p: number) => weights[p]! : () => 1
  let total = 0
  for (let p = 0; p < positives.length; p++) total += positives[p]! * of(p)
  if (total === 0) return null
  const results = outcome[threshold] ?? new Int8Array(0)
  const recalls: number[] = []
  const precisions: number[] = []
  const kept: number[] = []
  let right = 0
  let wrong = 0
  for (let i = 0; i < results.length; i++) {
    const weight = of(picture[i]!)
    if (weight === 0) continue
    if (results[i] === 1) right += weight
    else if (results[i] === 0) wrong += weight
    recalls.push(right / total)
    // np.spacing(1) as in the original, so that nothing at all divides to 0.
    precisions.push(right / (right + wrong + Number.EPSILON))
    kept.push(scores[i]!)
  }
  for (let i = precisions.length - 1; i > 0; i--) precisions[i - 1] = Math.max(precisions[i - 1]!, precisions[i]!)
  const precision = new Float64Array(101)
  const score = new Float64Array(101)
  let at = 0
  for (const [level, recall] of recallLevels.entries()) {
    while (at < recalls.length && recalls[at]! < recall) at++
    if (at === recalls.length) break
    precision[level] = precisions[at]!
    score[level] = kept[at]!
  }
  return { precision, score, recall: recalls.at(-1) ?? 0 }
}

export function meanOf(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return sum / values.length
}
