/** Shapes of ops that move, pick, join and cut values. */
import {
  broadcast,
  countOf,
  first,
  intOf,
  ints,
  intsOf,
  normalAxis,
  numbers,
  type ShapeRule,
  same,
  unknown,
} from './inference.ts'

const slice: ShapeRule = (input) => {
  const { shape, type } = first(input)
  const [starts, ends] = [ints(input, 'starts', 1), ints(input, 'ends', 2)]
  if (!starts || !ends) throw unknown(input, 'a start or end')
  const axes = ints(input, 'axes', 3) ?? starts.map((_, i) => i)
  const steps = ints(input, 'steps', 4) ?? starts.map(() => 1)
  const out = shape.slice()
  for (const [i, axis] of axes.entries()) {
    const at = normalAxis(axis, shape.length)
    const size = shape[at]!
    if (size < 0) continue
    const step = steps[i]!
    const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value < 0 ? value + size : value, low), high)
    const [start, end] =
      step > 0
        ? [clamp(starts[i]!, 0, size), clamp(ends[i]!, 0, size)]
        : [clamp(starts[i]!, 0, size - 1), clamp(ends[i]!, -1, size - 1)]
    out[at] = Math.max(0, Math.ceil((end - start) / step))
  }
  return [{ shape: out, type }]
}

const reshape: ShapeRule = (input) => {
  const { shape, type } = first(input)
  const wanted = ints(input, 'shape', 1)
  if (!wanted) throw unknown(input, 'a shape')
  const out = wanted.map((size, i) => (size === 0 && !intOf(input.node.attributes.allowzero, 0) ? shape[i]! : size))
  if (shape.includes(-1)) return [{ shape: out, type }]
  const known = out.reduce((product, size) => (size === -1 ? product : product * size), 1)
  const filled = out.map((size) => (size === -1 ? countOf(shape) / known : size))
  if (countOf(filled) !== countOf(shape))
    throw new Error(`Reshape ${input.node.name} turns [${shape.join(', ')}] into [${wanted.join(', ')}], which has another count`)
  return [{ shape: filled, type }]
}

const split: ShapeRule = (input) => {
  const { shape, type } = first(input)
  const axis = normalAxis(intOf(input.node.attributes.axis, 0), shape.length)
  const parts = input.node.outputs.length
  const size = shape[axis]!
  // In equal parts; the last may be smaller since opset 18.
  const part = Math.ceil(size / parts)
  const sizes =
    ints(input, 'split', 1) ??
    Array.from({ length: parts }, (_, i) => (size === -1 ? -1 : Math.min(part, Math.max(0, size - i * part))))
  return sizes.map((each) => ({ shape: shape.with(axis, each), type }))
}

const concat: ShapeRule = ({ inputs, node }) => {
  const { shape, type } = inputs[0]!
  const axis = normalAxis(intOf(node.attributes.axis, 0), shape.length)
  const total = inputs.some((each) => each!.shape[axis] === -1) ? -1 : inputs.reduce((sum, each) => sum + each!.shape[axis]!, 0)
  const known = (i: number) => inputs.find((each) => each!.shape[i] !== -1)?.shape[i] ?? -1
  return [{ shape: shape.map((_, i) => (i === axis ? total : known(i))), type }]
}

const pad: ShapeRule = (input) => {
  const { shape, type } = first(input)
  const pads = ints(input, 'pads', 1)
  if (!pads) throw unknown(input, 'pads')
  const axes = numbers(input.constant(3)) ?? [...shape.keys()]
  const out = shape.slice()
  for (const [i, each] of axes.entries()) {
    const axis = normalAxis(each, shape.length)
    if (out[axis] !== -1) out[axis]! += pads[i]! + pads[i + axes.length]!
  }
  return [{ shape: out, type }]
}

export const movementShapes: Readonly<Record<string, ShapeRule>> = {
  Compress: (input) => {
    const { shape, type } = first(input)
    const { axis } = input.node.attributes
    return [{ shape: typeof axis === 'number' ? shape.with(normalAxis(axis, shape.length), -1) : [-1], type }]
  },
  Concat: concat,
  Expand: (input) => {
    const shape = numbers(input.constant(1))
    if (!shape) throw unknown(input, 'a shape')
    return [{ shape: broadcast(first(input).shape, shape), type: first(input).type }]
  },
  Flatten: (input) => {
    const { shape, type } = first(input)
    const axis = normalAxis(intOf(input.node.attributes.axis, 1), shape.length)
    return [{ shape: [countOf(shape.slice(0, axis)), countOf(shape.slice(axis))], type }]
  },
  Gather: ({ node, inputs: [data, indices] }) => {
    const axis = normalAxis(intOf(node.attributes.axis, 0), data!.shape.length)
    return [{ shape: [...data!.shape.slice(0, axis), ...indices!.shape, ...data!.shape.slice(axis + 1)], type: data!.type }]
  },
  GatherElements: ({ inputs: [data, indices] }) => [{ shape: indices!.shape, type: data!.type }],
  GatherND: ({ node, inputs: [data, indices] }) => {
    const batch = intOf(node.attributes.batch_dims, 0)
    return [{ shape: [...indices!.shape.slice(0, -1), ...data!.shape.slice(batch + indices!.shape.at(-1)!)], type: data!.type }]
  },
  Pad: pad,
  Reshape: reshape,
  ReverseSequence: same,
  Scatter: same,
  ScatterElements: same,
  ScatterND: same,
  Slice: slice,
  Split: split,
  Squeeze: (input) => {
    const { shape, type } = first(input)
    const axes = ints(input, 'axes', 1)?.map((axis) => normalAxis(axis, shape.length))
    return [{ shape: shape.filter((size, i) => (axes ? !axes.includes(i) : size !== 1)), type }]
  },
  Tile: (input) => {
    const repeats = numbers(input.constant(1))
    return [
      { shape: first(input).shape.map((size, i) => (repeats && size !== -1 ? size * repeats[i]! : -1)), type: first(input).type },
    ]
  },
  Transpose: (input) => {
    const { shape, type } = first(input)
    const perm = intsOf(input.node.attributes.perm) ?? [...shape.keys()].reverse()
    return [{ shape: perm.map((axis) => shape[axis]!), type }]
  },
  Unsqueeze: (input) => {
    const { shape, type } = first(input)
    const axes = ints(input, 'axes', 1) ?? []
    const rank = shape.length + axes.length
    const at = new Set(axes.map((axis) => normalAxis(axis, rank)))
    const rest = [...shape]
    return [{ shape: Array.from({ length: rank }, (_, i) => (at.has(i) ? 1 : rest.shift()!)), type }]
  },
}
