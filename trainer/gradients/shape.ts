/** Gradient rules of ops that move values about. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { elementCount } from '../onnx/graph.ts'
import { intOf, intsOf, normalAxis } from '../onnx/shapes.ts'
import type { Rule, RuleInput } from './rule.ts'
import { sumTo } from './rule.ts'

const back: Rule = ({ g, inputs, dy }) => [g.reshape(dy, inputs[0]!.shape), ...inputs.slice(1).map(() => null)]

/** Integers given as a constant input or, in older opsets, as an attribute. */
function known({ g, node }: RuleInput, name: string, index: number): number[] | undefined {
  const tensor = g.constantOf(node.inputs[index] ?? '')
  return tensor ? Array.from(tensor.data as ArrayLike<number | bigint>, Number) : intsOf(node.attributes[name])?.slice()
}

/** Zeros before and after along one axis; negative amounts crop. */
export function pad(g: GraphBuilder, x: Value, axis: number, before: number, after: number): Value {
  if (before === 0 && after === 0) return x
  const pads = [...x.shape.map((_, i) => (i === axis ? before : 0)), ...x.shape.map((_, i) => (i === axis ? after : 0))]
  return g.op('Pad', [x, g.ints(pads)])
}

/** Puts step - 1 zeros behind each element along an axis. */
export function spread(g: GraphBuilder, x: Value, axis: number, step: number): Value {
  if (step === 1) return x
  const open = g.reshape(x, x.shape.toSpliced(axis + 1, 0, 1))
  const zeros = g.filled(x.shape.toSpliced(axis + 1, 0, step - 1))
  return g.reshape(g.concat([open, zeros], axis + 1), x.shape.with(axis, x.shape[axis]! * step))
}

const slice: Rule = (input) => {
  const { g, inputs, dy } = input
  const { shape } = inputs[0]!
  const [starts, ends] = [known(input, 'starts', 1)!, known(input, 'ends', 2)!]
  const axes = known(input, 'axes', 3) ?? starts.map((_, i) => i)
  const steps = known(input, 'steps', 4) ?? starts.map(() => 1)
  let out = dy
  for (const [i, each] of axes.entries()) {
    const axis = normalAxis(each, shape.length)
    const size = shape[axis]!
    if (steps[i]! < 0) {
      // Backwards: turn the gradient round; a full reversal is the only form that detectors use.
      if (dy.shape[axis] !== size)
        throw new Error(`Slice ${input.node.name} backwards over a part of an axis is not differentiated`)
      out = g.slice(out, [-1], [Number.MIN_SAFE_INTEGER], [axis], [-1])
      continue
    }
    const start = Math.min(Math.max(starts[i]! < 0 ? starts[i]! + size : starts[i]!, 0), size)
    if (start === 0 && ends[i]! >= size && steps[i] === 1) continue
    const wide = spread(g, out, axis, steps[i]!)
    out = pad(g, wide, axis, start, size - start - wide.shape[axis]!)
  }
  return [out, ...inputs.slice(1).map(() => null)]
}

/** Nearest upsampling by whole factors: each source pixel gets the sum over its block. */
const resize: Rule = ({ g, node, inputs, outputs, dy }) => {
  const [from, to] = [inputs[0]!.shape, outputs[0]!.shape]
  const factors = to.map((size, i) => size / from[i]!)
  const mode = node.attributes.mode ?? 'nearest'
  if (mode !== 'nearest' || factors.some((factor) => !Number.isInteger(factor)) || factors[0] !== 1 || factors[1] !== 1) {
    throw new Error(
      `Resize ${node.name} (${String(mode)}, factors ${factors.join(' x ')}) has no gradient rule: nearest by whole factors has`,
    )
  }
  const kernel = factors.slice(2)
  const mean = g.op('AveragePool', [dy], { attributes: { kernel_shape: kernel, strides: kernel } })
  return [g.scale(mean, elementCount(kernel)), ...inputs.slice(1).map(() => null)]
}

/** Constant or computed indices along one axis: the gradient is added up where the values came from. */
const gather: Rule = ({ g, node, inputs, dy }) => {
  const [data, indices] = [inputs[0]!, inputs[1]!]
  const axis = normalAxis(intOf(node.attributes.axis, 0), data.shape.length)
  const count = elementCount(indices.shape)
  const lead = data.shape.slice(0, axis)
  const tail = data.shape.slice(axis + 1)
  const flat = [elementCount(lead), count, elementCount(tail)]
  // Axis first, so that one index row names one slab.
  const slabs = g.transpose(g.reshape(dy, flat), [1, 0, 2])
  const zeros = g.filled([data.shape[axis]!, flat[0]!, flat[2]!])
  const added = g.op('ScatterND', [zeros, g.reshape(indices, [count, 1]), slabs], { attributes: { reduction: 'add' } })
  return [g.reshape(g.transpose(added, [1, 0, 2]), data.shape), null]
}

export const shape = {
  Concat: ({ g, node, inputs, dy, wanted }) => {
    const axis = normalAxis(intOf(node.attributes.axis, 0), dy.shape.length)
    const sizes = inputs.map((each) => each!.shape[axis]!)
    return g.cut(dy, sizes, axis).map((part, i) => (wanted[i] ? part : null))
  },
  Expand: ({ g, inputs, dy }) => [sumTo(g, dy, inputs[0]!.shape), null],
  Flatten: back,
  Gather: gather,
  GatherND: ({ g, node, inputs, dy }) => {
    if (intOf(node.attributes.batch_dims, 0) !== 0) throw new Error(`GatherND ${node.name} with batch_dims has no gradient rule`)
    return [g.op('ScatterND', [g.filled(inputs[0]!.shape), inputs[1]!, dy], { attributes: { reduction: 'add' } }), null]
  },
  Pad: (input) => {
    const { g, inputs, dy } = input
    if ((input.node.attributes.mode ?? 'constant') !== 'constant')
      throw new Error(`Pad ${input.node.name} has a gradient rule in constant mode only`)
    const pads = known(input, 'pads', 1)!
    const { shape } = inputs[0]!
    let out = dy
    for (const axis of shape.keys()) out = pad(g, out, axis, -pads[axis]!, -pads[axis + shape.length]!)
    return [out, ...inputs.slice(1).map(() => null)]
  },
  Reshape: back,
  Resize: resize,
  Upsample: resize,
  Slice: slice,
  Split: ({ g, node, inputs, outputs, dys }) => {
    const axis = normalAxis(intOf(node.attributes.axis, 0), inputs[0]!.shape.length)
    return [
      g.concat(
        dys.map((each, i) => each ?? g.filled(outputs[i]!.shape)),
        axis,
      ),
      null,
    ]
  },
  Squeeze: back,
  Transpose: ({ g, node, inputs, dy }) => {
    const perm = intsOf(node.attributes.perm) ?? [...inputs[0]!.shape.keys()].reverse()
    const inverse = perm.map((_, i) => perm.indexOf(i))
    return [g.transpose(dy, inverse)]
  },
  Unsqueeze: back,
} satisfies Record<string, Rule>
