/**
 * Convolution: how it is emitted in each dialect, and its gradients. The formulations are those that were measured quickest on
 * onnxruntime's CPU provider: blocked (nchwc) convolutions also for the gradients, and matrix products over shifted rows.
 */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { elementCount, type Node } from '../onnx/graph.ts'
import { intOf, intsOf, resolvePads, transposedPads } from '../onnx/shapes.ts'
import { blocked, blockedChannelMean, isBlocked, nchwc, unblocked } from './blocked.ts'
import { blockOf, type Dialect, type Rule } from './rule.ts'
import { pad } from './shape.ts'

/** Two spatial dimensions; pads are top, left, bottom, right. */
interface Geometry {
  readonly group: number
  readonly strides: readonly [number, number]
  readonly dilations: readonly [number, number]
  readonly pads: readonly [number, number, number, number]
}

const microsoft = 'com.microsoft'

function geometryOf(node: Node, x: Value, w: Value): Geometry {
  if (x.shape.length !== 4)
    throw new Error(`${node.op} ${node.name} has ${x.shape.length - 2} spatial dimensions; two are supported`)
  const [top, left, bottom, right] = resolvePads(node.attributes, x.shape.slice(2), w.shape.slice(2))
  const [sy, sx] = intsOf(node.attributes.strides) ?? [1, 1]
  const [dy, dx] = intsOf(node.attributes.dilations) ?? [1, 1]
  return {
    group: intOf(node.attributes.group, 1),
    strides: [sy!, sx!],
    dilations: [dy!, dx!],
    pads: [top!, left!, bottom!, right!],
  }
}

/** That of the convolution which leads from the output y of a ConvTranspose back to the size of its input. */
function transposedGeometry(node: Node, x: Value, w: Value, y: Value): Geometry {
  const plain = geometryOf(node, x, w)
  const pads = transposedPads(node.attributes, x.shape.slice(2), w.shape.slice(2), y.shape.slice(2))
  return { ...plain, pads: [pads[0]!, pads[1]!, pads[2]!, pads[3]!] }
}

const isPlain = ({ dilations }: Geometry) => dilations[0] === 1 && dilations[1] === 1

/** What a convolution multiplies with, in the order that its kernel reads; each is made of few transpositions that move whole blocks. */
interface Filter {
  /** [co, ci, k, l] */
  readonly shape: readonly [number, number, number, number]
  readonly plain: () => Value
  /** [co/b, ci/b, k, l, b(ci), b(co)] */
  readonly blocked: (b: number) => Value
}

function forwardFilter(g: GraphBuilder, w: Value): Filter {
  const [co, ci, k, l] = w.shape as [number, number, number, number]
  const blocks = (b: number) => {
    if (k * l === 1) return g.reshape(g.transpose(g.reshape(w, [co / b, b, ci / b, b]), [0, 2, 3, 1]), w.shape)
    const outputLast = g.transpose(g.reshape(w, [co / b, b, ci * k * l]), [0, 2, 1])
    return g.reshape(g.transpose(g.reshape(outputLast, [co / b, ci / b, b, k * l, b]), [0, 1, 3, 2, 4]), w.shape)
  }
  return { shape: [co, ci, k, l], plain: () => w, blocked: blocks }
}

/** Which elements of a filter's k * l, and how many rows and columns they make. */
interface Taps {
  readonly elements: readonly number[]
  readonly size: readonly [number, number]
}

const backwards = ({ shape }: Value): Taps => {
  const [k, l] = shape.slice(2) as [number, number]
  return { elements: Array.from({ length: k * l }, (_, i) => k * l - 1 - i), size: [k, l] }
}

