/**
 * The gradient of a convolution's filter. The formulations are those that were measured quickest: blocked convolutions with dy as their
 * kernel, and matrix products over shifted rows.
 */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { elementCount } from '../onnx/graph.ts'
import { blocked, nchwc, unblocked } from './blocked.ts'
import { plainFilter } from './filter-blocks.ts'
import { cropped, type Geometry, isPlain } from './geometry.ts'
import { blockOf, type Dialect } from './rule.ts'
import { pad } from './shape.ts'
import { unfoldedProducts } from './unfolded-products.ts'

const microsoft = 'com.microsoft'

/** a [.., M, K] times b [.., N, K] transposed. */
function productTransposed(g: GraphBuilder, a: Value, b: Value): Value {
  return g.op('FusedMatMul', [a, b], { domain: microsoft, attributes: { transB: 1 } })
}

/** Sum over the first axis as a product with ones, which onnxruntime's CPU provider has two to five times as soon as its ReduceSum. */
function firstAxisSum(g: GraphBuilder, parts: Value): Value {
  const [n, ...shape] = parts.shape as [number, ...number[]]
  if (n === 1) return g.reshape(parts, shape)
  const ones = g.once(`ones ${n}`, () => g.constant(new Float32Array(n).fill(1), [1, n]))
  return g.reshape(g.matMul(ones, g.reshape(parts, [n, elementCount(shape)])), shape)
}

/** Gradient of the filter. */
export function filterGradient(g: GraphBuilder, x: Value, w: Value, dy: Value, geometry: Geometry, dialect: Dialect): Value {
  const { group, strides, pads } = geometry
  const [n, ci, height, width] = x.shape as [number, number, number, number]
  const [co, , k, l] = w.shape as [number, number, number, number]
  const [ho, wo] = [dy.shape[2]!, dy.shape[3]!]
  const single = strides[0] === 1 && strides[1] === 1 && isPlain(geometry)
  if (group > 1) return groupedFilterGradient(g, x, w, dy, geometry, dialect)
  if (dialect === 'std') return unfoldedProducts(g, x, w, dy, geometry)
  const rows = g.reshape(dy, [n, co, ho * wo])
  if (k === 1 && l === 1 && single && pads.every((each) => each === 0)) {
    return g.reshape(firstAxisSum(g, productTransposed(g, rows, g.reshape(x, [n, ci, height * width]))), w.shape)
  }
  const b = blockOf(dialect)
  if (b > 0 && co % b === 0) return kernelConvolutionByPieces(g, x, w, dy, geometry, b)
  const samePadded = k === l && k % 2 === 1 && pads.every((each) => each === (k - 1) / 2)
  if (single && samePadded) return shiftedProducts(g, x, w, rows)
  return kernelConvolution(g, x, w, dy, geometry)
}

/**
 * k matrix products for a k x k filter with stride 1 and "same" padding: x shifted by columns is laid side by side once, dy is
 * shifted by rows (Pad with negative pads moves and crops in one op), and each row shift gives one row of the filter.
 */
function shiftedProducts(g: GraphBuilder, x: Value, w: Value, rows: Value): Value {
  const [n, ci, height, width] = x.shape as [number, number, number, number]
  const [co, , k] = w.shape as [number, number, number]
  const p = (k - 1) / 2
  const columns = g.concat(
    Array.from({ length: k }, (_, j) => pad(g, x, 3, p - j, j - p)),
    1,
  )
  const wide = g.reshape(columns, [n, k * ci, height * width])
  const parts = Array.from({ length: k }, (_, i) => {
    const shifted = pad(g, rows, 2, (i - p) * width, (p - i) * width)
    return firstAxisSum(g, productTransposed(g, wide, shifted))
  })
  // [rows, columns, ci, co] -> [co, ci, rows, columns], by two transpositions of matrices: one over four axes takes three times as long.
  const outputFirst = g.transpose(g.concat(parts, 0), [1, 0])
  return g.reshape(g.transpose(g.reshape(outputFirst, [co, k * k, ci]), [0, 2, 1]), w.shape)
}

