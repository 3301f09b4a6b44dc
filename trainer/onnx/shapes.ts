/** Shape and type inference, one rule per ONNX op (operator specification, opset 9 to 21), with static shapes; -1 stands for an unknown size. */
import { type Attribute, type DataType, elementCount, type Node, type TensorData } from './graph.ts'

export interface Shaped {
  readonly shape: readonly number[]
  readonly type: DataType
}

export interface InferenceInput {
  readonly node: Pick<Node, 'op' | 'name' | 'inputs' | 'outputs' | 'attributes'>
  /** null for an optional input that is left out */
  readonly inputs: readonly (Shaped | null)[]
  /** The value of an input when it is known before the run. */
  readonly constant: (index: number) => TensorData | undefined
}

type Rule = (input: InferenceInput) => readonly Shaped[]

// ---- attributes

export const intOf = (attribute: Attribute | undefined, fallback: number): number =>
  typeof attribute === 'number' ? attribute : fallback
export const intsOf = (attribute: Attribute | undefined): readonly number[] | undefined =>
  Array.isArray(attribute) ? (attribute as readonly number[]) : undefined
export const floatOf = (attribute: Attribute | undefined, fallback: number): number =>
  typeof attribute === 'object' && 'float' in attribute ? attribute.float : fallback
export const textOf = (attribute: Attribute | undefined, fallback: string): string =>
  typeof attribute === 'string' ? attribute : fallback

const numbers = (tensor: TensorData | undefined): number[] | undefined =>
  tensor && Array.from(tensor.data as ArrayLike<number | bigint>, Number)

/** Integers that opsets before 13 gave as an attribute and later ones as an input. */
const ints = ({ node, constant }: InferenceInput, name: string, index: number): number[] | undefined =>
  numbers(constant(index)) ?? intsOf(node.attributes[name])?.slice()

function first({ inputs, node }: InferenceInput): Shaped {
  const [value] = inputs
  if (!value) throw new Error(`${node.op} ${node.name} lacks its first input`)
  return value
}

export const normalAxis = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis)

/** Multidirectional broadcasting (ONNX, Broadcasting in ONNX). */
export function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, i) => {
    const [x, y] = [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1]
    if (x === 1) return y
    if (y === 1 || x === y || y === -1) return x
    if (x === -1) return y
    throw new Error(`shapes [${a}] and [${b}] do not broadcast`)
  })
}

// ---- families

const same: Rule = (input) => [first(input)]

const binary: Rule = ({ inputs: [a, b] }) => [{ shape: broadcast(a!.shape, b!.shape), type: a!.type }]
const variadic: Rule = ({ inputs }) => [
  { shape: inputs.reduce<readonly number[]>((shape, each) => broadcast(shape, each!.shape), []), type: inputs[0]!.type },
]
const compare: Rule = ({ inputs: [a, b] }) => [{ shape: broadcast(a!.shape, b!.shape), type: 'bool' }]

/** Pads [top, left, ..., bottom, right, ...] of a convolution or pool, with auto_pad resolved (Conv, auto_pad). */
export function resolvePads(attributes: Node['attributes'], input: readonly number[], kernel: readonly number[]): number[] {
  const strides = intsOf(attributes.strides) ?? kernel.map(() => 1)
  const dilations = intsOf(attributes.dilations) ?? kernel.map(() => 1)
  const auto = textOf(attributes.auto_pad, 'NOTSET')
  if (auto === 'SAME_UPPER' || auto === 'SAME_LOWER') {
    const total = kernel.map((size, i) =>
      Math.max(0, (Math.ceil(input[i]! / strides[i]!) - 1) * strides[i]! + (size - 1) * dilations[i]! + 1 - input[i]!),
    )
    const less = total.map((sum) => Math.floor(sum / 2))
    const more = total.map((sum, i) => sum - less[i]!)
    return auto === 'SAME_UPPER' ? [...less, ...more] : [...more, ...less]
  }
  return intsOf(attributes.pads)?.slice() ?? kernel.flatMap(() => [0, 0])
}

function windowed(attributes: Node['attributes'], input: readonly number[], kernel: readonly number[]): number[] {
  const strides = intsOf(attributes.strides) ?? kernel.map(() => 1)
  const dilations = intsOf(attributes.dilations) ?? kernel.map(() => 1)
  const pads = resolvePads(attributes, input, kernel)
  const round = intOf(attributes.ceil_mode, 0) ? Math.ceil : Math.floor
  return kernel.map(
    (size, i) => round((input[i]! + pads[i]! + pads[i + kernel.length]! - (size - 1) * dilations[i]! - 1) / strides[i]!) + 1,
  )
}

