/** Small graphs around one op each: what its gradient rule is tested on, and every other place that claims to run it. */
import { compileStep, type StepGraph } from '../../trainer/engine/step-graph.ts'
import type { Dialect } from '../../trainer/gradients/rule.ts'
import { GraphBuilder, type Value } from '../../trainer/graph/builder.ts'
import { elementCount } from '../../trainer/onnx/graph.ts'

function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

export interface Case {
  readonly op: string
  readonly what: string
  /** Shapes of the trained inputs. */
  readonly shapes: readonly (readonly number[])[]
  readonly build: (g: GraphBuilder, inputs: Value[]) => Value
  /** Values of the inputs from uniform [0, 1); -1..1 when left out. */
  readonly values?: (uniform: number) => number
  readonly tolerance?: number
  /** Step of the finite differences; 1e-3 when left out. */
  readonly epsilon?: number
  /** 17, what the builder writes, when left out. */
  readonly opset?: number
}

const attributes = (given: Record<string, number | string | number[] | { float: number }>) => ({ attributes: given })
const unary = (op: string, values?: Case['values'], given = {}): Case => ({
  op,
  what: 'element-wise',
  shapes: [[2, 3, 4]],
  build: (g, [x]) => g.op(op, [x!], { attributes: given }),
  values,
})
const away = (u: number) => (u < 0.5 ? u * 1.6 - 1 : u * 1.6 - 0.6)
const binary = (op: string, what: string, a: number[], b: number[], values?: Case['values']): Case => ({
  op,
  what,
  shapes: [a, b],
  build: (g, [x, y]) => g.op(op, [x!, y!]),
  values,
})
interface ConvCase {
  n?: number
  ci: number
  co: number
  k: number
  size?: number
  stride?: number
  pad?: number
  group?: number
  dilation?: number
}
export const conv = ({ n = 2, ci, co, k, size = 8, stride = 1, pad = 0, group = 1, dilation = 1 }: ConvCase): Case => ({
  op: 'Conv',
  what: `${n}x${ci}x${size} to ${co}, kernel ${k}, stride ${stride}, pad ${pad}, group ${group}, dilation ${dilation}`,
  shapes: [[n, ci, size, size], [co, ci / group, k, k], [co]],
  build: (g, [x, w, b]) =>
    g.op(
      'Conv',
      [x!, w!, b!],
      attributes({
        kernel_shape: [k, k],
        strides: [stride, stride],
        pads: [pad, pad, pad, pad],
        dilations: [dilation, dilation],
        group,
      }),
    ),
})
const pool = (
  op: string,
  k: number,
  stride: number,
  pad: number,
  given: Record<string, number | string | number[]> = {},
): Case => ({
  op,
  what: `kernel ${k}, stride ${stride}, pad ${pad}${Object.keys(given).length > 0 ? ` ${JSON.stringify(given)}` : ''}`,
  shapes: [[2, 3, 8, 8]],
  build: (g, [x]) =>
    g.op(
      op,
      [x!],
      attributes({
        kernel_shape: [k, k],
        strides: [stride, stride],
        ...(!given.auto_pad && { pads: [pad, pad, pad, pad] }),
        ...given,
      }),
    ),
  tolerance: 2e-2,
})

const newer = (opset: number, each: Case): Case => ({ ...each, opset, what: `${each.what}, opset ${opset}` })
const reduce = (op: string, given: Record<string, number | number[]>, values?: Case['values']): Case => ({
  op,
  what: `axes ${JSON.stringify(given.axes ?? 'all')}${given.keepdims === 0 ? '' : ' kept'}`,
  shapes: [[2, 3, 4]],
  build: (g, [x]) => g.op(op, [x!], { attributes: given }),
  values,
})
/** A Resize with its scales (or, with `sizes`, its sizes). */
const resize = (what: string, given: Record<string, number | string | { float: number }>, to: number[], sizes = false): Case => ({
  op: 'Resize',
  what: `${what}, ${sizes ? 'sizes' : 'scales'} ${to.join(' x ')}`,
  shapes: [[1, 2, 3, 5]],
  build: (g, [x]) =>
    g.op(
      'Resize',
      sizes ? [x!, null, null, g.ints([1, 2, ...to])] : [x!, null, g.constant([1, 1, ...to], [4])],
      attributes(given),
    ),
})
const bn = (what: string, shapes: number[][], build: Case['build']): Case => ({ op: 'BatchNormalization', what, shapes, build })
const eight = (values: number[]) => [...values, ...values.map((value) => value * 1.5)]
/** Frozen statistics and whatever of scale and bias the case gives. */
const frozen = (g: GraphBuilder, x: Value, scale?: Value, bias?: Value) =>
  g.op('BatchNormalization', [
    x,
    scale ?? g.constant(eight([1, 0.5, 2, -1]), [8]),
    bias ?? g.constant(eight([0, 1, 2, 3]), [8]),
    g.constant(eight([0.1, -0.2, 0.3, 0]), [8]),
    g.constant(eight([0.5, 1, 2, 4]), [8]),
  ])
