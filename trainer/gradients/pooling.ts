/** Gradient rules of pools. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { elementCount } from '../onnx/graph.ts'
import { intOf, intsOf, resolvePads } from '../onnx/shapes.ts'
import type { Rule } from './rule.ts'
import { pad, spread } from './shape.ts'

const lowest = -3e38

/** 1 where a equals b, for a <= b: a steep HardSigmoid, for Equal and Cast are slow on the CPU. */
const equal = (g: GraphBuilder, a: Value, b: Value): Value =>
  g.op('HardSigmoid', [g.sub(b, a)], { attributes: { alpha: { float: -1e30 }, beta: { float: 1 } } })

/** What one pool does along one axis. */
interface Window {
  readonly axis: number
  readonly size: number
  readonly stride: number
  readonly before: number
}

/** The values that the window's position `at` sees, one per output. */
function seen(g: GraphBuilder, padded: Value, { axis, stride }: Window, at: number, outputs: number): Value {
  return g.slice(padded, [at], [at + (outputs - 1) * stride + 1], [axis], stride === 1 ? undefined : [stride])
}

/** Puts a value per output back to where the window's position `at` saw it. */
function putBack(g: GraphBuilder, values: Value, { axis, stride, before }: Window, at: number, size: number): Value {
  const wide = spread(g, values, axis, stride)
  const from = at - before
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
  const { axis, size, stride, before } = window
  const outputs = y.shape[axis]!
  const after = Math.max(0, (outputs - 1) * stride + size - x.shape[axis]! - before)
  const padded = padLow(g, x, axis, before, after)
  const masks = Array.from({ length: size }, (_, at) => equal(g, seen(g, padded, window, at, outputs), y))
  const ties = masks.reduce((sum, mask) => g.add(sum, mask))
  const share = g.div(dy, ties)
  return masks
    .map((mask, at) => putBack(g, g.mul(share, mask), window, at, x.shape[axis]!))
    .reduce((sum, part) => g.add(sum, part))
}

export const pooling = {
  AveragePool: ({ g, node, inputs, outputs, dy }) => {
    const { shape } = inputs[0]!
    const kernel = intsOf(node.attributes.kernel_shape)!
    const strides = intsOf(node.attributes.strides) ?? kernel.map(() => 1)
    const pads = resolvePads(node.attributes, shape.slice(2), kernel)
    const padded = pads.some((each) => each !== 0)
    if (intOf(node.attributes.ceil_mode, 0)) throw new Error(`AveragePool ${node.name} with ceil_mode has no gradient rule`)
    let share = g.scale(dy, 1 / elementCount(kernel))
    if (padded && !intOf(node.attributes.count_include_pad, 0)) {
      // Windows at the edge divide by the pixels they really saw: a pool over ones, padding counted, says which share that is.
      const seenShare = g.op('AveragePool', [g.filled([1, 1, ...shape.slice(2)], 1)], {
        attributes: { ...node.attributes, count_include_pad: 1 },
      })
      share = g.div(share, seenShare)
    }
    const channels = shape[1]!
    const missing = kernel.map(
      (size, i) => shape[i + 2]! - (strides[i]! * (outputs[0]!.shape[i + 2]! - 1) + size - pads[i]! - pads[i + 2]!),
    )
    const attributes = { kernel_shape: kernel, strides, pads, group: channels, output_padding: missing }
    return [g.op('ConvTranspose', [share, g.filled([channels, 1, ...kernel], 1)], { attributes })]
  },
  /** As a pool along the width and then along the height: k + l masks instead of k times l. */
  MaxPool: ({ g, node, inputs, outputs, dy }) => {
    const x = inputs[0]!
    const kernel = intsOf(node.attributes.kernel_shape)!
    if (kernel.length !== 2 || (intsOf(node.attributes.dilations) ?? []).some((each) => each !== 1)) {
      throw new Error(`MaxPool ${node.name} with dilations or other than two dimensions has no gradient rule`)
    }
    const strides = intsOf(node.attributes.strides) ?? [1, 1]
    const pads = resolvePads(node.attributes, x.shape.slice(2), kernel)
    const across: Window = { axis: 3, size: kernel[1]!, stride: strides[1]!, before: pads[1]! }
    const down: Window = { axis: 2, size: kernel[0]!, stride: strides[0]!, before: pads[0]! }
    const y = outputs[0]!
    const attributes = {
      kernel_shape: [1, kernel[1]!],
      strides: [1, strides[1]!],
      pads: [0, pads[1]!, 0, pads[3]!],
      ceil_mode: intOf(node.attributes.ceil_mode, 0),
    }
    const middle = g.op('MaxPool', [x], { attributes })
    const dMiddle = maximumGradient(g, middle, y, dy, down)
    return [maximumGradient(g, x, middle, dMiddle, across)]
  },
} satisfies Record<string, Rule>