/** End pads that make a convolution of x with dy as its kernel come out at exactly the filter's size. */
function kernelPads({ strides, dilations, pads }: Geometry, x: Value, w: Value, dy: Value): [number, number, number, number] {
  const end = ([0, 1] as const).map(
    (i) => (w.shape[i + 2]! - 1) * dilations[i] + strides[i] * (dy.shape[i + 2]! - 1) + 1 - x.shape[i + 2]! - pads[i],
  )
  return [pads[0], pads[1], end[0]!, end[1]!]
}

/** dw[co, ci] as a convolution of x (channels as batch) with dy as its kernel, dilated by the stride. */
function kernelConvolution(g: GraphBuilder, x: Value, w: Value, dy: Value, geometry: Geometry): Value {
  const { x: input, pads } = cropped(g, x, kernelPads(geometry, x, w, dy))
  const attributes = { strides: geometry.dilations, dilations: geometry.strides, pads, kernel_shape: dy.shape.slice(2) }
  const [turned, filter] = [input, dy].map((each) => g.transpose(each, [1, 0, 2, 3]))
  return g.transpose(g.op('Conv', [turned!, filter!], { attributes }), [1, 0, 2, 3])
}

/** Bytes of dy that stay in a core's own cache beside their part of x while they are read once for every input channel and filter row. */
const pieceBytes = 400 * 1024

/** Half-open ranges of pictures and of dy's rows. */
interface Piece {
  readonly pictures: readonly [number, number]
  readonly rows: readonly [number, number]
}

/** All of dy at once where it is small, else picture by picture, and those in strips of rows when even one is too large. */
function pieces([n, co, ho, wo]: readonly [number, number, number, number], b: number): Piece[] {
  const rowBytes = 4 * co * wo
  // From a whole block of pictures on, the kernel would take them for blocked channels.
  if (n < b && n * ho * rowBytes <= pieceBytes) return [{ pictures: [0, n], rows: [0, ho] }]
  const height = Math.ceil(ho / Math.ceil((ho * rowBytes) / pieceBytes))
  return Array.from({ length: n }, (_, picture) =>
    Array.from({ length: Math.ceil(ho / height) }, (__, i): Piece => {
      const rows = [i * height, Math.min((i + 1) * height, ho)] as const
      return { pictures: [picture, picture + 1], rows }
    }),
  ).flat()
}

/**
 * The same in the blocked layout, piece by piece: a whole dy is larger than the cache, and reading it again and again takes longer than
 * the sums. Each piece of x is cut out and padded in one pass; where a convolution pads by itself, it makes one output at a time. Where x
 * has whole blocks of channels, they stay side by side as `lanes` along its rows: the filter's l columns are then l x lanes outputs in a
 * row, of which onnxruntime's kernel makes six from one reading of dy instead of three, and x need not be unblocked.
 */
