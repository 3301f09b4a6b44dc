/**
 * The blocked layout of onnxruntime's CPU provider (onnxruntime/core/mlas, NCHWc): [N, C/b, H, W, b]. A blocked value keeps its logical
 * shape [N, C, H, W]. What was computed in blocks is known in both layouts, and the graph leaves out whichever nobody reads.
 */
import type { GraphBuilder, Value } from '../graph/builder.ts'

export const nchwc = 'com.microsoft.nchwc'

const originKey = (x: Value) => `blocked origin of ${x.name}`
const formKey = (x: Value) => `block form ${x.name}`

/** Whether x is itself a tensor in blocks, as what is given to `make` below may be. */
export const isBlockForm = (g: GraphBuilder, x: Value): boolean => g.made(formKey(x)) !== undefined

const asBlockForm = (g: GraphBuilder, x: Value): Value => g.once(formKey(x), () => x)

/** Whether x was computed in blocks, so that reading it so costs nothing. */
export const isBlocked = (g: GraphBuilder, x: Value): boolean => g.made(originKey(x)) !== undefined

/** x in blocked layout. */
export const blocked = (g: GraphBuilder, x: Value): Value =>
  g.made(originKey(x)) ??
  g.once(`blocked ${x.name}`, () => asBlockForm(g, g.opShaped('ReorderInput', [x], x.shape, { domain: nchwc })))

/** The plain value of what was computed in blocks. */
export function unblocked(g: GraphBuilder, y: Value): Value {
  const plain = g.opShaped('ReorderOutput', [y], y.shape, { domain: nchwc, attributes: { channels: y.shape[1]! } })
  g.once(originKey(plain), () => asBlockForm(g, y))
  return plain
}

const oneShape = ([first, ...more]: readonly Value[]): boolean =>
  first?.shape.length === 4 && more.every(({ shape }) => shape.length === 4 && shape.every((size, i) => size === first.shape[i]))

/** Whether these are all in blocks, and of one shape. */
export const lieAlike = (g: GraphBuilder, values: readonly (Value | null)[]): values is readonly Value[] =>
  values.every((each) => each !== null && isBlocked(g, each)) && oneShape(values as readonly Value[])

/**
 * An element-wise computation over tensors of one shape, in blocks where the first of them lies in blocks: what reads the result is then
 * spared a pass over it.
 */
export function inLayoutOfFirst<T extends readonly Value[]>(g: GraphBuilder, values: T, make: (...values: T) => Value): Value {
  if (!oneShape(values) || !isBlocked(g, values[0]!)) return make(...values)
  return unblocked(g, make(...(values.map((each) => blocked(g, each)) as unknown as T)))
}

/** a x + c with a and c, both [C], for each channel; x and the result are blocked. A further blocked tensor may be added in the same pass. */
export function perChannelLine(g: GraphBuilder, x: Value, a: Value, c: Value, more?: Value): Value {
  const channels = x.shape[1]!
  const weight = g.reshape(a, [channels, 1, 1, 1])
  return g.opShaped('Conv', [x, weight, c, ...(more ? [more] : [])], x.shape, {
    domain: nchwc,
    attributes: { kernel_shape: [1, 1], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0], group: channels },
  })
}

const factorsKey = (y: Value) => `factors of ${y.name}`
const unscaledKey = (y: Value) => `unscaled ${y.name}`

/** The blocked x times a factor for each channel, [C]; what reads the result may read x instead, and see to the factors by itself. */
export function scaledChannels(g: GraphBuilder, x: Value, factors: Value): Value {
  const y = unblocked(g, perChannelLine(g, x, factors, g.filled(factors.shape)))
  g.once(factorsKey(y), () => factors)
  g.once(unscaledKey(y), () => unblocked(g, x))
  return y
}

/** What y is the scaled channels of, if it is. */
export function unscaled(g: GraphBuilder, y: Value): { x: Value; factors: Value } | undefined {
  const [x, factors] = [g.made(unscaledKey(y)), g.made(factorsKey(y))]
  return x && factors && { x, factors }
}

/** Sum over the pictures and the rows of a blocked [N, C, H, 1] times a factor, shape [C]. */
function rowsSum(g: GraphBuilder, rows: Value, factor: number): Value {
  const [n, channels, height] = rows.shape as [number, number, number]
  // Of one pixel, blocked and plain are the same.
  const pictures = g.opShaped('GlobalAveragePool', [rows], [n, channels, 1, 1], { domain: nchwc })
  const weights = g.once(`${n} times ${factor * height}`, () => g.constant(new Float32Array(n).fill(factor * height), [n]))
  return g.matMul(weights, g.reshape(pictures, [n, channels]))
}

/** Sum per channel of a blocked tensor times a factor, shape [C]. Row by row first: fewer numbers in turn round less. */
export function blockedChannelSum(g: GraphBuilder, x: Value, factor = 1): Value {
  const [n, channels, height, width] = x.shape as [number, number, number, number]
  const rows = g.opShaped('AveragePool', [x], [n, channels, height, 1], {
    domain: nchwc,
    attributes: { kernel_shape: [1, width], strides: [1, 1], pads: [0, 0, 0, 0] },
  })
  return rowsSum(g, rows, factor * width)
}

/**
 * Sum per channel of a times b, both blocked [N, C, H, W], times a factor, shape [C]. Each row of each channel is a depthwise convolution of
 * its own with the other's row as its filter, for in blocks they lie alike: one pass, and no product is written down.
 */
export function blockedChannelSumOfProduct(g: GraphBuilder, a: Value, b: Value, factor = 1): Value {
  const [n, channels, height, width] = a.shape as [number, number, number, number]
  const lines = n * channels * height
  const sums = g.opShaped('Conv', [g.reshape(a, [1, lines, 1, width]), g.reshape(b, [lines, 1, 1, width])], [1, lines, 1, 1], {
    domain: nchwc,
    attributes: { kernel_shape: [1, width], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0], group: lines },
  })
  return rowsSum(g, g.reshape(sums, [n, channels, height, 1]), factor)
}
