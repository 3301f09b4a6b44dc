/** Rows of a head from the maps of a foreign network. */
import type { GraphBuilder, Value } from '../graph/builder.ts'

/** A map of a foreign network, one that holds probabilities where the head wants their logits, or one that so many anchors have in common. */
export type Part = string | { readonly probabilities: string } | { readonly shared: string; readonly anchors: number }

export const isProbable = (part: Part): part is { readonly probabilities: string } =>
  typeof part !== 'string' && 'probabilities' in part

export function mapOf(part: Part): string {
  if (typeof part === 'string') return part
  return isProbable(part) ? part.probabilities : part.shared
}

/** What the head wants of a part. */
export function partValue(g: GraphBuilder, part: Part): Value {
  if (typeof part === 'string') return g.value(part)
  if (!isProbable(part)) return g.concat(Array<Value>(part.anchors).fill(g.value(part.shared)), 1)
  const bounded = g.op('Clip', [g.value(part.probabilities), g.constant(1e-6), g.constant(1 - 1e-6)])
  return g.log(g.div(bounded, g.sub(g.constant(1), bounded)))
}

/** Rows [batch, cells x anchors, width] from maps, with no size written down: batch, picture and classes may change later. */
export function rowsOf(g: GraphBuilder, levels: readonly (readonly Value[])[], anchors: readonly number[]): Value {
  const flat = (value: Value) => g.reshape(value, [0, 0, -1])
  const rows = levels.map((parts, level) => {
    const count = anchors[level]!
    if (count === 1) return g.concat(parts.map(flat), 1)
    // [B, a k, cells] to [B, cells, a, k]; side by side; [B, width, cells, a]; cells and anchors in one.
    const split = parts.map((part) => g.reshape(g.transpose(flat(part), [0, 2, 1]), [0, 0, count, -1]))
    return g.reshape(g.transpose(g.concat(split, 3), [0, 3, 1, 2]), [0, 0, -1])
  })
  return g.op('Transpose', [g.concat(rows, 2)], { attributes: { perm: [0, 2, 1] }, name: 'adopted/rows' })
}