const convolution: Rule = ({ node, inputs: [x, w] }) => {
  const kernel = w!.shape.slice(2)
  return [{ shape: [x!.shape[0]!, w!.shape[0]!, ...windowed(node.attributes, x!.shape.slice(2), kernel)], type: x!.type }]
}

const transposedConvolution: Rule = ({ node: { attributes }, inputs: [x, w] }) => {
  const kernel = w!.shape.slice(2)
  const one = kernel.map(() => 1)
  const [strides, dilations] = [intsOf(attributes.strides) ?? one, intsOf(attributes.dilations) ?? one]
  const pads = intsOf(attributes.pads) ?? kernel.flatMap(() => [0, 0])
  const extra = intsOf(attributes.output_padding) ?? kernel.map(() => 0)
  const size = kernel.map(
    (k, i) =>
      strides[i]! * (x!.shape[i + 2]! - 1) + extra[i]! + (k - 1) * dilations[i]! + 1 - pads[i]! - pads[i + kernel.length]!,
  )
  return [{ shape: [x!.shape[0]!, w!.shape[1]! * intOf(attributes.group, 1), ...size], type: x!.type }]
}

const pool: Rule = (input) => {
  const { shape, type } = first(input)
  const kernel = intsOf(input.node.attributes.kernel_shape)!
  const out = { shape: [...shape.slice(0, 2), ...windowed(input.node.attributes, shape.slice(2), kernel)], type }
  return input.node.outputs.length > 1 ? [out, { shape: out.shape, type: 'int64' }] : [out]
}

const reduce: Rule = (input) => {
  const { shape, type } = first(input)
  const given = ints(input, 'axes', 1)
  if (!given?.length && intOf(input.node.attributes.noop_with_empty_axes, 0)) return [{ shape, type }]
  const axes = new Set((given?.length ? given : [...shape.keys()]).map((axis) => normalAxis(axis, shape.length)))
  const keep = intOf(input.node.attributes.keepdims, 1)
  return [{ shape: shape.flatMap((size, i) => (axes.has(i) ? (keep ? [1] : []) : [size])), type }]
}

const argument: Rule = (input) => {
  const { shape } = first(input)
  const axis = normalAxis(intOf(input.node.attributes.axis, 0), shape.length)
  const keep = intOf(input.node.attributes.keepdims, 1)
  return [{ shape: shape.flatMap((size, i) => (i === axis ? (keep ? [1] : []) : [size])), type: 'int64' }]
}

const slice: Rule = (input) => {
  const { shape, type } = first(input)
  const [starts, ends] = [ints(input, 'starts', 1), ints(input, 'ends', 2)]
  if (!starts || !ends) throw new Error(`Slice ${input.node.name} starts or ends somewhere that is known only in the run`)
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

const reshape: Rule = (input) => {
  const { shape, type } = first(input)
  const wanted = ints(input, 'shape', 1)
  if (!wanted) throw new Error(`Reshape ${input.node.name} has a shape that is known only in the run`)
  const out = wanted.map((size, i) => (size === 0 && !intOf(input.node.attributes.allowzero, 0) ? shape[i]! : size))
  if (shape.includes(-1)) return [{ shape: out, type }]
  const known = out.reduce((product, size) => (size === -1 ? product : product * size), 1)
  return [{ shape: out.map((size) => (size === -1 ? elementCount(shape) / known : size)), type }]
}

const split: Rule = (input) => {
  const { shape, type } = first(input)
  const axis = normalAxis(intOf(input.node.attributes.axis, 0), shape.length)
  const parts = input.node.outputs.length
  const sizes =
    ints(input, 'split', 1) ??
    Array.from({ length: parts }, (_, i) =>
      Math.min(Math.ceil(shape[axis]! / parts), shape[axis]! - i * Math.ceil(shape[axis]! / parts)),
    )
  return sizes.map((size) => ({ shape: shape.map((each, i) => (i === axis ? size : each)), type }))
}

const concat: Rule = ({ inputs, node }) => {
  const { shape, type } = inputs[0]!
  const axis = normalAxis(intOf(node.attributes.axis, 0), shape.length)
  const total = inputs.some((each) => each!.shape[axis] === -1) ? -1 : inputs.reduce((sum, each) => sum + each!.shape[axis]!, 0)
  return [{ shape: shape.map((size, i) => (i === axis ? total : size)), type }]
}

const matMul: Rule = ({ inputs: [a, b] }) => {
  const lead = broadcast(a!.shape.slice(0, -2), b!.shape.slice(0, -2))
  return [{ shape: [...lead, a!.shape.at(-2)!, b!.shape.at(-1)!], type: a!.type }]
}

const resize: Rule = (input) => {
  const { shape, type } = first(input)
  const sizes = numbers(input.constant(3))
  // Opset 10 has (x, scales); later ones (x, roi, scales, sizes).
  const scales = numbers(input.constant(input.inputs.length === 2 ? 1 : 2))
  if (sizes?.length) return [{ shape: sizes, type }]
  if (!scales?.length) throw new Error(`Resize ${input.node.name} has a size that is known only in the run`)
  return [{ shape: shape.map((size, i) => Math.floor(size * scales[i]!)), type }]
}

const pad: Rule = (input) => {
  const { shape, type } = first(input)
  const pads = ints(input, 'pads', 1)
  if (!pads) throw new Error(`Pad ${input.node.name} has pads that are known only in the run`)
  const axes = numbers(input.constant(3)) ?? [...shape.keys()]
  const out = shape.slice()
  for (const [i, axis] of axes.entries()) out[normalAxis(axis, shape.length)]! += pads[i]! + pads[i + axes.length]!
  return [{ shape: out, type }]
}

const castTypes: Readonly<Record<number, DataType>> = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  10: 'float16',
  11: 'float64',
}

