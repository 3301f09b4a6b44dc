/** The gradient of a convolution's input. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { blocked, unblocked } from './blocked.ts'
import { backwards, convolve, forwardFilter, type Taps, tapsOf, turnedFilter } from './convolve.ts'
import { type Geometry, isDepthwise, isPlain } from './geometry.ts'
import { blockOf, type Dialect } from './rule.ts'

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
  const [l, b] = [w.shape[3]!, blockOf(dialect)]
  const lines = rows.map((row) => {
    const made = columns.map((column) => {
      const elements = row.elements.flatMap((i) => column.elements.map((j) => i * l + j))
      const taps: Taps = { elements, size: [row.elements.length, column.elements.length] }
      const filter = geometry.group === 1 ? turnedFilter(g, w, taps) : forwardFilter(g, tapsOf(g, w, taps))
      const pads = [row.pads[0], column.pads[0], row.pads[1], column.pads[1]] as const
      const y = convolve(g, dy, filter, { ...geometry, strides: [1, 1], pads }, dialect)
      return g.reshape(blocked(g, y), [g.elementsOf(y) / b, b])
    })
    return g.reshape(g.concat(made, 1), [(n * ci * height) / rows.length / b, width * b])
  })
  return unblocked(g, g.reshape(g.concat(lines, 1), [n, ci, height, width]))
}

/** Gradient of the input: the transposed convolution of dy. */
export function inputGradient(g: GraphBuilder, x: Value, w: Value, dy: Value, geometry: Geometry, dialect: Dialect): Value {
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
