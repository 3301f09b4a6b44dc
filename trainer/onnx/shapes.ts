/** Shape and type inference, one rule per ONNX op (operator specification, opset 9 to 24), with static shapes; -1 stands for an unknown size. */
import { typeOfCode } from './data-types.ts'
import type { Node, TensorData } from './graph.ts'
import {
  broadcast,
  first,
  type InferenceInput,
  intOf,
  ints,
  intsOf,
  normalAxis,
  numbers,
  type Shaped,
  type ShapeRule,
  same,
  shapeSlice,
  textOf,
  unknown,
} from './inference.ts'
import { movementShapes } from './movement-shapes.ts'
import { windowShapes } from './window-shapes.ts'

export { broadcast, floatOf, intOf, intsOf, normalAxis, type Shaped, textOf } from './inference.ts'
export { resolvePads, transposedPads } from './window-shapes.ts'

const binary: ShapeRule = ({ inputs: [a, b] }) => [{ shape: broadcast(a!.shape, b!.shape), type: a!.type }]
const variadic: ShapeRule = ({ inputs }) => [
  { shape: inputs.reduce<readonly number[]>((shape, each) => broadcast(shape, each!.shape), []), type: inputs[0]!.type },
]
const compare: ShapeRule = ({ inputs: [a, b] }) => [{ shape: broadcast(a!.shape, b!.shape), type: 'bool' }]

const reduce: ShapeRule = (input) => {
  const { shape, type } = first(input)
  const given = ints(input, 'axes', 1)
  if (!given?.length && intOf(input.node.attributes.noop_with_empty_axes, 0)) return [{ shape, type }]
  const axes = new Set((given?.length ? given : [...shape.keys()]).map((axis) => normalAxis(axis, shape.length)))
  const keep = intOf(input.node.attributes.keepdims, 1)
  return [{ shape: shape.flatMap((size, i) => (axes.has(i) ? (keep ? [1] : []) : [size])), type }]
}

const argument: ShapeRule = (input) => {
  const { shape } = first(input)
  const axis = normalAxis(intOf(input.node.attributes.axis, 0), shape.length)
  const keep = intOf(input.node.attributes.keepdims, 1)
  return [{ shape: shape.flatMap((size, i) => (i === axis ? (keep ? [1] : []) : [size])), type: 'int64' }]
}

/** [.., M, K] times [.., K, N]; a vector counts as one row on the left, one column on the right (numpy.matmul). */
const matMul: ShapeRule = ({ inputs: [a, b] }) => {
  const left = a!.shape.length === 1 ? [] : [a!.shape.at(-2)!]
  const right = b!.shape.length === 1 ? [] : [b!.shape.at(-1)!]
  return [{ shape: [...broadcast(a!.shape.slice(0, -2), b!.shape.slice(0, -2)), ...left, ...right], type: a!.type }]
}

const einsum: ShapeRule = ({ node, inputs }) => {
  const [left, right] = textOf(node.attributes.equation, '').replaceAll(' ', '').split('->')
  const terms = left!.split(',')
  if (left!.includes('.')) throw new Error(`Einsum ${node.name} has ..., whose shape is not inferred`)
  const sizes = new Map(terms.flatMap((term, i) => [...term].map((letter, at) => [letter, inputs[i]!.shape[at]!] as const)))
  const all = terms.join('')
  const once = [...sizes.keys()].filter((letter) => all.split(letter).length === 2).sort()
  return [{ shape: [...(right ?? once.join(''))].map((letter) => sizes.get(letter)!), type: inputs[0]!.type }]
}

/** Outputs behind the first are statistics per channel. */
const perChannel: ShapeRule = (input) => {
  const { shape, type } = input.inputs[1]!
  return input.node.outputs.map((_, i) => (i === 0 ? first(input) : { shape, type }))
}

/** Outputs behind the first are statistics per token. */
const perToken: ShapeRule = (input) => {
  const { shape, type } = first(input)
  const axis = normalAxis(intOf(input.node.attributes.axis, -1), shape.length)
  const kept = shape.map((size, i) => (i < axis ? size : 1))
  return input.node.outputs.map((_, i) => ({ shape: i === 0 ? shape : kept, type }))
}

const unary =
  'Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Ceil Celu Clip Cos Cosh CumSum Elu Erf Exp Floor Gelu GroupNormalization Hardmax HardSigmoid HardSwish Identity InstanceNormalization LeakyRelu Log LogSoftmax LpNormalization LRN MeanVarianceNormalization Mish Neg Not QuickGelu Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu Trilu'
const reductions =
  'ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare'

