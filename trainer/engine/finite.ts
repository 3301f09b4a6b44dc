/** Finds NaN and infinity in long vectors. */
import type { Slot } from './step-graph.ts'

/** Any NaN or infinity makes the sum of its multiples with 0 NaN: one pass without a call per number. */
export function allFinite(values: Float32Array): boolean {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! * 0
  return sum === 0
}

/** Name of the first tensor of a flat vector that holds NaN or infinity. */
export function firstNotFinite(flat: Float32Array, slots: readonly Slot[]): string | undefined {
  if (allFinite(flat)) return undefined
  return slots.find(({ offset, size }) => !allFinite(flat.subarray(offset, offset + size)))?.name
}
