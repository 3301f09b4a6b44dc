/** The order of filters in flat vectors: plain, as files and checkpoints have them, or as a step graph wants them. */
import type { Slot } from './step-graph.ts'

/** Moves the numbers of each filter that the graph has in blocks (../gradients/filter-blocks.ts) from one order to the other, in place. */
export function orderFilters(flat: Float32Array, slots: readonly Slot[], to: 'blocks' | 'plain'): void {
  for (const { shape, offset, size, block: b } of slots) {
    if (!b) continue
    const [co, ci, k, l] = shape as [number, number, number, number]
    const numbers = flat.subarray(offset, offset + size)
    const from = numbers.slice()
    let plain = 0
    for (let o = 0; o < co; o++)
      for (let i = 0; i < ci; i++) {
        // Of [ci/b, co/b, k, l, b, b].
        const first = ((Math.floor(i / b) * (co / b) + Math.floor(o / b)) * k * l * b + (i % b)) * b + (o % b)
        for (let tap = 0; tap < k * l; tap++, plain++) {
          const blocked = first + tap * b * b
          if (to === 'blocks') numbers[blocked] = from[plain]!
          else numbers[plain] = from[blocked]!
        }
      }
  }
}