/** These elements of the filter [co, ci, k, l], from outputs to inputs: what the gradient of the input is convolved with. */
function turnedFilter(g: GraphBuilder, w: Value, { elements, size }: Taps = backwards(w)): Filter {
  const [co, ci, k, l] = w.shape as [number, number, number, number]
  const shape = [ci, co, ...size] as const
  const blocks = (b: number) => {
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
function convolve(
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

/** The forward convolution of a recorded Conv node in this dialect. */
export function emitConvolution(g: GraphBuilder, node: Node, inputs: readonly (Value | null)[], dialect: Dialect): Value {
  const [x, w, bias] = inputs
  return convolve(g, x!, forwardFilter(g, w!), geometryOf(node, x!, w!), dialect, bias)
}

function tapsOf(g: GraphBuilder, w: Value, { elements, size }: Taps): Value {
  const [co, ci, k, l] = w.shape as [number, number, number, number]
  if (k * l === 1) return w
  const taken = g.op('Gather', [g.reshape(w, [co, ci, k * l]), g.ints(elements)], { attributes: { axis: 2 } })
  return g.reshape(taken, [co, ci, ...size])
}

/** The sites of one axis that are at the same place between two strides: the elements of the filter that reach them, and the pads. */
interface Phase {
  readonly elements: readonly number[]
  readonly pads: readonly [number, number]
}

/** The phases of each axis; undefined where the strides do not divide the picture, or some sites are reached by no element. */
function phases(x: Value, w: Value, { strides, dilations, pads }: Geometry): [Phase[], Phase[]] | undefined {
  if (dilations[0] !== 1 || dilations[1] !== 1) return undefined
  const both = ([0, 1] as const).map((axis) => {
    const [stride, size, kernel] = [strides[axis], x.shape[axis + 2]!, w.shape[axis + 2]!]
    const outputs = Math.floor((size + pads[axis] + pads[axis + 2]! - kernel) / stride) + 1
    return Array.from({ length: stride }, (_, phase): Phase | undefined => {
      // Site stride p + phase is reached from output p + (phase + pad - element) / stride.
      const elements = Array.from({ length: kernel }, (__, i) => kernel - 1 - i).filter(
        (each) => (phase + pads[axis] - each) % stride === 0,
      )
      if (elements.length === 0 || size % stride !== 0) return undefined
      const before = (elements[0]! - phase - pads[axis]) / stride
      const after = size / stride + elements.length - 1 - outputs - before
      return before >= 0 && after >= 0 ? { elements, pads: [before, after] } : undefined
    })
  })
  const [rows, columns] = both.map((each) => each.filter((phase) => phase !== undefined)) as [Phase[], Phase[]]
  return rows.length === strides[0] && columns.length === strides[1] ? [rows, columns] : undefined
}

const isDepthwise = (x: Value, w: Value, { group }: Geometry): boolean =>
  group > 1 && group === x.shape[1] && group === w.shape[0]

const fitsBlocks = (x: Value, w: Value, geometry: Geometry, b: number): boolean =>
  b > 0 && x.shape[1]! % b === 0 && w.shape[0]! % b === 0 && (geometry.group === 1 || isDepthwise(x, w, geometry))

/**
 * The gradient of a strided convolution's input as one convolution for each phase of the sites (sub-pixel convolution, Shi et al. 2016),
 * laid side by side in blocks: no zeros are multiplied, and nothing leaves the blocked layout.
 */
function interleaved(
  g: GraphBuilder,
  x: Value,
  w: Value,
  dy: Value,
  { geometry, parts: [rows, columns], dialect }: { geometry: Geometry; parts: [Phase[], Phase[]]; dialect: Dialect },
): Value {
  const [n, ci, height, width] = x.shape as [number, number, number, number]
  const l = w.shape[3]!
  const lines = rows.map((row) => {
    const made = columns.map((column) => {
      const elements = row.elements.flatMap((i) => column.elements.map((j) => i * l + j))
      const taps: Taps = { elements, size: [row.elements.length, column.elements.length] }
      const filter = geometry.group === 1 ? turnedFilter(g, w, taps) : forwardFilter(g, tapsOf(g, w, taps))
      const pads = [row.pads[0], column.pads[0], row.pads[1], column.pads[1]] as const
      const y = convolve(g, dy, filter, { ...geometry, strides: [1, 1], pads }, dialect)
      return g.reshape(blocked(g, y), [(g.elementsOf(y) / blockOf(dialect)) | 0, blockOf(dialect)])
    })
    return g.reshape(g.concat(made, 1), [(n * ci * height) / rows.length / blockOf(dialect), width * blockOf(dialect)])
  })
  return unblocked(g, g.reshape(g.concat(lines, 1), [n, ci, height, width]))
}

/** Gradient of the input: the transposed convolution of dy. */
function inputGradient(g: GraphBuilder, x: Value, w: Value, dy: Value, geometry: Geometry, dialect: Dialect): Value {
  const { group, strides, dilations, pads } = geometry
  const [k, l] = [w.shape[2]!, w.shape[3]!]
  if (strides[0] === 1 && strides[1] === 1 && isPlain(geometry) && (group === 1 || isDepthwise(x, w, geometry))) {
    const filter = group === 1 ? turnedFilter(g, w) : forwardFilter(g, tapsOf(g, w, backwards(w)))
    const full = [k - 1 - pads[0], l - 1 - pads[1], k - 1 - pads[2], l - 1 - pads[3]] as const
    if (full.every((each) => each >= 0))
      return convolve(g, dy, filter, { group, strides: [1, 1], dilations: [1, 1], pads: full }, dialect)
  }
  const parts = phases(x, w, geometry)
  if (parts && fitsBlocks(x, w, geometry, blockOf(dialect))) return interleaved(g, x, w, dy, { geometry, parts, dialect })
  const missing = ([0, 1] as const).map(
    (i) =>
      x.shape[i + 2]! - (strides[i] * (dy.shape[i + 2]! - 1) + (w.shape[i + 2]! - 1) * dilations[i] + 1 - pads[i] - pads[i + 2]!),
  )
  return g.op('ConvTranspose', [dy, w], {
    attributes: { kernel_shape: [k, l], strides, dilations, pads, group, output_padding: missing },
  })
}

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
function filterGradient(g: GraphBuilder, x: Value, w: Value, dy: Value, geometry: Geometry, dialect: Dialect): Value {
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

/** What every WebGPU device lets a shader see of one buffer: maxStorageBufferBindingSize's default (WebGPU, 3.6.2 Limits). */
const largestBuffer = 128 * 1024 * 1024
/** Products that one thread of a device adds up: fewer, and more of them side by side, make nothing quicker. */
const termsInTurn = 256

/**
 * All that each element of the filter meets, side by side (im2col): [n, ci, k * l, ho * wo]. By a convolution with unit filters, which is
 * one program for the device; a slice for each element would be k * l of them.
 */
function unfolded(g: GraphBuilder, x: Value, w: Value, geometry: Geometry): Value {
  const [n, ci] = x.shape as [number, number]
  const [k, l] = [w.shape[2]!, w.shape[3]!]
  const { x: input, pads } = cropped(g, x, geometry.pads)
  const { strides, dilations } = geometry
  if (k * l === 1 && strides.every((each) => each === 1) && pads.every((each) => each === 0))
    return g.reshape(input, [n, ci, 1, input.shape[2]! * input.shape[3]!])
  const units = g.once(`units ${ci} ${k} ${l}`, () => {
    const data = Float32Array.from({ length: ci * (k * l) ** 2 }, (_, at) =>
      Number(at % (k * l) === Math.floor(at / (k * l)) % (k * l)),
    )
    return g.constant(data, [ci * k * l, 1, k, l])
  })
  const views = g.op('Conv', [input, units], { attributes: { kernel_shape: [k, l], strides, dilations, pads, group: ci } })
  return g.reshape(views, [n, ci, k * l, views.shape[2]! * views.shape[3]!])
}

/**
 * For devices: a filter has few elements, each a sum over every site of every picture, which a convolution adds up one after the other
 * (onnxruntime's WebGPU provider on an H200: 16 ms for the first layer alone, 0.4 ms so). Here pictures, and strips of rows in them, are
 * multiplied side by side and summed afterwards.
 */
function unfoldedProducts(g: GraphBuilder, x: Value, w: Value, dy: Value, geometry: Geometry): Value {
  const { group } = geometry
  const [n, ci] = x.shape as [number, number]
  const [co, , k, l] = w.shape as [number, number, number, number]
  const [ho, wo] = [dy.shape[2]!, dy.shape[3]!]
  const columns = ci * k * l
  const heights = Array.from({ length: ho }, (_, i) => i + 1)
  const height = heights.find((each) => ho % each === 0 && each * wo >= termsInTurn) ?? ho
  const [strips, terms] = [ho / height, height * wo]

  const product = (seen: Value, wanted: Value): Value => {
    const [count] = seen.shape as [number]
    const views = unfolded(g, seen, w, geometry)
    if (group > 1) return g.sum(g.sum(g.mul(views, g.reshape(wanted, [count, ci, 1, ho * wo])), [3]), [0])
    const rows = g.reshape(views, [count, columns, strips, terms])
    const left = g.reshape(strips === 1 ? rows : g.transpose(rows, [0, 2, 1, 3]), [count * strips, columns, terms])
    const right = g.reshape(g.transpose(g.reshape(wanted, [count, co, strips, terms]), [0, 2, 3, 1]), [count * strips, terms, co])
    return g.transpose(g.sum(g.matMul(left, right), [0]), [1, 0])
  }
  const atOnce = Math.max(1, Math.floor(largestBuffer / (4 * columns * ho * wo)))
  const sums = Array.from({ length: Math.ceil(n / atOnce) }, (_, i) => {
    const some = (value: Value) => (atOnce >= n ? value : g.slice(value, [i * atOnce], [Math.min(n, (i + 1) * atOnce)], [0]))
    return product(some(x), some(dy))
  })
  return g.reshape(
    sums.reduce((a, b) => g.add(a, b)),
    w.shape,
  )
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

/** Crops x where a pad is negative, for Conv takes none. */
function cropped(g: GraphBuilder, x: Value, pads: Geometry['pads']): { x: Value; pads: [number, number, number, number] } {
  const crop = pads.map((each) => Math.min(each, 0))
  const out = pad(g, pad(g, x, 2, crop[0]!, crop[2]!), 3, crop[1]!, crop[3]!)
  return { x: out, pads: pads.map((each) => Math.max(each, 0)) as [number, number, number, number] }
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
 * the sums. Each piece of x is cut out and padded in one pass; where a convolution pads by itself, it makes one output at a time.
 */
function kernelConvolutionByPieces(g: GraphBuilder, x: Value, w: Value, dy: Value, geometry: Geometry, b: number): Value {
  const { strides, dilations } = geometry
  const size = dy.shape as [number, number, number, number]
  const [n, co, ho, wo] = size
  const [, ci, height] = x.shape as [number, number, number, number]
  const [k, l] = [w.shape[2]!, w.shape[3]!]
  const [top, left, , right] = kernelPads(geometry, x, w, dy)
  const channelsFirst = (value: Value) => {
    const [pictures, channels, ...rest] = value.shape as [number, number, number, number]
    return pictures === 1 ? g.reshape(value, [channels, 1, ...rest]) : g.transpose(value, [1, 0, 2, 3])
  }
  const blocks = g.reshape(blocked(g, dy), [n, co / b, ho, wo * b])
  const parts = pieces(size, b).map(({ pictures: [p, q], rows: [from, to] }) => {
    const [first, last] = [from * strides[0] - top, (to - 1) * strides[0] + (k - 1) * dilations[0] - top]
    const margins = [-p, 0, -first, left, q - n, 0, last + 1 - height, right]
    const seen = margins.some((each) => each !== 0) ? g.op('Pad', [x, g.ints(margins)]) : x
    const whole = q - p === n && to - from === ho
    const filter = whole ? blocks : g.slice(blocks, [p, from], [q, to], [0, 2])
    return g.opShaped(
      'Conv',
      // The blocked dy, with batch and channel block exchanged, lies as the filter of a convolution over unblocked input.
      [channelsFirst(seen), g.reshape(channelsFirst(filter), [co, q - p, to - from, wo])],
      [ci, co, k, l],
      {
        domain: nchwc,
        attributes: { strides: dilations, dilations: strides, pads: [0, 0, 0, 0], kernel_shape: [to - from, wo], group: 1 },
      },
    )
  })
  const stacked = g.concat(
    parts.map((each) => g.reshape(each, [1, ...each.shape])),
    0,
  )
  // [ci, co/b, k * l, b] -> [co, ci, k, l], by two transpositions of matrices: one over four axes takes three times as long.
  const outputFirst = g.transpose(g.reshape(firstAxisSum(g, stacked), [ci, co * k * l]), [1, 0])
  return g.reshape(g.transpose(g.reshape(outputFirst, [co / b, k * l, b * ci]), [0, 2, 1]), w.shape)
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

/** In blocks where the filter's gradient reads dy so; in two steps, for a reduction over [0, 2, 3] at once is several times slower. */
function biasGradient(g: GraphBuilder, w: Value, dy: Value): Value {
  const [n, , height, width] = dy.shape as [number, number, number, number]
  if (!isBlocked(g, dy) || w.shape[2]! * w.shape[3]! === 1) return g.sum(g.sum(dy, [2, 3]), [0])
  return g.scale(blockedChannelMean(g, blocked(g, dy)), n * height * width)
}

export const convolution = {
  Conv: ({ g, node, inputs, dy, wanted, dialect }) => {
    const [x, w, bias] = inputs
    const geometry = geometryOf(node, x!, w!)
    return [
      wanted[0] ? inputGradient(g, x!, w!, dy, geometry, dialect) : null,
      wanted[1] ? filterGradient(g, x!, w!, dy, geometry, dialect) : null,
      bias && wanted[2] ? biasGradient(g, w!, dy) : null,
    ]
  },
  /** The input gradient of a convolution read forwards: its own gradients are that convolution, with input and dy in turned roles. */
  ConvTranspose: ({ g, node, inputs, outputs, dy, wanted, dialect }) => {
    const [x, w, bias] = inputs
    const geometry = transposedGeometry(node, x!, w!, outputs[0]!)
    return [
      wanted[0] ? convolve(g, dy, forwardFilter(g, w!), geometry, dialect) : null,
      wanted[1] ? filterGradient(g, dy, w!, x!, geometry, dialect) : null,
      bias && wanted[2] ? biasGradient(g, w!, dy) : null,
    ]
  },
} satisfies Record<string, Rule>
