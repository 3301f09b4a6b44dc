/** One small graph for each op that is run but not differentiated: what it infers is held against what onnxruntime gives. */
import type { GraphBuilder, Value } from '../../trainer/graph/builder.ts'
import { elementCount, floatTensor, intTensor, type TensorData } from '../../trainer/onnx/graph.ts'

export interface ShapeCase {
  readonly op: string
  readonly opset?: number
  readonly build: (g: GraphBuilder) => readonly Value[]
}

/** Values from -0.9 to 0.9 that repeat nothing in a row. */
const floats = (g: GraphBuilder, shape: readonly number[]): Value =>
  g.constant(
    Float32Array.from({ length: elementCount(shape) }, (_, i) => Math.sin(i * 1.7) * 0.9),
    shape,
  )
const tensor = (g: GraphBuilder, name: string, data: TensorData): Value => g.initializer(name, data)
const bytes = (g: GraphBuilder, name: string, shape: readonly number[], values: readonly number[]): Value =>
  tensor(g, name, { type: 'uint8', shape, data: Uint8Array.from(values) })
const single = (g: GraphBuilder, name: string, value: number): Value => tensor(g, name, floatTensor([], [value]))
const whole = (g: GraphBuilder, name: string, values: readonly number[], shape = [values.length]): Value =>
  tensor(g, name, intTensor(shape, values))
const flags = (g: GraphBuilder, name: string, shape: readonly number[]): Value =>
  tensor(g, name, {
    type: 'bool',
    shape,
    data: Uint8Array.from({ length: elementCount(shape) }, (_, i) => i % 2),
  })

const of = (op: string, build: ShapeCase['build'], opset?: number): ShapeCase => ({ op, build, ...(opset && { opset }) })
const unary = (op: string, plus = 0): ShapeCase => of(op, (g) => [g.op(op, [g.add(floats(g, [2, 3]), g.constant(plus))])])
const compare = (op: string): ShapeCase => of(op, (g) => [g.op(op, [floats(g, [2, 1, 3]), g.constant([0, 0.5], [2, 1])])])
const logic = (op: string): ShapeCase => of(op, (g) => [g.op(op, [flags(g, 'a', [2, 3]), flags(g, 'b', [3])])])
const bits = (op: string): ShapeCase =>
  of(op, (g) => [g.op(op, [bytes(g, 'a', [2, 2], [1, 2, 3, 4]), bytes(g, 'b', [2], [5, 6])])], 18)
const picture = (g: GraphBuilder) => floats(g, [1, 2, 5, 6])

