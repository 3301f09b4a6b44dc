/** Fits scores to what they turn out to be worth: a slope and an offset of the logit per class (Platt 1999; temperature scaling, Guo et al. 2017, with a bias). */
import type { Ranking } from './average-precision.ts'

/** score' = sigmoid(scale * logit(score) + shift); a positive scale keeps the order. */
export interface ScoreScale {
  readonly scale: number
  readonly shift: number
}

export const unchanged: ScoreScale = { scale: 1, shift: 0 }

/** Weight of "leave it as it is": so many detections' worth of evidence. */
const prior = 4
/** Fewer right or wrong detections than this say too little of a class. */
const fewest = 10
const lowest = 0.1

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
const logit = (p: number) => Math.log(p / (1 - p))
const bounded = (p: number) => Math.min(1 - 1e-6, Math.max(1e-6, p))

export const rescaled = (score: number, { scale, shift }: ScoreScale): number => sigmoid(scale * logit(bounded(score)) + shift)

/** Newton's method on the cross-entropy with a quadratic pull towards no change; the problem is convex. */
export function fitScale(scores: readonly number[], right: readonly boolean[]): ScoreScale {
  const hits = right.filter(Boolean).length
  if (Math.min(hits, right.length - hits) < fewest) return unchanged
  const x = scores.map((score) => logit(bounded(score)))
  let [a, b] = [1, 0]
  for (let iteration = 0; iteration < 50; iteration++) {
    let [ga, gb, haa, hab, hbb] = [prior * (a - 1), prior * b, prior, 0, prior]
    for (const [i, value] of x.entries()) {
      const p = sigmoid(a * value + b)
      const error = p - Number(right[i])
      const w = Math.max(1e-9, p * (1 - p))
      ga += error * value
      gb += error
      haa += w * value * value
      hab += w * value
      hbb += w
    }
    const determinant = haa * hbb - hab * hab
    const [da, db] = [(hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant]
    a = Math.max(lowest, a - Math.max(-1, Math.min(1, da)))
    b -= Math.max(-2, Math.min(2, db))
    if (Math.abs(da) + Math.abs(db) < 1e-9) break
  }
  return { scale: a, shift: b }
}

/** One scale a class, from detections matched at IoU 0.5. */
export function fitScales(rankings: readonly Pick<Ranking, 'scores' | 'outcome'>[]): ScoreScale[] {
  return rankings.map(({ scores, outcome }) => {
    const kept = [...(outcome[0] ?? [])].flatMap((result, i) => (result < 0 ? [] : [{ score: scores[i]!, right: result === 1 }]))
    return fitScale(
      kept.map(({ score }) => score),
      kept.map(({ right }) => right),
    )
  })
}

/** The same detections with the new scores; their order within a class stays. */
export function withScales<T extends Pick<Ranking, 'scores'>>(rankings: readonly T[], scales: readonly ScoreScale[]): T[] {
  return rankings.map((ranking, i) => ({
    ...ranking,
    scores: ranking.scores.map((score) => rescaled(score, scales[i] ?? unchanged)),
  }))
}
