/** Gradient rules of ops that move values about. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { elementCount } from '../onnx/graph.ts'
import { intOf, intsOf, normalAxis, textOf } from '../onnx/shapes.ts'
import { type AxisMatrix, turnBack } from './axis-matrix.ts'
import { resize } from './resize.ts'
import { type Rule, type RuleInput, sumTo } from './rule.ts'

const back: Rule = ({ g, inputs, dy }) => [g.reshape(dy, inputs[0]!.shape), ...inputs.slice(1).map(() => null)]

/** Integers given as a constant input or, in older opsets, as an attribute. */
function known({ g, node }: RuleInput, name: string, index: number): number[] | undefined {
  const tensor = g.constantOf(node.inputs[index] ?? '')
  return tensor ? Array.from(tensor.data as ArrayLike<number | bigint>, Number) : intsOf(node.attributes[name])?.slice()
}

/** Zeros before and after along one axis; negative amounts crop. */
export function pad(g: GraphBuilder, x: Value, axis: number, before: number, after: number): Value {
  if (before === 0 && after === 0) return x
  // Where nothing is cropped, Concat copies whole stretches: onnxruntime's Pad takes several times as long.
  if (before >= 0 && after >= 0) {
    const zeros = (count: number) => (count > 0 ? [g.filled(x.shape.with(axis, count))] : [])
    return g.concat([...zeros(before), x, ...zeros(after)], axis)
  }
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
  const [starts, _ends] = [known(input, 'starts', 1)!, known(input, 'ends', 2)!]
  const axes = known(input, 'axes', 3) ?? starts.map((_, i) => i)
  const steps = known(input, 'steps', 4) ?? starts.map(() => 1)
  let out = dy
  for (const [i, each] of axes.entries()) {
    const axis = normalAxis(each, shape.length)
    const size = shape[axis]!
    const backwards = steps[i]! < 0
    const first = Math.min(Math.max(starts[i]! < 0 ? starts[i]! + size : starts[i]!, 0), backwards ? size - 1 : size)
    // Backwards is the gradient turned round, from where the slice ends.
    if (backwards) out = g.slice(out, [-1], [Number.MIN_SAFE_INTEGER], [axis], [-1])
    const start = backwards ? first + (out.shape[axis]! - 1) * steps[i]! : first
    if (start === 0 && out.shape[axis] === size) continue
    const wide = spread(g, out, axis, Math.abs(steps[i]!))
    out = pad(g, wide, axis, start, size - start - wide.shape[axis]!)
  }
  return [out, ...inputs.slice(1).map(() => null)]
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

/** Weights that copy each output of a Pad along one axis from where it came (mode edge, reflect or wrap). */
function copies(size: number, before: number, after: number, mode: string): AxisMatrix {
  return Array.from({ length: size + before + after }, (_, o) => {
    const at = o - before
    const round = (value: number, period: number) => ((value % period) + period) % period
    const mirrored = () => {
      const place = round(at, Math.max(1, 2 * (size - 1)))
      return place < size ? place : 2 * (size - 1) - place
    }
    const from = mode === 'edge' ? Math.min(Math.max(at, 0), size - 1) : mode === 'wrap' ? round(at, size) : mirrored()
    const row = new Float32Array(size)
    row[from] = 1
    return row
  })
}

const padRule: Rule = (input) => {
  const { g, node, inputs, dy } = input
  const mode = textOf(node.attributes.mode, 'constant')
  const pads = known(input, 'pads', 1)!
  const { shape } = inputs[0]!
  const axes = known(input, 'axes', 3) ?? [...shape.keys()]
  let out = dy
  for (const [i, each] of axes.entries()) {
    const axis = normalAxis(each, shape.length)
    const [before, after] = [pads[i]!, pads[i + axes.length]!]
    if (mode === 'constant') out = pad(g, out, axis, -before, -after)
    else if (before !== 0 || after !== 0) out = turnBack(g, out, axis, copies(shape[axis]!, before, after, mode))
  }
  return [out, ...inputs.slice(1).map(() => null)]
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
  Pad: padRule,
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