export const shapeCases: readonly ShapeCase[] = [
  ...['Acos', 'Asin', 'Asinh', 'Atanh', 'Cosh', 'Sinh', 'Shrink', 'Hardmax', 'IsNaN', 'IsInf'].map((op) => unary(op)),
  unary('Acosh', 2),
  ...['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'].map(compare),
  ...['And', 'Or', 'Xor'].map(logic),
  of('Not', (g) => [g.op('Not', [flags(g, 'a', [2, 3])])]),
  ...['BitwiseAnd', 'BitwiseOr', 'BitwiseXor'].map(bits),
  of('BitwiseNot', (g) => [g.op('BitwiseNot', [bytes(g, 'a', [2], [1, 2])])], 18),
  of('BitShift', (g) => [
    g.op('BitShift', [bytes(g, 'a', [2], [1, 2]), bytes(g, 'b', [2], [1, 1])], { attributes: { direction: 'LEFT' } }),
  ]),
  ...['ArgMax', 'ArgMin'].map((op) => of(op, (g) => [g.op(op, [picture(g)], { attributes: { axis: 2, keepdims: 0 } })])),
  of('Mod', (g) => [g.op('Mod', [whole(g, 'a', [7, -7, 5]), whole(g, 'b', [3])])]),
  of('CastLike', (g) => [g.op('CastLike', [whole(g, 'a', [1, 2]), g.constant(1)])]),
  of('Compress', (g) => [g.op('Compress', [floats(g, [2, 4]), flags(g, 'b', [4])], { attributes: { axis: 1 } })]),
  of('Constant', (g) => [
    g.append({ op: 'Constant', domain: '', name: 'c', inputs: [], outputs: ['c'], attributes: { value_ints: [1, 2] } })[0]!,
  ]),
  of('ConstantOfShape', (g) => [g.op('ConstantOfShape', [g.ints([2, 3])])]),
  of('EyeLike', (g) => [g.op('EyeLike', [floats(g, [3, 4])], { attributes: { dtype: 7 } })]),
  of('FusedMatMul', (g) => [
    g.op('FusedMatMul', [floats(g, [2, 3, 4]), floats(g, [2, 5, 4])], { domain: 'com.microsoft', attributes: { transB: 1 } }),
  ]),
  of('GlobalLpPool', (g) => [g.op('GlobalLpPool', [picture(g)])]),
  of('LpPool', (g) => [g.op('LpPool', [picture(g)], { attributes: { kernel_shape: [2, 2], strides: [2, 2], p: 2 } })]),
  of('GridSample', (g) => [g.op('GridSample', [picture(g), floats(g, [1, 3, 4, 2])])]),
  of('LRN', (g) => [g.op('LRN', [picture(g)], { attributes: { size: 3 } })]),
  of('NonMaxSuppression', (g) => [
    g.op('NonMaxSuppression', [
      tensor(g, 'boxes', floatTensor([1, 2, 4], [0, 0, 1, 1, 2, 2, 3, 3])),
      tensor(g, 'scores', floatTensor([1, 1, 2], [0.9, 0.8])),
      whole(g, 'most', [5]),
    ]),
  ]),
  of('NonZero', (g) => [g.op('NonZero', [floats(g, [2, 3])])]),
  of('OneHot', (g) => [g.op('OneHot', [whole(g, 'a', [1, 0]), whole(g, 'depth', [3]), g.constant([0, 1], [2])])]),
  of('Range', (g) => [g.op('Range', [whole(g, 'from', [1], []), whole(g, 'to', [8], []), whole(g, 'by', [3], [])])]),
  of('ReverseSequence', (g) => [
    g.op('ReverseSequence', [floats(g, [3, 2]), whole(g, 'lengths', [3, 1])], { attributes: { batch_axis: 1, time_axis: 0 } }),
  ]),
  of('RoiAlign', (g) => [
    g.op('RoiAlign', [picture(g), tensor(g, 'rois', floatTensor([2, 4], [0, 0, 3, 3, 1, 1, 4, 4])), whole(g, 'at', [0, 0])], {
      attributes: { output_height: 2, output_width: 3 },
    }),
  ]),
  of('Scatter', (g) => [g.op('Scatter', [floats(g, [2, 3]), whole(g, 'at', [1, 0], [1, 2]), floats(g, [1, 2])])], 10),
  of('Shape', (g) => [g.op('Shape', [picture(g)], { attributes: { start: 1, end: -1 } })]),
  of('Size', (g) => [g.op('Size', [picture(g)])]),
  of('Upsample', (g) => [g.op('Upsample', [picture(g), g.constant([1, 1, 2, 3], [4])])], 9),
  // int8
  of('QuantizeLinear', (g) => [g.op('QuantizeLinear', [picture(g), single(g, 's', 0.1), bytes(g, 'z', [], [128])])]),
  of('DequantizeLinear', (g) => [
    g.op('DequantizeLinear', [bytes(g, 'a', [2, 2], [1, 2, 3, 4]), single(g, 's', 0.1), bytes(g, 'z', [], [2])]),
  ]),
  of('DynamicQuantizeLinear', (g) => g.ops('DynamicQuantizeLinear', [picture(g)], { outputs: 3 })),
  of('ConvInteger', (g) => [
    g.op('ConvInteger', [bytes(g, 'a', [1, 1, 3, 3], [...Array(9).keys()]), bytes(g, 'w', [1, 1, 2, 2], [1, 1, 1, 1])]),
  ]),
  of('MatMulInteger', (g) => [
    g.op('MatMulInteger', [bytes(g, 'a', [2, 3], [1, 2, 3, 4, 5, 6]), bytes(g, 'b', [3, 1], [1, 2, 3])]),
  ]),
  of('QLinearConv', (g) => {
    const [scale, zero] = [single(g, 's', 0.1), bytes(g, 'z', [], [0])]
    const [a, w] = [bytes(g, 'a', [1, 1, 3, 3], [...Array(9).keys()]), bytes(g, 'w', [1, 1, 2, 2], [1, 1, 1, 1])]
    return [g.op('QLinearConv', [a, scale, zero, w, scale, zero, scale, zero])]
  }),
  of('QLinearMatMul', (g) => {
    const [scale, zero] = [single(g, 's', 0.1), bytes(g, 'z', [], [0])]
    const [a, b] = [bytes(g, 'a', [2, 3], [1, 2, 3, 4, 5, 6]), bytes(g, 'b', [3, 1], [1, 2, 3])]
    return [g.op('QLinearMatMul', [a, scale, zero, b, scale, zero, scale, zero])]
  }),
]