const transposed = (
  what: string,
  ci: number,
  co: number,
  k: number,
  given: Record<string, number | number[] | string>,
): Case => ({
  op: 'ConvTranspose',
  what,
  shapes: [[2, ci, 5, 4], [ci, co / Number(given.group ?? 1), k, k], [co]],
  build: (g, xs) => g.op('ConvTranspose', xs, attributes({ kernel_shape: [k, k], ...given })),
})
const indices = (g: GraphBuilder, values: number[], shape: number[]) => g.reshape(g.ints(values), shape)

export const cases: readonly Case[] = [
  // activations
  ...['Celu', 'Elu', 'Selu', 'Softsign'].map((op) => unary(op, away)),
  unary('Elu', away, { alpha: { float: 0.5 } }),
  unary('Celu', away, { alpha: { float: 0.5 } }),
  unary('Selu', away, { alpha: { float: 1.2 }, gamma: { float: 0.9 } }),
  ...['Sin', 'Cos', 'Tan', 'Atan', 'Dropout'].map((op) => unary(op)),
  ...['Floor', 'Ceil', 'Round'].map((op) => unary(op, (u) => u * 0.3 + 0.1)),
  unary('Sign', away),
  unary('ThresholdedRelu', (u) => (u < 0.5 ? u : u + 0.5), { alpha: { float: 0.8 } }),
  newer(18, unary('Mish')),
  newer(24, unary('Swish', undefined, { alpha: { float: 1.5 } })),
  newer(20, unary('Gelu')),
  newer(20, unary('Gelu', undefined, { approximate: 'tanh' })),
  {
    op: 'Gelu',
    what: 'as Div, Erf, Add and Mul',
    shapes: [[2, 3, 4]],
    build: (g, [x]) => g.scale(g.mul(x!, g.add(g.op('Erf', [g.div(x!, g.constant(Math.SQRT2))]), g.constant(1))), 0.5),
  },
  binary('PRelu', 'a slope per channel', [2, 3, 4], [3, 1], away),
  binary('PRelu', 'one slope', [2, 3, 4], [1], away),
  {
    op: 'QuickGelu',
    what: 'alpha 1.702',
    shapes: [[2, 3]],
    build: (g, [x]) =>
      g.opShaped('QuickGelu', [x!], x!.shape, { domain: 'com.microsoft', attributes: { alpha: { float: 1.702 } } }),
  },
  binary('Pow', 'a trained exponent', [2, 3], [3], (u) => u + 0.5),
  { op: 'Max', what: 'three inputs', shapes: [[2, 3], [3], [2, 1]], build: (g, xs) => g.op('Max', xs) },
  { op: 'Min', what: 'one input', shapes: [[2, 3]], build: (g, xs) => g.op('Min', xs) },
  { op: 'Max', what: 'a tie', shapes: [[3, 4]], build: (g, [x]) => g.op('Max', [x!, g.op('Identity', [x!])]) },
  { op: 'Mean', what: 'three inputs', shapes: [[2, 3], [3], [2, 1]], build: (g, xs) => g.op('Mean', xs) },
  // movement
  { op: 'Tile', what: 'two axes', shapes: [[2, 1, 3]], build: (g, [x]) => g.op('Tile', [x!, g.ints([2, 1, 3])]) },
  ...['DCR', 'CRD'].map(
    (mode): Case => ({
      op: 'DepthToSpace',
      what: mode,
      shapes: [[2, 8, 2, 3]],
      build: (g, [x]) => g.op('DepthToSpace', [x!], attributes({ blocksize: 2, mode })),
    }),
  ),
  {
    op: 'SpaceToDepth',
    what: 'blocks of 2',
    shapes: [[2, 3, 4, 6]],
    build: (g, [x]) => g.op('SpaceToDepth', [x!], attributes({ blocksize: 2 })),
  },
  ...[0, 1].flatMap((reverse) =>
    [0, 1].map(
      (exclusive): Case => ({
        op: 'CumSum',
        what: `reverse ${reverse}, exclusive ${exclusive}`,
        shapes: [[2, 4]],
        build: (g, [x]) => g.op('CumSum', [x!, g.reshape(g.ints([1]), [])], attributes({ reverse, exclusive })),
      }),
    ),
  ),
  {
    op: 'GatherElements',
    what: 'axis 1, repeated',
    shapes: [[2, 4]],
    build: (g, [x]) => g.op('GatherElements', [x!, indices(g, [3, 0, 3, 1, 2, 1], [2, 3])], attributes({ axis: 1 })),
  },
  {
    op: 'Gather',
    what: 'a scalar index',
    shapes: [[2, 4]],
    build: (g, [x]) => g.op('Gather', [x!, indices(g, [2], [])], attributes({ axis: 1 })),
  },
  {
    op: 'Gather',
    what: 'a negative index',
    shapes: [[2, 4]],
    build: (g, [x]) => g.op('Gather', [x!, g.ints([-1, 1])], attributes({ axis: 1 })),
  },
  ...['none', 'add'].flatMap((reduction): Case[] => [
    {
      op: 'ScatterElements',
      what: `reduction ${reduction}`,
      shapes: [
        [2, 4],
        [2, 2],
      ],
      build: (g, [x, y]) =>
        g.op('ScatterElements', [x!, indices(g, [3, 0, 2, 1], [2, 2]), y!], attributes({ axis: 1, reduction })),
    },
    {
      op: 'ScatterND',
      what: `reduction ${reduction}`,
      shapes: [
        [4, 3],
        [2, 3],
      ],
      build: (g, [x, y]) => g.op('ScatterND', [x!, indices(g, [3, 1], [2, 1]), y!], attributes({ reduction })),
    },
  ]),
  {
    op: 'TopK',
    what: 'the greatest two',
    shapes: [[3, 5]],
    build: (g, [x]) => g.ops('TopK', [x!, g.ints([2])], { outputs: 2 })[0]!,
  },
  ...[0, 1].map(
    (upper): Case => ({
      op: 'Trilu',
      what: `upper ${upper}`,
      shapes: [[2, 3, 4]],
      build: (g, [x]) => g.op('Trilu', [x!], attributes({ upper })),
    }),
  ),
  ...['edge', 'reflect'].map(
    (mode): Case => ({
      op: 'Pad',
      what: mode,
      shapes: [[2, 3, 4]],
      build: (g, [x]) => g.op('Pad', [x!, g.ints([0, 1, 2, 0, 2, 3])], attributes({ mode })),
    }),
  ),
  newer(19, {
    op: 'Pad',
    what: 'wrap, given axes',
    shapes: [[2, 3, 4]],
    build: (g, [x]) => g.op('Pad', [x!, g.ints([1, 2, 3, 1]), null, g.ints([2, 1])], attributes({ mode: 'wrap' })),
  }),
  { op: 'Slice', what: 'backwards over a part', shapes: [[4, 7]], build: (g, [x]) => g.slice(x!, [5], [0], [1], [-2]) },
  newer(18, {
    op: 'Split',
    what: 'num_outputs, the last part smaller',
    shapes: [[2, 5]],
    build: (g, [x]) => g.ops('Split', [x!], { attributes: { axis: 1, num_outputs: 3 }, outputs: 3 })[2]!,
  }),
  { op: 'Expand', what: 'by a leading axis', shapes: [[3, 4]], build: (g, [x]) => g.op('Expand', [x!, g.ints([2, 1, 1])]) },
  // resizing
  ...['half_pixel', 'align_corners', 'asymmetric', 'pytorch_half_pixel'].flatMap((coordinate_transformation_mode) => [
    resize(`linear ${coordinate_transformation_mode}`, { mode: 'linear', coordinate_transformation_mode }, [2, 2]),
    resize(`linear ${coordinate_transformation_mode}`, { mode: 'linear', coordinate_transformation_mode }, [4, 3], true),
  ]),
  newer(
    19,
    resize('linear half_pixel_symmetric', { mode: 'linear', coordinate_transformation_mode: 'half_pixel_symmetric' }, [1.7, 2.3]),
  ),
  resize('cubic half_pixel', { mode: 'cubic', coordinate_transformation_mode: 'half_pixel' }, [2, 2]),
  resize('cubic exclude_outside', { mode: 'cubic', exclude_outside: 1, cubic_coeff_a: { float: -0.5 } }, [2, 1.6]),
  ...['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'].map((nearest_mode) =>
    resize(`nearest half_pixel ${nearest_mode}`, { mode: 'nearest', nearest_mode }, [2, 1.5]),
  ),
  resize(
    'nearest asymmetric down',
    { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
    [0.5, 0.6],
  ),
  newer(18, {
    op: 'Resize',
    what: 'linear over given axes',
    shapes: [[1, 2, 3, 5]],
    build: (g, [x]) => g.op('Resize', [x!, null, g.constant([2, 3], [2])], attributes({ mode: 'linear', axes: [2, 3] })),
  }),
  // reductions
  ...['ReduceMax', 'ReduceMin', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare', 'ReduceLogSumExp'].flatMap((op) => [
    reduce(op, { axes: [1], keepdims: 0 }, away),
    reduce(op, { axes: [0, -1] }, away),
    reduce(op, {}, away),
    newer(18, {
      op,
      what: 'axes as an input',
      shapes: [[2, 3, 4]],
      build: (g, [x]) => g.op(op, [x!, g.ints([2])], attributes({ keepdims: 0 })),
      values: away,
    }),
  ]),
  reduce('ReduceLogSum', { axes: [1] }, (u) => u + 0.5),
  reduce('ReduceProd', { axes: [1], keepdims: 0 }, (u) => u + 0.5),
  newer(18, reduce('ReduceMean', { axes: [1] })),
  newer(18, {
    op: 'ReduceMean',
    what: 'nothing to reduce',
    shapes: [[2, 3]],
    build: (g, [x]) => g.op('ReduceMean', [x!], attributes({ noop_with_empty_axes: 1 })),
  }),
  {
    op: 'ReduceMax',
    what: 'a tie',
    shapes: [[3, 4]],
    build: (g, [x]) => g.op('ReduceMax', [g.concat([x!, x!], 0)], attributes({ axes: [0], keepdims: 0 })),
  },
  { op: 'GlobalMaxPool', what: '4x5', shapes: [[2, 3, 4, 5]], build: (g, [x]) => g.op('GlobalMaxPool', [x!]) },
  {
    op: 'LogSoftmax',
    what: 'middle axis',
    shapes: [[2, 4, 3]],
    build: (g, [x]) => g.op('LogSoftmax', [x!], attributes({ axis: 1 })),
  },
  binary('MatMul', 'vector times matrix', [4], [4, 5]),
  binary('MatMul', 'batch times vector', [2, 3, 4], [4]),
  binary('MatMul', 'vector times vector', [4], [4]),
  binary('MatMul', 'two broadcast batches', [2, 1, 3, 4], [3, 4, 2]),
  ...['bij,bjk->bik', 'bhid,bhjd->bhij'].map(
    (equation): Case => ({
      op: 'Einsum',
      what: equation,
      shapes: equation.startsWith('bij')
        ? [
            [2, 3, 4],
            [2, 4, 5],
          ]
        : [
            [1, 2, 3, 4],
            [1, 2, 5, 4],
          ],
      build: (g, xs) => g.op('Einsum', xs, attributes({ equation })),
    }),
  ),
  // normalisations
  ...[-1, 1].map(
    (axis): Case => ({
      op: 'LayerNormalization',
      what: `axis ${axis}`,
      shapes:
        axis === -1
          ? [[2, 3, 6], [6], [6]]
          : [
              [2, 3, 4],
              [3, 4],
              [3, 4],
            ],
      build: (g, xs) => g.op('LayerNormalization', xs, attributes({ axis, epsilon: { float: 1e-3 } })),
    }),
  ),
  {
    op: 'LayerNormalization',
    what: 'without bias',
    shapes: [[3, 6], [6]],
    build: (g, xs) => g.op('LayerNormalization', xs),
  },
  newer(23, {
    op: 'RMSNormalization',
    what: 'last axis',
    shapes: [[3, 6], [6]],
    build: (g, xs) => g.op('RMSNormalization', xs),
  }),
  {
    op: 'InstanceNormalization',
    what: 'a picture',
    shapes: [[2, 3, 4, 4], [3], [3]],
    build: (g, xs) => g.op('InstanceNormalization', xs),
  },
  newer(21, {
    op: 'GroupNormalization',
    what: 'a scale per channel',
    shapes: [[2, 6, 3, 3], [6], [6]],
    build: (g, xs) => g.op('GroupNormalization', xs, attributes({ num_groups: 3 })),
  }),
  newer(18, {
    op: 'GroupNormalization',
    what: 'a scale per group',
    shapes: [[2, 6, 3, 3], [3], [3]],
    build: (g, xs) => g.op('GroupNormalization', xs, attributes({ num_groups: 3 })),
  }),
  ...[1, 2].map(
    (p): Case => ({
      op: 'LpNormalization',
      what: `p ${p}`,
      shapes: [[3, 4, 2]],
      values: away,
      build: (g, [x]) => g.op('LpNormalization', [x!], attributes({ axis: 1, p })),
    }),
  ),
  {
    op: 'MeanVarianceNormalization',
    what: 'per channel',
    shapes: [[2, 3, 4, 4]],
    build: (g, [x]) => g.op('MeanVarianceNormalization', [x!]),
  },
  bn('frozen, only the input', [[2, 8, 3, 3]], (g, [x]) => frozen(g, x!)),
  bn('frozen, but its bias', [[2, 8, 3, 3], [8]], (g, [x, bias]) => frozen(g, x!, undefined, bias!)),
  bn('its scale computed, its statistics as given', [[2, 8, 3, 3], [8], [8]], (g, [x, scale, bias]) =>
    frozen(g, x!, g.scale(scale!, 2), bias!),
  ),
  bn('frozen, without a picture', [[4, 8]], (g, [x]) => frozen(g, x!)),
  // transposed convolutions
  transposed('2x2 by 2', 6, 4, 2, { strides: [2, 2] }),
  transposed('blocked channels', 16, 16, 4, { strides: [2, 2], pads: [1, 1, 1, 1] }),
  transposed('stride 1', 4, 6, 3, { pads: [1, 1, 1, 1] }),
  transposed('odd, with output padding', 4, 6, 3, { strides: [2, 2], pads: [1, 1, 1, 1], output_padding: [1, 1] }),
  transposed('grouped', 4, 8, 3, { strides: [2, 2], group: 2 }),
  transposed('depthwise', 16, 16, 4, { strides: [2, 2], pads: [1, 1, 1, 1], group: 16 }),
  transposed('dilated', 4, 6, 3, { dilations: [2, 2] }),
  transposed('SAME_UPPER', 4, 6, 3, { strides: [2, 2], auto_pad: 'SAME_UPPER' }),
  transposed('output_shape', 4, 6, 3, { strides: [2, 2], output_shape: [10, 8] }),
  // pools in their rarer forms
  pool('MaxPool', 2, 2, 0, { dilations: [2, 2] }),
  pool('MaxPool', 3, 2, 0, { ceil_mode: 1 }),
  newer(22, pool('MaxPool', 3, 3, 1, { ceil_mode: 1 })),
  pool('MaxPool', 3, 1, 0, { auto_pad: 'SAME_UPPER' }),
  pool('AveragePool', 3, 2, 0, { ceil_mode: 1 }),
  newer(22, pool('AveragePool', 3, 3, 1, { ceil_mode: 1 })),
  newer(19, pool('AveragePool', 3, 2, 1, { ceil_mode: 1, count_include_pad: 1 })),
  newer(19, pool('AveragePool', 2, 1, 0, { dilations: [2, 2] })),
  {
    op: 'MaxPool',
    what: 'three in a row, whose plateaus tie',
    shapes: [[1, 2, 7, 7]],
    build: (g, [x]) => {
      const once = (value: Value) => g.op('MaxPool', [value], attributes({ kernel_shape: [5, 5], pads: [2, 2, 2, 2] }))
      const [first, second] = [once(x!), once(once(x!))]
      return g.concat([x!, first, second, once(second)], 1)
    },
    tolerance: 2e-2,
  },
  {
    op: 'MaxPool',
    what: 'a tie of two',
    shapes: [[1, 2, 4, 1]],
    build: (g, [x]) => g.op('MaxPool', [g.concat([x!, x!], 3)], attributes({ kernel_shape: [1, 2] })),
  },
  ...['Exp', 'Neg', 'Sigmoid', 'Tanh', 'Softplus', 'Erf', 'Identity'].map((op) => unary(op)),
  ...['Abs', 'Relu'].map((op) => unary(op, away)),
  unary('LeakyRelu', away, { alpha: { float: 0.1 } }),
  unary('HardSigmoid', (u) => u - 0.5, { alpha: { float: 0.2 }, beta: { float: 0.5 } }),
  unary('HardSwish', (u) => u * 4 - 2),
  ...['Log', 'Sqrt', 'Reciprocal'].map((op) => unary(op, (u) => u + 0.5)),
  { op: 'Pow', what: 'square', shapes: [[3, 4]], build: (g, [x]) => g.op('Pow', [x!, g.constant(2)]) },
  { op: 'Pow', what: 'to 2.5', shapes: [[3, 4]], build: (g, [x]) => g.op('Pow', [x!, g.constant(2.5)]), values: (u) => u + 0.5 },
  {
    op: 'Clip',
    what: 'inside and outside',
    shapes: [[5, 4]],
    build: (g, [x]) => g.op('Clip', [x!, g.constant(-0.3), g.constant(0.4)]),
    values: (u) => (u < 0.5 ? u * 0.4 : u + 0.1),
  },
  { op: 'Cast', what: 'float to float', shapes: [[4]], build: (g, [x]) => g.op('Cast', [g.mul(x!, x!)], attributes({ to: 1 })) },
  ...['Add', 'Sub', 'Mul', 'Div'].flatMap((op) => {
    const values = op === 'Div' ? (u: number) => u + 0.5 : undefined
    return [
      binary(op, 'same shape', [2, 3], [2, 3], values),
      binary(op, 'broadcast right', [2, 3, 4], [3, 1], values),
      binary(op, 'broadcast left', [1, 4], [2, 3, 4], values),
      binary(op, 'scalar', [2, 3], [], values),
    ]
  }),
  binary('Max', 'two sides', [3, 4], [3, 4]),
  binary('Min', 'broadcast', [3, 4], [4]),
  { op: 'Sum', what: 'three inputs', shapes: [[2, 3], [3], [2, 3]], build: (g, xs) => g.op('Sum', xs) },
  {
    op: 'Where',
    what: 'both sides',
    shapes: [
      [3, 4],
      [3, 4],
    ],
    build: (g, [x, y]) => g.op('Where', [g.op('Greater', [g.constant([1, -1, 1, -1], [4]), g.constant(0)]), x!, y!]),
  },
  { op: 'QuickGelu', what: 'silu, fused or not', shapes: [[2, 16, 4, 4]], build: (g, [x]) => g.mul(x!, g.sigmoid(x!)) },
  // shape
  {
    op: 'Concat',
    what: 'axis 1',
    shapes: [
      [2, 3],
      [2, 1],
      [2, 4],
    ],
    build: (g, xs) => g.concat(xs, 1),
  },
  { op: 'Expand', what: '3 to 2x3', shapes: [[3, 1]], build: (g, [x]) => g.op('Expand', [x!, g.ints([2, 3, 4])]) },
  { op: 'Flatten', what: 'axis 1', shapes: [[2, 3, 4]], build: (g, [x]) => g.op('Flatten', [x!]) },
  {
    op: 'Gather',
    what: 'axis 1, repeated',
    shapes: [[2, 4, 3]],
    build: (g, [x]) => g.op('Gather', [x!, g.ints([3, 0, 3])], attributes({ axis: 1 })),
  },
  {
    op: 'GatherND',
    what: 'rows, repeated',
    shapes: [[5, 3]],
    build: (g, [x]) => g.op('GatherND', [x!, g.reshape(g.ints([4, 1, 4]), [3, 1])]),
  },
  { op: 'Pad', what: 'pads and crops', shapes: [[2, 3, 4]], build: (g, [x]) => g.op('Pad', [x!, g.ints([0, 1, -1, 0, 2, 3])]) },
  { op: 'Reshape', what: 'to a row', shapes: [[2, 3, 4]], build: (g, [x]) => g.op('Reshape', [x!, g.ints([-1])]) },
  {
    op: 'Resize',
    what: 'nearest, twice',
    shapes: [[1, 2, 3, 4]],
    build: (g, [x]) =>
      g.op(
        'Resize',
        [x!, null, g.constant([1, 1, 2, 2], [4])],
        attributes({ mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' }),
      ),
  },
  { op: 'Slice', what: 'part', shapes: [[4, 6]], build: (g, [x]) => g.slice(x!, [1, 2], [3, -1], [0, 1]) },
  { op: 'Slice', what: 'every second', shapes: [[4, 7]], build: (g, [x]) => g.slice(x!, [1], [7], [1], [2]) },
  { op: 'Slice', what: 'backwards', shapes: [[4, 3]], build: (g, [x]) => g.slice(x!, [-1], [-100], [0], [-1]) },
  {
    op: 'Split',
    what: 'two parts, one unused',
    shapes: [[2, 5]],
    build: (g, [x]) => g.ops('Split', [x!, g.ints([2, 3])], { attributes: { axis: 1 }, outputs: 2 })[1]!,
  },
  { op: 'Squeeze', what: 'axis 1', shapes: [[2, 1, 3]], build: (g, [x]) => g.op('Squeeze', [x!, g.ints([1])]) },
  { op: 'Unsqueeze', what: 'axis 1', shapes: [[2, 3]], build: (g, [x]) => g.op('Unsqueeze', [x!, g.ints([1])]) },
  { op: 'Transpose', what: 'three axes', shapes: [[2, 3, 4]], build: (g, [x]) => g.transpose(x!, [2, 0, 1]) },
  // reductions and products
  { op: 'ReduceSum', what: 'equal sizes, first axis', shapes: [[3, 3]], build: (g, [x]) => g.sum(x!, [0]) },
  { op: 'ReduceMean', what: 'two axes kept', shapes: [[2, 3, 4]], build: (g, [x]) => g.mean(x!, [0, 2], true) },
  { op: 'GlobalAveragePool', what: '4x5', shapes: [[2, 3, 4, 5]], build: (g, [x]) => g.op('GlobalAveragePool', [x!]) },
  { op: 'Softmax', what: 'last axis', shapes: [[3, 5]], build: (g, [x]) => g.op('Softmax', [x!], attributes({ axis: -1 })) },
  { op: 'Softmax', what: 'middle axis', shapes: [[2, 4, 3]], build: (g, [x]) => g.op('Softmax', [x!], attributes({ axis: 1 })) },
  binary('MatMul', 'matrices', [3, 4], [4, 5]),
  binary('MatMul', 'batch against one', [2, 3, 4], [4, 5]),
  ...[0, 1].flatMap((transA) =>
    [0, 1].map(
      (transB): Case => ({
        op: 'Gemm',
        what: `transA ${transA}, transB ${transB}`,
        shapes: [transA ? [4, 3] : [3, 4], transB ? [5, 4] : [4, 5], [5]],
        build: (g, xs) => g.op('Gemm', xs, attributes({ transA, transB, alpha: { float: 0.7 }, beta: { float: 1.3 } })),
      }),
    ),
  ),
  // convolutions: every path of the emitter
  conv({ ci: 3, co: 16, k: 3, pad: 1 }),
  conv({ ci: 3, co: 16, k: 3, pad: 1, stride: 2 }),
  conv({ ci: 16, co: 32, k: 3, pad: 1 }),
  conv({ ci: 16, co: 32, k: 3, pad: 1, stride: 2 }),
  conv({ ci: 32, co: 16, k: 1 }),
  conv({ ci: 5, co: 7, k: 3, pad: 1 }),
  conv({ ci: 5, co: 7, k: 3, stride: 2, size: 9 }),
  conv({ ci: 16, co: 16, k: 5, pad: 2 }),
  conv({ ci: 16, co: 16, k: 3, pad: 1, group: 16 }),
  conv({ ci: 16, co: 16, k: 3, pad: 1, group: 16, stride: 2 }),
  conv({ ci: 16, co: 16, k: 5, pad: 2, group: 16 }),
  conv({ ci: 6, co: 6, k: 3, pad: 1, group: 6, stride: 2 }),
  conv({ ci: 4, co: 8, k: 3, pad: 1, group: 2 }),
  conv({ ci: 4, co: 6, k: 3, pad: 2, dilation: 2 }),
  conv({ ci: 4, co: 6, k: 1, stride: 2 }),
  conv({ n: 1, ci: 16, co: 16, k: 3, pad: 1, stride: 2, size: 7 }),
  conv({ ci: 16, co: 16, k: 5, pad: 2, stride: 2 }),
  conv({ ci: 16, co: 16, k: 4, pad: 1, stride: 2 }),
  conv({ ci: 32, co: 16, k: 3, stride: 3, size: 9 }),
  conv({ ci: 16, co: 16, k: 2, stride: 3, size: 8 }),
  conv({ ci: 16, co: 16, k: 3, pad: 2, stride: 2, size: 6 }),
  conv({ ci: 16, co: 16, k: 5, pad: 2, group: 16, stride: 2 }),
  {
    op: 'BatchNormalization',
    what: 'training',
    shapes: [[4, 16, 5, 5], [16], [16]],
    build: (g, [x, scale, bias]) =>
      g.op(
        'BatchNormalization',
        [x!, scale!, bias!, g.constant(new Float32Array(16), [16]), g.constant(new Float32Array(16).fill(1), [16])],
        {
          attributes: { epsilon: { float: 1e-3 } },
        },
      ),
  },
  pool('MaxPool', 2, 2, 0),
  pool('MaxPool', 3, 2, 1),
  pool('MaxPool', 5, 1, 2),
  pool('AveragePool', 2, 2, 0),
  pool('AveragePool', 3, 2, 1),
  pool('AveragePool', 3, 1, 1, { count_include_pad: 1 }),
]

/** The training step of a case, its parameters, and the numbers that go on from there. */
export function stepOf(each: Case, dialect: Dialect): { step: StepGraph; start: Float32Array; uniform: () => number } {
  const uniform = random(7)
  const values = each.values ?? ((u: number) => u * 2 - 1)
  const g = new GraphBuilder('case')
  if (each.opset) g.graph.opsets[''] = each.opset
  const scale = g.input('unused', 'float32', [1])
  const inputs = each.shapes.map((shape, i) =>
    g.initializer(`p${i}`, {
      type: 'float32',
      shape,
      data: Float32Array.from({ length: elementCount(shape) }, () => values(uniform())),
    }),
  )
  const y = each.build(g, inputs)
  const weights = g.constant(
    Float32Array.from({ length: elementCount(y.shape) }, () => uniform() * 2 - 1),
    y.shape,
  )
  const loss = g.sum(g.mul(g.mul(y, weights), g.reshape(scale, [])))
  g.output(loss, 'loss')
  const step = compileStep({ graph: g.graph, losses: ['loss'], parameters: inputs.map(({ name }) => name), dialect })
  const start = Float32Array.from(inputs.flatMap(({ name }) => Array.from(g.constantOf(name)!.data as Float32Array)))
  return { step, start, uniform }
}
