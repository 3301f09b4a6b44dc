/** Whether a score means a probability: reliability by bins of the score (Guo et al. 2017; for detectors Küppers et al. 2020). */
import type { Ranking } from './average-precision.ts'

export interface Bin {
  readonly low: number
  readonly high: number
  readonly count: number
  /** Mean score of its detections, and the share of them that are right (IoU 0.5); 0 in an empty bin. */
  readonly confidence: number
  readonly precision: number
}

export interface Calibration {
  /** Expected calibration error: |precision - confidence| over the bins, by their counts. 0 is perfect. */
  readonly ECE: number
  readonly bins: readonly Bin[]
}

/** @param rankings of every class; detections that are left out (in crowds) do not count */
export function calibrationOf(rankings: readonly Pick<Ranking, 'scores' | 'outcome'>[], count = 10): Calibration {
  const sums = Array.from({ length: count }, () => ({ count: 0, score: 0, right: 0 }))
  for (const { scores, outcome } of rankings) {
    for (const [i, result] of (outcome[0] ?? new Int8Array(0)).entries()) {
      if (result < 0) continue
      const sum = sums[Math.min(count - 1, Math.floor(scores[i]! * count))]!
      sum.count++
      sum.score += scores[i]!
      if (result === 1) sum.right++
    }
  }
  const total = sums.reduce((all, sum) => all + sum.count, 0)
  const bins = sums.map(({ count: n, score, right }, i) => ({
    low: i / count,
    high: (i + 1) / count,
    count: n,
    confidence: n > 0 ? score / n : 0,
    precision: n > 0 ? right / n : 0,
  }))
  const ECE = bins.reduce((sum, bin) => sum + (bin.count * Math.abs(bin.precision - bin.confidence)) / Math.max(1, total), 0)
  return { ECE, bins }
}
