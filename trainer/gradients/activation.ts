/** Gradient rules of activations (operator specification of each; Gelu: Hendrycks and Gimpel 2016, Mish: Misra 2019, Selu: Klambauer et al. 2017). */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { floatOf, textOf } from '../onnx/shapes.ts'
import { isBlockForm, perChannelLine } from './blocked.ts'
import { one, positive, unary } from './elementwise.ts'
import { type Rule, sumTo } from './rule.ts'

/** `above` where x > 0, else `below`. */
function choose(g: GraphBuilder, x: Value, above: Value, below: Value): Value {
  const mask = positive(g, x)
  return g.add(g.mul(mask, above), g.mul(g.sub(one(g), mask), below))
}

/** 1 + a (x - y): on the blocked layout one pass, that of a convolution which adds. */
function onePlusDifference(g: GraphBuilder, x: Value, y: Value, a: number): Value {
  if (a !== 1 || !isBlockForm(g, x)) return g.add(g.scale(g.sub(x, y), a), one(g))
  const channels = [x.shape[1]!]
  return perChannelLine(g, y, g.filled(channels, -1), g.filled(channels, 1), x)
}

export const activation = {
  /** For x <= 0, y = a (exp(x / a) - 1): y / a + 1. */
  Celu: unary((g, x, y, dy, attributes) =>
    g.mul(dy, choose(g, x, one(g), g.add(g.scale(y, 1 / floatOf(attributes.alpha, 1)), one(g)))),
  ),
  /** For x <= 0, y = a (exp(x) - 1): y + a. */
  Elu: unary((g, x, y, dy, attributes) => g.mul(dy, choose(g, x, one(g), g.add(y, g.constant(floatOf(attributes.alpha, 1)))))),
  /** y = x F(x), F the normal distribution: F + x F', or what the tanh approximation of F gives. */
  Gelu: unary((g, x, _y, dy, attributes) => {
    const half = (value: Value) => g.scale(g.add(value, one(g)), 0.5)
    const square = g.mul(x, x)
    if (textOf(attributes.approximate, 'none') === 'none') {
      const density = g.scale(g.exp(g.scale(square, -0.5)), 1 / Math.sqrt(2 * Math.PI))
      return g.mul(dy, g.add(half(g.op('Erf', [g.scale(x, Math.SQRT1_2)])), g.mul(x, density)))
    }
    const [slope, cubic] = [Math.sqrt(2 / Math.PI), 0.044715]
    const t = g.op('Tanh', [g.scale(g.mul(x, g.add(one(g), g.scale(square, cubic))), slope)])
    const inner = g.scale(g.add(one(g), g.scale(square, 3 * cubic)), slope)
    return g.mul(dy, g.add(half(t), g.scale(g.mul(g.mul(x, inner), g.sub(one(g), g.mul(t, t))), 0.5)))
  }),
  HardSigmoid: unary((g, _x, y, dy, attributes) => {
    const inside = g.mul(positive(g, y), positive(g, g.sub(one(g), y)))
    return g.mul(dy, g.scale(inside, floatOf(attributes.alpha, 0.2)))
  }),
  /** y = x h(x), h = clip(x / 6 + 1 / 2): dy (h + x h') */
  HardSwish: unary((g, x, _y, dy) => {
    const h = g.op('HardSigmoid', [x], { attributes: { alpha: { float: 1 / 6 }, beta: { float: 0.5 } } })
    const inside = g.mul(positive(g, h), positive(g, g.sub(one(g), h)))
    return g.mul(dy, g.add(h, g.mul(g.scale(x, 1 / 6), inside)))
  }),
  LeakyRelu: unary((g, x, _y, dy, attributes) => {
    const alpha = floatOf(attributes.alpha, 0.01)
    return g.mul(dy, g.add(g.scale(positive(g, x), 1 - alpha), g.constant(alpha)))
  }),
  /** y = x t, t = tanh(softplus(x)): t + x sigmoid(x) (1 - t^2) */
  Mish: unary((g, x, _y, dy) => {
    const t = g.op('Tanh', [g.op('Softplus', [x])])
    return g.mul(dy, g.add(t, g.mul(g.mul(x, g.sigmoid(x)), g.sub(one(g), g.mul(t, t)))))
  }),
  PRelu: ({ g, inputs, dy, wanted }) => {
    const [x, slope] = [inputs[0]!, inputs[1]!]
    return [
      wanted[0] ? g.mul(dy, choose(g, x, one(g), slope)) : null,
      wanted[1] ? sumTo(g, g.mul(dy, g.sub(x, g.relu(x))), slope.shape) : null,
    ]
  },
  /** x s, s = sigmoid(a x): s (1 + a (x - y)). Made of Mul and Sigmoid before replay, with a = 1. */
  QuickGelu: unary((g, x, y, dy, attributes) => {
    // The op's own default (onnxruntime, com.microsoft.QuickGelu).
    const alpha = floatOf(attributes.alpha, 1.702)
    return g.mul(dy, g.mul(g.sigmoid(g.scale(x, alpha)), onePlusDifference(g, x, y, alpha)))
  }),
  Relu: unary((g, _x, y, dy) => g.mul(dy, positive(g, y))),
  /** For x <= 0, y = c (a exp(x) - a): y + c a. */
  Selu: unary((g, x, y, dy, attributes) => {
    const [alpha, gamma] = [floatOf(attributes.alpha, 1.6732632), floatOf(attributes.gamma, 1.0507009)]
    return g.mul(dy, choose(g, x, g.constant(gamma), g.add(y, g.constant(alpha * gamma))))
  }),
  Sigmoid: unary((g, _x, y, dy) => g.mul(dy, g.mul(y, g.sub(one(g), y)))),
  Softplus: unary((g, x, _y, dy) => g.mul(dy, g.sigmoid(x))),
  /** y = x / (1 + |x|): 1 / (1 + |x|)^2 */
  Softsign: unary((g, x, _y, dy) => {
    const below = g.add(one(g), g.op('Abs', [x]))
    return g.div(dy, g.mul(below, below))
  }),
  /** x s, s = sigmoid(a x), of opset 24. */
  Swish: unary((g, x, y, dy, attributes) => {
    const alpha = floatOf(attributes.alpha, 1)
    return g.mul(dy, g.mul(g.sigmoid(g.scale(x, alpha)), g.add(g.scale(g.sub(x, y), alpha), one(g))))
  }),
  Tanh: unary((g, _x, y, dy) => g.mul(dy, g.sub(one(g), g.mul(y, y)))),
  ThresholdedRelu: unary((g, x, _y, dy, attributes) =>
    g.mul(dy, positive(g, g.sub(x, g.constant(floatOf(attributes.alpha, 1))))),
  ),
} satisfies Record<string, Rule>