const rules: Readonly<Record<string, ShapeRule>> = {
  ...windowShapes,
  ...movementShapes,
  ...Object.fromEntries(unary.split(' ').map((op) => [op, same])),
  ...Object.fromEntries(reductions.split(' ').map((op) => [op, reduce])),
  ...Object.fromEntries(
    'Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Mod Mul Or Pow PRelu Sub Xor'.split(' ').map((op) => [op, binary]),
  ),
  ...Object.fromEntries('Max Mean Min Sum'.split(' ').map((op) => [op, variadic])),
  ...Object.fromEntries('Equal Greater GreaterOrEqual Less LessOrEqual'.split(' ').map((op) => [op, compare])),
  ArgMax: argument,
  ArgMin: argument,
  BatchNormalization: perChannel,
  Cast: (input) => [{ shape: first(input).shape, type: typeOfCode(intOf(input.node.attributes.to, 1)) }],
  CastLike: ({ inputs: [x, like] }) => [{ shape: x!.shape, type: like!.type }],
  Constant: ({ node }) => {
    const value = constantValue(node)
    return [{ shape: value.shape, type: value.type }]
  },
  ConstantOfShape: (input) => {
    const { value } = input.node.attributes
    const shape = numbers(input.constant(0))
    if (!shape) throw unknown(input, 'a shape')
    return [{ shape, type: typeof value === 'object' && 'tensor' in value ? value.tensor.type : 'float32' }]
  },
  DequantizeLinear: ({ inputs: [x, scale] }) => [{ shape: x!.shape, type: scale!.type }],
  Dropout: (input) => input.node.outputs.map((_, i) => (i === 0 ? first(input) : { shape: first(input).shape, type: 'bool' })),
  DynamicQuantizeLinear: (input) => [
    { shape: first(input).shape, type: 'uint8' },
    { shape: [], type: 'float32' },
    { shape: [], type: 'uint8' },
  ],
  Einsum: einsum,
  EyeLike: (input) => {
    const { dtype } = input.node.attributes
    return [{ shape: first(input).shape, type: typeof dtype === 'number' ? typeOfCode(dtype) : first(input).type }]
  },
  FusedMatMul: ({ node: { attributes }, inputs: [a, b] }) => {
    const turn = (shape: readonly number[], yes: boolean) => (yes ? [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!] : shape)
    const [left, right] = [turn(a!.shape, intOf(attributes.transA, 0) === 1), turn(b!.shape, intOf(attributes.transB, 0) === 1)]
    return [{ shape: [...broadcast(left.slice(0, -2), right.slice(0, -2)), left.at(-2)!, right.at(-1)!], type: a!.type }]
  },
  Gemm: ({ node: { attributes }, inputs: [a, b] }) => {
    const rows = a!.shape[intOf(attributes.transA, 0) ? 1 : 0]!
    const columns = b!.shape[intOf(attributes.transB, 0) ? 0 : 1]!
    return [{ shape: [rows, columns], type: a!.type }]
  },
  IsInf: (input) => [{ shape: first(input).shape, type: 'bool' }],
  IsNaN: (input) => [{ shape: first(input).shape, type: 'bool' }],
  LayerNormalization: perToken,
  MatMul: matMul,
  MatMulInteger: (input) => [{ ...matMul(input)[0]!, type: 'int32' }],
  NonMaxSuppression: () => [{ shape: [-1, 3], type: 'int64' }],
  NonZero: (input) => [{ shape: [first(input).shape.length, -1], type: 'int64' }],
  OneHot: (input) => {
    const depth = numbers(input.constant(1))?.[0] ?? -1
    const axis = normalAxis(intOf(input.node.attributes.axis, -1), first(input).shape.length + 1)
    return [{ shape: first(input).shape.toSpliced(axis, 0, depth), type: input.inputs[2]!.type }]
  },
  QLinearMatMul: (input) => [
    { ...matMul({ ...input, inputs: [input.inputs[0]!, input.inputs[3]!] })[0]!, type: input.inputs[7]!.type },
  ],
  QuantizeLinear: ({ inputs: [x, , zero] }) => [{ shape: x!.shape, type: zero?.type ?? 'uint8' }],
  Range: ({ inputs: [start], constant }) => {
    const [from, to, step] = [0, 1, 2].map((i) => numbers(constant(i))?.[0])
    const known = from !== undefined && to !== undefined && step !== undefined
    return [{ shape: [known ? Math.max(0, Math.ceil((to - from) / step)) : -1], type: start!.type }]
  },
  RMSNormalization: same,
  Shape: (input) => [{ shape: [shapeSlice(input.node.attributes, first(input).shape).length], type: 'int64' }],
  Size: () => [{ shape: [], type: 'int64' }],
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
  Where: ({ inputs: [condition, a, b] }) => [
    { shape: broadcast(broadcast(condition!.shape, a!.shape), b!.shape), type: a!.type },
  ],
}

/** Ops whose shapes are inferred, sorted. */
export const inferable: readonly string[] = Object.keys(rules).sort()

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
  if (input.node.op === 'If') throw new Error('which branch is taken is known only in the run')
  if (!rule) throw new Error(`the shape of op ${input.node.op} cannot be inferred: it is not known here`)
  return rule(input)
}
