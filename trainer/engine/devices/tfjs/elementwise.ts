/** Ops that compute each element by itself, reductions, normalisations and products. */
import { broadcast, floatOf, intOf, normalAxis, textOf } from '../../../onnx/shapes.ts'
import type { Call, Op, Tensor } from './call.ts'

type Unary =
  | 'abs'
  | 'atan'
  | 'ceil'
  | 'cos'
  | 'erf'
  | 'exp'
  | 'floor'
  | 'log'
  | 'logicalNot'
  | 'neg'
  | 'reciprocal'
  | 'relu'
  | 'round'
  | 'sigmoid'
  | 'sign'
  | 'sin'
  | 'softplus'
  | 'sqrt'
  | 'tan'
  | 'tanh'
type Binary =
  | 'add'
  | 'div'
  | 'equal'
  | 'greater'
  | 'greaterEqual'
  | 'less'
  | 'lessEqual'
  | 'logicalAnd'
  | 'logicalOr'
  | 'maximum'
  | 'minimum'
  | 'mul'
  | 'pow'
  | 'sub'

const unary =
  (name: Unary): Op =>
  (c) =>
    c.tf[name](c.x())
const binary =
  (name: Binary): Op =>
  (c) =>
    c.tf[name](c.x(0), c.x(1))
/** Of any number of inputs. */
const variadic =
  (name: 'add' | 'maximum' | 'minimum'): Op =>
  ({ tf, xs }) =>
    xs.length === 1 ? tf.clone(xs[0]!) : xs.reduce((sum, each) => tf[name](sum, each))
const reduction =
  (make: (c: Call, axes: number[], keep: boolean) => Tensor): Op =>
  (c) => {
    const none = intOf(c.node.attributes.noop_with_empty_axes, 0) === 1 && !c.numbers(1, 'axes')?.length
    return none ? make(c, [], true) : make(c, c.axes(1), intOf(c.node.attributes.keepdims, 1) === 1)
  }

/** (x - mean) / sqrt(variance + epsilon) over some axes. */
function standardised({ tf, node }: Call, x: Tensor, axes: number[]): Tensor {
  const centred = tf.sub(x, tf.mean(x, axes, true))
  return tf.div(centred, tf.sqrt(tf.add(tf.mean(tf.square(centred), axes, true), floatOf(node.attributes.epsilon, 1e-5))))
}

/** x above zero, height (exp(x / width) - 1) below. */
const bent = (c: Call, height: number, width: number): Tensor =>
  c.tf.where(c.tf.greater(c.x(), 0), c.x(), c.tf.mul(c.tf.expm1(c.tf.div(c.tf.minimum(c.x(), 0), width)), height))

/** x sigmoid(alpha x) */
const gated: Op = (c) => c.tf.mul(c.x(), c.tf.sigmoid(c.tf.mul(c.x(), slope(c, 1))))

const slope = ({ node }: Call, fallback: number) => floatOf(node.attributes.alpha, fallback)