function kernelConvolutionByPieces(g: GraphBuilder, x: Value, w: Value, dy: Value, geometry: Geometry, b: number): Value {
  const { strides, dilations } = geometry
  const size = dy.shape as [number, number, number, number]
  const [n, co, ho, wo] = size
  const [, ci, height, width] = x.shape as [number, number, number, number]
  const [k, l] = [w.shape[2]!, w.shape[3]!]
  const [top, left, , right] = kernelPads(geometry, x, w, dy)
  const lanes = ci % b === 0 && dilations[1] === 1 ? b : 1
  const planes = ci / lanes
  const source = lanes === 1 ? x : g.reshape(blocked(g, x), [n, planes, height, width * lanes])
  const channelsFirst = (value: Value) => {
    const [pictures, channels, ...rest] = value.shape as [number, number, number, number]
    return pictures === 1 ? g.reshape(value, [channels, 1, ...rest]) : g.transpose(value, [1, 0, 2, 3])
  }
  const blocks = g.reshape(blocked(g, dy), [n, co / b, ho, wo * b])
  const attributes = { strides: dilations, dilations: [strides[0], strides[1] * lanes], pads: [0, 0, 0, 0], group: 1 }
  let sum: Value | undefined
  for (const {
    pictures: [p, q],
    rows: [from, to],
  } of pieces(size, b)) {
    const [first, last] = [from * strides[0] - top, (to - 1) * strides[0] + (k - 1) * dilations[0] - top]
    const margins = [-p, 0, -first, left * lanes, q - n, 0, last + 1 - height, right * lanes]
    // Several convolutions may read one value, and all have the same part of it padded.
    const seen = margins.some((each) => each !== 0)
      ? g.once(`${x.name} of ${lanes} lanes padded by ${margins}`, () => g.op('Pad', [source, g.ints(margins)]))
      : source
    const whole = q - p === n && to - from === ho
    const filter = whole ? blocks : g.slice(blocks, [p, from], [q, to], [0, 2])
    sum = g.opShaped(
      'Conv',
      // The blocked dy, with batch and channel block exchanged, lies as the filter of a convolution over unblocked input. The fourth input
      // is what the result is added to.
      [channelsFirst(seen), g.reshape(channelsFirst(filter), [co, q - p, to - from, wo]), ...(sum ? [null, sum] : [])],
      [planes, co, k, l * lanes],
      { domain: nchwc, attributes: { ...attributes, kernel_shape: [to - from, wo] } },
    )
  }
  if (lanes === b) return plainFilter(g, sum!, w.shape, b)
  // [planes, co/b, k * l, b] -> [co, ci, k, l], by transpositions of matrices: one over all axes takes three times as long.
  const turned = (value: Value, shape: readonly [number, number, number]) => g.transpose(g.reshape(value, shape), [0, 2, 1])
  const outputFirst = turned(sum!, [1, planes, co * k * l])
  return g.reshape(turned(outputFirst, [co / b, k * l, b * planes]), w.shape)
}

/** Depthwise as one convolution with a group per picture and channel; other groupings one group at a time. */
function groupedFilterGradient(g: GraphBuilder, x: Value, w: Value, dy: Value, geometry: Geometry, dialect: Dialect): Value {
  const { group } = geometry
  const [n, ci] = x.shape as [number, number]
  const [co, , k, l] = w.shape as [number, number, number, number]
  if (group === ci && ci === co) {
    if (dialect === 'std') return unfoldedProducts(g, x, w, dy, geometry)
    const { x: input, pads } = cropped(g, x, kernelPads(geometry, x, w, dy))
    const attributes = {
      strides: geometry.dilations,
      dilations: geometry.strides,
      pads,
      kernel_shape: dy.shape.slice(2),
      group: n * ci,
    }
    const flat = (value: Value, lead: readonly number[]) => g.reshape(value, [...lead, value.shape[2]!, value.shape[3]!])
    const b = blockOf(dialect)
    const out =
      b > 0 && ci % b === 0
        ? unblocked(
            g,
            g.opShaped('Conv', [flat(blocked(g, input), [1, n * ci]), flat(blocked(g, dy), [n * ci, 1])], [1, n * ci, k, l], {
              domain: nchwc,
              attributes,
            }),
          )
        : g.op('Conv', [flat(input, [1, n * ci]), flat(dy, [n * ci, 1])], { attributes })
    return g.reshape(firstAxisSum(g, g.reshape(out, [n, elementCount(w.shape)])), w.shape)
  }
  const part = (value: Value, axis: number) => g.cut(value, Array(group).fill(value.shape[axis]! / group), axis)
  const [xs, ws, dys] = [part(x, 1), part(w, 0), part(dy, 1)]
  return g.concat(
    xs.map((each, i) => filterGradient(g, each, ws[i]!, dys[i]!, { ...geometry, group: 1 }, dialect)),
    0,
  )
}
