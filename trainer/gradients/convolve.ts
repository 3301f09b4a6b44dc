/** A convolution in the layout that is quickest on onnxruntime's CPU provider, and the orders of its filters. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { blocked, isBlocked, nchwc, unblocked } from './blocked.ts'
import { blocksOf } from './filter-blocks.ts'
import type { Geometry } from './geometry.ts'
import { blockOf, type Dialect } from './rule.ts'

/** What a convolution multiplies with, in the order that its kernel reads; each is made of few transpositions that move whole blocks. */
export interface Filter {
  /** [co, ci, k, l] */
  readonly shape: readonly [number, number, number, number]
  readonly plain: () => Value
  /** [co/b, ci/b, k, l, b(ci), b(co)] */
  readonly blocked: (b: number) => Value
}

export function forwardFilter(g: GraphBuilder, w: Value): Filter {
  const [co, ci, k, l] = w.shape as [number, number, number, number]
  const blocks = (b: number) => {
    const known = blocksOf(g, w)
    if (known) return g.reshape(g.transpose(g.reshape(known, [ci / b, co / b, k * l * b ** 2]), [1, 0, 2]), w.shape)
    if (k * l === 1) return g.reshape(g.transpose(g.reshape(w, [co / b, b, ci / b, b]), [0, 2, 3, 1]), w.shape)
    const outputLast = g.transpose(g.reshape(w, [co / b, b, ci * k * l]), [0, 2, 1])
    return g.reshape(g.transpose(g.reshape(outputLast, [co / b, ci / b, b, k * l, b]), [0, 1, 3, 2, 4]), w.shape)
  }
  return { shape: [co, ci, k, l], plain: () => w, blocked: blocks }
}

/** Which elements of a filter's k * l, and how many rows and columns they make. */
export interface Taps {
  readonly elements: readonly number[]
  readonly size: readonly [number, number]
}

export const backwards = ({ shape }: Value): Taps => {
  const [k, l] = shape.slice(2) as [number, number]
  return { elements: Array.from({ length: k * l }, (_, i) => k * l - 1 - i), size: [k, l] }
}

/** These elements of the filter [co, ci, k, l], from outputs to inputs: what the gradient of the input is convolved with. */
export function turnedFilter(g: GraphBuilder, w: Value, { elements, size }: Taps = backwards(w)): Filter {
  const [co, ci, k, l] = w.shape as [number, number, number, number]
  const shape = [ci, co, ...size] as const
  const blocks = (b: number) => {
    const known = blocksOf(g, w)
    if (known) {
      const inputLast = g.once(`input last ${w.name}`, () =>
        g.transpose(g.reshape(known, [(co * ci * k * l) / b ** 2, b, b]), [0, 2, 1]),
      )
      const all = g.reshape(inputLast, [(co * ci) / b ** 2, k * l, b ** 2])
      return g.reshape(g.op('Gather', [all, g.ints(elements)], { attributes: { axis: 1 } }), shape)
    }
    if (k * l === 1) return g.reshape(g.transpose(g.reshape(w, [co / b, b, ci / b, b]), [2, 0, 1, 3]), shape)
    const inputLast = g.once(`input last ${w.name}`, () =>
      g.reshape(g.transpose(g.reshape(w, [(co * ci) / b, b, k * l]), [0, 2, 1]), [(co * ci) / b, k * l, b]),
    )
    const taken = g.op('Gather', [inputLast, g.ints(elements)], { attributes: { axis: 1 } })
    return g.reshape(g.transpose(g.reshape(taken, [co / b, b, ci / b, elements.length, b]), [2, 0, 3, 1, 4]), shape)
  }
  return { shape, plain: () => g.transpose(tapsOf(g, w, { elements, size }), [1, 0, 2, 3]), blocked: blocks }
}

/** Filter for an input that is not blocked (few channels): [co/b, ci, k, l, b]. */
function outputBlockedFilter(g: GraphBuilder, w: Value, b: number): Value {
  const [co, ci, k, l] = w.shape as [number, number, number, number]
  return g.reshape(g.transpose(g.reshape(w, [co / b, b, ci * k * l]), [0, 2, 1]), w.shape)
}

/** Depthwise filter [c, 1, k, l] as [c/b, k, l, b]. */
function depthwiseFilter(g: GraphBuilder, w: Value, b: number): Value {
  const [c, , k, l] = w.shape as [number, number, number, number]
  return g.reshape(g.transpose(g.reshape(w, [c / b, b, k * l]), [0, 2, 1]), w.shape)
}

/** Convolution in the layout that is quickest for its sizes. The bias goes in with it: an Add of its own would be a pass over the output. */
export function convolve(
  g: GraphBuilder,
  x: Value,
  filter: Filter,
  geometry: Geometry,
  dialect: Dialect,
  bias: Value | null = null,
): Value {
  const { group, strides, dilations, pads } = geometry
  const b = blockOf(dialect)
  const [, ci, height, width] = x.shape as [number, number, number, number]
  const [co, , k, l] = filter.shape
  const attributes = { kernel_shape: [k, l], strides, dilations, pads, group }
  const size = (input: number, kernel: number, i: 0 | 1) =>
    Math.floor((input + pads[i] + pads[i + 2]! - dilations[i] * (kernel - 1) - 1) / strides[i]) + 1
  const shape = [x.shape[0]!, co, size(height, k, 0), size(width, l, 1)]
  const fits = b > 0 && co % b === 0 && pads.every((each) => each >= 0)
  const rest = bias ? [bias] : []
  const emit = (input: Value, weight: Value) =>
    unblocked(g, g.opShaped('Conv', [input, weight, ...rest], shape, { domain: nchwc, attributes }))
  if (fits && group > 1 && group === ci && ci === co) return emit(blocked(g, x), depthwiseFilter(g, filter.plain(), b))
  if (fits && group === 1 && (k * l > 1 || isBlocked(g, x)) && ci % b === 0) return emit(blocked(g, x), filter.blocked(b))
  if (fits && group === 1 && k * l > 1 && ci < b) return emit(x, outputBlockedFilter(g, filter.plain(), b))
  return g.op('Conv', [x, filter.plain(), ...rest], { attributes })
}

export function tapsOf(g: GraphBuilder, w: Value, { elements, size }: Taps): Value {
  const [co, ci, k, l] = w.shape as [number, number, number, number]
  if (k * l === 1) return w
  const taken = g.op('Gather', [g.reshape(w, [co, ci, k * l]), g.ints(elements)], { attributes: { axis: 2 } })
  return g.reshape(taken, [co, ci, ...size])
}