export const elementwise = {
  Abs: unary('abs'),
  Add: binary('add'),
  And: binary('logicalAnd'),
  Atan: unary('atan'),
  BatchNormalization: (c) => {
    const { tf, node } = c
    if (intOf(node.attributes.training_mode, 0))
      throw new Error(`BatchNormalization ${node.name} in training mode is not run here`)
    const rank = c.from().length
    const [scale, bias, mean, variance] = [1, 2, 3, 4].map((i) => c.perChannel(c.x(i), rank)) as [Tensor, Tensor, Tensor, Tensor]
    const factor = tf.div(scale, tf.sqrt(tf.add(variance, floatOf(node.attributes.epsilon, 1e-5))))
    return tf.add(tf.mul(tf.sub(c.x(), mean), factor), bias)
  },
  Cast: (c) => {
    const to = c.g.value(c.node.outputs[0]!).type
    return c.tf.cast(c.x(), to === 'float32' ? 'float32' : to === 'bool' ? 'bool' : 'int32')
  },
  Celu: (c) => bent(c, slope(c, 1), slope(c, 1)),
  Ceil: unary('ceil'),
  Clip: (c) => {
    const { tf, node } = c
    const low = c.has(1) ? c.x(1) : floatOf(node.attributes.min, Number.NEGATIVE_INFINITY)
    const high = c.has(2) ? c.x(2) : floatOf(node.attributes.max, Number.POSITIVE_INFINITY)
    return tf.minimum(tf.maximum(c.x(), low), high)
  },
  Cos: unary('cos'),
  Div: binary('div'),
  Dropout: (c) => c.tf.clone(c.x()),
  Einsum: (c) => c.tf.einsum(textOf(c.node.attributes.equation, '').replaceAll(' ', ''), ...c.xs),
  Elu: (c) => bent(c, slope(c, 1), 1),
  Equal: binary('equal'),
  Erf: unary('erf'),
  Exp: unary('exp'),
  Floor: unary('floor'),
  Gelu: (c) => {
    const { tf } = c
    const x = c.x()
    const inner =
      textOf(c.node.attributes.approximate, 'none') === 'tanh'
        ? tf.tanh(tf.mul(tf.add(x, tf.mul(tf.mul(tf.square(x), x), 0.044715)), Math.sqrt(2 / Math.PI)))
        : tf.erf(tf.mul(x, Math.SQRT1_2))
    return tf.mul(tf.mul(x, 0.5), tf.add(inner, 1))
  },
  Gemm: (c) => {
    const { tf, node } = c
    const [transA, transB] = [intOf(node.attributes.transA, 0) === 1, intOf(node.attributes.transB, 0) === 1]
    const product = tf.mul(tf.matMul(c.x(0), c.x(1), transA, transB), floatOf(node.attributes.alpha, 1))
    return c.has(2) ? tf.add(product, tf.mul(c.x(2), floatOf(node.attributes.beta, 1))) : product
  },
  Greater: binary('greater'),
  GreaterOrEqual: binary('greaterEqual'),
  HardSigmoid: (c) => {
    const { tf, node } = c
    const line = tf.add(tf.mul(c.x(), slope(c, 0.2)), floatOf(node.attributes.beta, 0.5))
    return tf.minimum(tf.maximum(line, 0), 1)
  },
  HardSwish: (c) => c.tf.mul(c.x(), c.tf.minimum(c.tf.maximum(c.tf.add(c.tf.mul(c.x(), 1 / 6), 0.5), 0), 1)),
  Identity: (c) => c.tf.clone(c.x()),
  InstanceNormalization: (c) => {
    const rank = c.from().length
    const spatial = c
      .from()
      .map((_, i) => i)
      .slice(2)
    const scaled = c.tf.mul(standardised(c, c.x(), spatial), c.perChannel(c.x(1), rank))
    return c.tf.add(scaled, c.perChannel(c.x(2), rank))
  },
  LayerNormalization: (c) => {
    const rank = c.from().length
    const first = normalAxis(intOf(c.node.attributes.axis, -1), rank)
    const scaled = c.tf.mul(standardised(c, c.x(), [...Array(rank).keys()].slice(first)), c.x(1))
    return c.has(2) ? c.tf.add(scaled, c.x(2)) : scaled
  },
  LeakyRelu: (c) => c.tf.where(c.tf.greater(c.x(), 0), c.x(), c.tf.mul(c.x(), slope(c, 0.01))),
  Less: binary('less'),
  LessOrEqual: binary('lessEqual'),
  Log: unary('log'),
  LogSoftmax: (c) => {
    const axis = normalAxis(intOf(c.node.attributes.axis, -1), c.from().length)
    return c.tf.sub(c.x(), c.tf.logSumExp(c.x(), axis, true))
  },
  MatMul: (c) => {
    const { tf } = c
    const [a, b] = [c.from(0), c.from(1)]
    // A vector is one row on the left, one column on the right; TensorFlow.js broadcasts one side's batches only.
    const left = a.length === 1 ? [1, ...a] : [...a]
    const right = b.length === 1 ? [...b, 1] : [...b]
    const batch = broadcast(left.slice(0, -2), right.slice(0, -2))
    const spread = (x: Tensor, shape: number[]) => tf.broadcastTo(tf.reshape(x, shape), [...batch, ...shape.slice(-2)])
    return tf.reshape(tf.matMul(spread(c.x(0), left), spread(c.x(1), right)), c.to())
  },
  Max: variadic('maximum'),
  Mean: (c) => c.tf.div(variadic('add')(c) as Tensor, c.xs.length),
  Min: variadic('minimum'),
  Mish: (c) => c.tf.mul(c.x(), c.tf.tanh(c.tf.softplus(c.x()))),
  Mul: binary('mul'),
  Neg: unary('neg'),
  Not: unary('logicalNot'),
  Or: binary('logicalOr'),
  PRelu: (c) => c.tf.where(c.tf.greater(c.x(), 0), c.x(), c.tf.mul(c.x(), c.x(1))),
  Pow: binary('pow'),
  QuickGelu: gated,
  Reciprocal: unary('reciprocal'),
  ReduceL1: reduction((c, axes, keep) => c.tf.sum(c.tf.abs(c.x()), axes, keep)),
  ReduceL2: reduction((c, axes, keep) => c.tf.sqrt(c.tf.sum(c.tf.square(c.x()), axes, keep))),
  ReduceLogSum: reduction((c, axes, keep) => c.tf.log(c.tf.sum(c.x(), axes, keep))),
  ReduceLogSumExp: reduction((c, axes, keep) => c.tf.logSumExp(c.x(), axes, keep)),
  ReduceMax: reduction((c, axes, keep) => c.tf.max(c.x(), axes, keep)),
  ReduceMean: reduction((c, axes, keep) => c.tf.mean(c.x(), axes, keep)),
  ReduceMin: reduction((c, axes, keep) => c.tf.min(c.x(), axes, keep)),
  ReduceProd: reduction((c, axes, keep) => c.tf.prod(c.x(), axes, keep)),
  ReduceSum: reduction((c, axes, keep) => c.tf.sum(c.x(), axes, keep)),
  ReduceSumSquare: reduction((c, axes, keep) => c.tf.sum(c.tf.square(c.x()), axes, keep)),
  Relu: unary('relu'),
  Round: unary('round'),
  Selu: (c) => c.tf.mul(bent(c, floatOf(c.node.attributes.alpha, 1.6732632), 1), floatOf(c.node.attributes.gamma, 1.050701)),
  Sigmoid: unary('sigmoid'),
  Sign: unary('sign'),
  Sin: unary('sin'),
  Softmax: (c) => {
    const axis = normalAxis(intOf(c.node.attributes.axis, -1), c.from().length)
    const raised = c.tf.exp(c.tf.sub(c.x(), c.tf.max(c.x(), axis, true)))
    return c.tf.div(raised, c.tf.sum(raised, axis, true))
  },
  Softplus: unary('softplus'),
  Softsign: (c) => c.tf.div(c.x(), c.tf.add(c.tf.abs(c.x()), 1)),
  Sqrt: unary('sqrt'),
  Sub: binary('sub'),
  Sum: variadic('add'),
  Swish: gated,
  Tan: unary('tan'),
  Tanh: unary('tanh'),
  ThresholdedRelu: (c) => c.tf.where(c.tf.greater(c.x(), slope(c, 1)), c.x(), 0),
  Where: (c) => c.tf.where(c.x(0), c.x(1), c.x(2)),
} satisfies Record<string, Op>
