/** Gradient rules of pools. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import type { Node } from '../onnx/graph.ts'
import { intOf, intsOf, resolvePads } from '../onnx/shapes.ts'
import { equalBelow } from './reduction.ts'
import type { Rule } from './rule.ts'
import { pad, spread } from './shape.ts'

const lowest = -3e38

/** What one pool does along one axis. */
interface Window {
  readonly axis: number
  readonly size: number
  readonly stride: number
  readonly dilation: number
  readonly before: number
  readonly after: number
}

/** Down and across. */
function windowsOf(node: Node, x: Value): readonly [Window, Window] {
  const kernel = intsOf(node.attributes.kernel_shape)!
  if (kernel.length !== 2) throw new Error(`${node.op} ${node.name} has ${kernel.length} spatial dimensions; two are supported`)
  const strides = intsOf(node.attributes.strides) ?? [1, 1]
  const dilations = intsOf(node.attributes.dilations) ?? [1, 1]
  const pads = resolvePads(node.attributes, x.shape.slice(2), kernel)
  const along = (i: 0 | 1): Window => ({
    axis: i + 2,
    size: kernel[i]!,
    stride: strides[i]!,
    dilation: dilations[i]!,
    before: pads[i]!,
    after: pads[i + 2]!,
  })
  return [along(0), along(1)]
}

/** How far the last window reaches behind the input: more than the pads with ceil_mode, less than 0 where pixels are left over. */
const overhang = ({ size, stride, dilation, before }: Window, input: number, outputs: number): number =>
  (outputs - 1) * stride + (size - 1) * dilation + 1 - before - input

/** The values that the window's position `at` sees, one per output. */
function seen(g: GraphBuilder, padded: Value, { axis, stride, dilation }: Window, at: number, outputs: number): Value {
  const from = at * dilation
  return g.slice(padded, [from], [from + (outputs - 1) * stride + 1], [axis], stride === 1 ? undefined : [stride])
}

/** Puts a value per output back to where the window's position `at` saw it. */
function putBack(g: GraphBuilder, values: Value, { axis, stride, dilation, before }: Window, at: number, size: number): Value {
  const wide = spread(g, values, axis, stride)
  const from = at * dilation - before
  return pad(g, wide, axis, from, size - from - wide.shape[axis]!)
}

const padLow = (g: GraphBuilder, x: Value, axis: number, before: number, after: number): Value => {
  if (before === 0 && after === 0) return x
  const pads = [...x.shape.map((_, i) => (i === axis ? before : 0)), ...x.shape.map((_, i) => (i === axis ? after : 0))]
  return g.op('Pad', [x, g.ints(pads), g.constant(lowest)])
}

/**
 * Gradient of a maximum along one axis. Ties share it evenly: handing all of it to each (as plain equality masks do) makes the
 * gradient of chained pools many times too large.
 */
function maximumGradient(g: GraphBuilder, x: Value, y: Value, dy: Value, window: Window): Value {
  const { axis, size, before } = window
  const outputs = y.shape[axis]!
  const padded = padLow(g, x, axis, before, Math.max(0, overhang(window, x.shape[axis]!, outputs)))
  const masks = Array.from({ length: size }, (_, at) => equalBelow(g, seen(g, padded, window, at, outputs), y))
  const ties = masks.reduce((sum, mask) => g.add(sum, mask))
  const share = g.div(dy, ties)
  return masks
    .map((mask, at) => putBack(g, g.mul(share, mask), window, at, x.shape[axis]!))
    .reduce((sum, part) => g.add(sum, part))
}

/** How many values AveragePool divides by along one axis: those in the picture, or also those in its pads (count_include_pad). */
function divisors(window: Window, input: number, outputs: number, withPads: boolean): number[] {
  const { size, stride, dilation, before, after } = window
  const [low, high] = withPads ? [-before, input + after] : [0, input]
  return Array.from({ length: outputs }, (_, o) => {
    const places = Array.from({ length: size }, (__, at) => o * stride - before + at * dilation)
    return places.filter((place) => place >= low && place < high).length
  })
}

export const pooling = {
  AveragePool: ({ g, node, inputs, outputs, dy }) => {
    const x = inputs[0]!
    const both = windowsOf(node, x)
    const sizes = both.map(({ axis }) => [x.shape[axis]!, outputs[0]!.shape[axis]!] as const)
    const withPads = intOf(node.attributes.count_include_pad, 0) === 1
    const [down, across] = both.map((window, i) => divisors(window, ...sizes[i]!, withPads)) as [number[], number[]]
    const counts = down.flatMap((rows) => across.map((columns) => rows * columns))
    const even = new Set(counts).size === 1
    const parts = Float32Array.from(counts, (count) => 1 / count)
    const share = even ? g.scale(dy, parts[0]!) : g.mul(dy, g.constant(parts, [1, 1, down.length, across.length]))
    const ends = both.map((window, i) => overhang(window, ...sizes[i]!))
    const kernel = both.map(({ size }) => size)
    const attributes = {
      kernel_shape: kernel,
      strides: both.map(({ stride }) => stride),
      dilations: both.map(({ dilation }) => dilation),
      pads: [...both.map(({ before }) => before), ...ends.map((end) => Math.max(0, end))],
      output_padding: ends.map((end) => Math.max(0, -end)),
      group: x.shape[1]!,
    }
    return [g.op('ConvTranspose', [share, g.filled([x.shape[1]!, 1, ...kernel], 1)], { attributes })]
  },
  /** As a pool along the width and then along the height: k + l masks instead of k times l. */
  MaxPool: ({ g, node, inputs, outputs, dy }) => {
    const [x, y] = [inputs[0]!, outputs[0]!]
    const [down, across] = windowsOf(node, x)
    const attributes = {
      kernel_shape: [1, across.size],
      strides: [1, across.stride],
      dilations: [1, across.dilation],
      pads: [0, across.before, 0, across.after],
      ceil_mode: intOf(node.attributes.ceil_mode, 0),
    }
    const middle = g.op('MaxPool', [x], { attributes })
    const dMiddle = maximumGradient(g, middle, y, dy, down)
    return [maximumGradient(g, x, middle, dMiddle, across)]
  },
} satisfies Record<string, Rule>