const unsupported = (op: string) => new Error(`the shape of op ${op} cannot be inferred: it is not known here`)

const unary =
  'Abs Acos Asin Atan Ceil Clip Cos Dropout Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity LeakyRelu Log LogSoftmax LpNormalization Mish Neg QuickGelu Reciprocal Relu Round Selu Sigmoid Sign Sin Softmax Softplus Sqrt Tan Tanh Not LayerNormalization InstanceNormalization'
const reductions = 'ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSumExp'

const rules: Readonly<Record<string, Rule>> = {
  ...Object.fromEntries(unary.split(' ').map((op) => [op, same])),
  ...Object.fromEntries(reductions.split(' ').map((op) => [op, reduce])),
  ...Object.fromEntries('Add Sub Mul Div Pow Mod And Or PRelu'.split(' ').map((op) => [op, binary])),
  ...Object.fromEntries('Max Min Sum Mean'.split(' ').map((op) => [op, variadic])),
  ...Object.fromEntries('Equal Greater GreaterOrEqual Less LessOrEqual'.split(' ').map((op) => [op, compare])),
  ArgMax: argument,
  ArgMin: argument,
  AveragePool: pool,
  BatchNormalization: (input) => {
    const out = first(input)
    const { shape, type } = input.inputs[1]!
    return input.node.outputs.map((_, i) => (i === 0 ? out : { shape, type }))
  },
  Cast: (input) => [{ shape: first(input).shape, type: castTypes[intOf(input.node.attributes.to, 1)] ?? 'other' }],
  Concat: concat,
  Constant: ({ node }) => {
    const value = constantValue(node)
    return [{ shape: value.shape, type: value.type }]
  },
  ConstantOfShape: ({ node, constant }) => {
    const value = node.attributes.value
    const shape = numbers(constant(0))
    if (!shape) throw new Error(`ConstantOfShape ${node.name} has a shape that is known only in the run`)
    return [{ shape, type: typeof value === 'object' && 'tensor' in value ? value.tensor.type : 'float32' }]
  },
  Conv: convolution,
  ConvTranspose: transposedConvolution,
  Expand: (input) => {
    const shape = numbers(input.constant(1))
    if (!shape) throw new Error(`Expand ${input.node.name} has a shape that is known only in the run`)
    return [{ shape: broadcast(first(input).shape, shape), type: first(input).type }]
  },
  Flatten: (input) => {
    const { shape, type } = first(input)
    const axis = normalAxis(intOf(input.node.attributes.axis, 1), shape.length)
    return [{ shape: [elementCount(shape.slice(0, axis)), elementCount(shape.slice(axis))], type }]
  },
  FusedMatMul: ({ node: { attributes }, inputs: [a, b] }) => {
    const turn = (shape: readonly number[], yes: boolean) => (yes ? [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!] : shape)
    const [left, right] = [turn(a!.shape, intOf(attributes.transA, 0) === 1), turn(b!.shape, intOf(attributes.transB, 0) === 1)]
    return [{ shape: [...broadcast(left.slice(0, -2), right.slice(0, -2)), left.at(-2)!, right.at(-1)!], type: a!.type }]
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
  Gemm: ({ node: { attributes }, inputs: [a, b] }) => {
    const rows = a!.shape[intOf(attributes.transA, 0) ? 1 : 0]!
    const columns = b!.shape[intOf(attributes.transB, 0) ? 0 : 1]!
    return [{ shape: [rows, columns], type: a!.type }]
  },
  GlobalAveragePool: (input) => [{ shape: first(input).shape.map((size, i) => (i < 2 ? size : 1)), type: first(input).type }],
  GlobalMaxPool: (input) => [{ shape: first(input).shape.map((size, i) => (i < 2 ? size : 1)), type: first(input).type }],
  MatMul: matMul,
  MaxPool: pool,
  NonMaxSuppression: () => [{ shape: [-1, 3], type: 'int64' }],
  NonZero: (input) => [{ shape: [first(input).shape.length, -1], type: 'int64' }],
  OneHot: (input) => {
    const depth = numbers(input.constant(1))?.[0] ?? -1
    const axis = normalAxis(intOf(input.node.attributes.axis, -1), first(input).shape.length + 1)
    return [{ shape: first(input).shape.toSpliced(axis, 0, depth), type: input.inputs[2]!.type }]
  },
  Pad: pad,
  Range: ({ inputs: [start], constant }) => {
    const [from, to, step] = [0, 1, 2].map((i) => numbers(constant(i))?.[0])
    const known = from !== undefined && to !== undefined && step !== undefined
    return [{ shape: [known ? Math.max(0, Math.ceil((to - from) / step)) : -1], type: start!.type }]
  },
  Reshape: reshape,
  Resize: resize,
  ScatterElements: same,
  ScatterND: same,
  Shape: (input) => [{ shape: [first(input).shape.length], type: 'int64' }],
  Size: () => [{ shape: [], type: 'int64' }],
  Slice: slice,
  Split: split,
  Squeeze: (input) => {
    const { shape, type } = first(input)
    const axes = ints(input, 'axes', 1)?.map((axis) => normalAxis(axis, shape.length))
    return [{ shape: shape.filter((size, i) => (axes ? !axes.includes(i) : size !== 1)), type }]
  },
  Tile: (input) => {
    const repeats = numbers(input.constant(1))
    return [{ shape: first(input).shape.map((size, i) => (repeats ? size * repeats[i]! : -1)), type: first(input).type }]
  },
  TopK: (input) => {
    const { shape, type } = first(input)
    const k = numbers(input.constant(1))?.[0] ?? -1
    const axis = normalAxis(intOf(input.node.attributes.axis, -1), shape.length)
    const out = shape.map((size, i) => (i === axis ? k : size))
    return [
      { shape: out, type },
      { shape: out, type: 'int64' },
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
  Upsample: resize,
  Where: ({ inputs: [condition, a, b] }) => [
    { shape: broadcast(broadcast(condition!.shape, a!.shape), b!.shape), type: a!.type },
  ],
}

/** The value of a Constant node. */
export function constantValue({ name, attributes }: Pick<Node, 'name' | 'attributes'>): TensorData {
  const { value, value_float, value_int, value_floats, value_ints } = attributes
  if (typeof value === 'object' && 'tensor' in value) return value.tensor
  if (typeof value_float === 'object' && 'float' in value_float)
    return { type: 'float32', shape: [], data: Float32Array.of(value_float.float) }
  if (typeof value_int === 'number') return { type: 'int64', shape: [], data: BigInt64Array.of(BigInt(value_int)) }
  if (typeof value_floats === 'object' && 'floats' in value_floats)
    return { type: 'float32', shape: [value_floats.floats.length], data: Float32Array.from(value_floats.floats) }
  const many = intsOf(value_ints)
  if (many) return { type: 'int64', shape: [many.length], data: BigInt64Array.from(many, BigInt) }
  throw new Error(`Constant ${name} holds a kind of value that is not supported`)
}

/** Shapes and types of a node's outputs. @throws Error naming the op or node that cannot be inferred */
export function inferOutputs(input: InferenceInput): readonly Shaped[] {
  const rule = rules[input.node.op]
  if (!rule) throw unsupported(input.node.op)
  return rule(input)
}
