/** From a histogram to the range that a uint8 activation covers, by three rules. Pure. */
import type { Histogram } from './histogram.ts'

export const rangeRules = ['min-max', 'percentile', 'mse'] as const
export type RangeRule = (typeof rangeRules)[number]

export interface Range {
  readonly low: number
  readonly high: number
}

/** real = (stored - zeroPoint) scale */
export interface ActivationScale {
  readonly scale: number
  readonly zeroPoint: number
}

const levels = 255
/** Share of values that the percentile rule lets saturate, at both ends together (99.99 %, Wu et al. 2020, 3.2). */
const saturated = 1e-4

/** The range always holds 0, which padding and ReLU need to be exact. */
export function rangeOf(histogram: Histogram, rule: RangeRule): Range {
  const whole = { low: Math.min(0, histogram.min), high: Math.max(0, histogram.max) }
  if (histogram.total === 0 || whole.low === whole.high) return { low: 0, high: 1 }
  if (rule === 'min-max') return whole
  return rule === 'percentile' ? percentile(histogram, whole) : leastError(histogram, whole)
}

function percentile(histogram: Histogram, whole: Range): Range {
  const ends = whole.low < 0 && whole.high > 0 ? 2 : 1
  const allowed = (histogram.total * saturated) / ends
  const entries = [...histogram.entries()]
  const edge = (from: readonly { value: number; count: number }[], fallback: number) => {
    let passed = 0
    for (const { value, count } of from) {
      passed += count
      if (passed > allowed) return value
    }
    return fallback
  }
  const low = whole.low < 0 ? Math.min(0, edge(entries, 0)) : 0
  const high = whole.high > 0 ? Math.max(0, edge(entries.toReversed(), 0)) : 0
  return low === high ? whole : { low, high }
}

/** Shrinks the range in steps and takes the one with the least mean squared error: rounding (step^2 / 12) inside, clipping outside (Banner et al. 2019). */
function leastError(histogram: Histogram, whole: Range): Range {
  const entries = [...histogram.entries()]
  let best = { range: whole, error: Number.POSITIVE_INFINITY }
  for (let share = 100; share >= 20; share -= 2) {
    const range = { low: (whole.low * share) / 100, high: (whole.high * share) / 100 }
    const rounding = ((range.high - range.low) / levels) ** 2 / 12
    let error = 0
    for (const { value, count } of entries) {
      const beyond = Math.max(0, range.low - value, value - range.high)
      error += count * (beyond > 0 ? beyond * beyond : rounding)
    }
    if (error < best.error) best = { range, error }
  }
  return best.range
}

export function scaleOf({ low, high }: Range): ActivationScale {
  const scale = Math.fround((high - low) / levels)
  return { scale, zeroPoint: Math.min(levels, Math.max(0, Math.round(-low / scale))) }
}
