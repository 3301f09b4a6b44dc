/** Gradient rules of element-wise ops. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { floatOf } from '../onnx/shapes.ts'
import { type Rule, sumTo } from './rule.ts'

/** 1 where x > 0, else 0: a HardSigmoid that is steep beyond float32, ten times quicker than Greater and Cast on the CPU. */
export const positive = (g: GraphBuilder, x: Value): Value =>
  g.op('HardSigmoid', [x], { attributes: { alpha: { float: 1e30 }, beta: { float: 0 } } })

/** 1 where a >= b, else 0. */
const notLess = (g: GraphBuilder, a: Value, b: Value): Value =>
  g.op('Cast', [g.op('GreaterOrEqual', [a, b])], { attributes: { to: 1 } })

const one = (g: GraphBuilder): Value => g.constant(1)

/** Rules of ops with one input, from x, y and dy. */
const unary =
  (
    rule: (g: GraphBuilder, x: Value, y: Value, dy: Value, attributes: Parameters<Rule>[0]['node']['attributes']) => Value,
  ): Rule =>
  ({ g, inputs, outputs, dy, node }) => [rule(g, inputs[0]!, outputs[0]!, dy, node.attributes)]

/** Rules of two-input ops that broadcast: each maker gives the gradient before it is summed back to its input's shape. */
const binary =
  (
    left: (g: GraphBuilder, a: Value, b: Value, dy: Value, y: Value) => Value,
    right: (g: GraphBuilder, a: Value, b: Value, dy: Value, y: Value) => Value,
  ): Rule =>
  ({ g, inputs, outputs, dy, wanted }) => {
    const [a, b] = [inputs[0]!, inputs[1]!]
    return [
      wanted[0] ? sumTo(g, left(g, a, b, dy, outputs[0]!), a.shape) : null,
      wanted[1] ? sumTo(g, right(g, a, b, dy, outputs[0]!), b.shape) : null,
    ]
  }

/** Max and Min of two: at a tie each side gets half, as the subgradient of PyTorch's maximum. */
const pick =
  (sign: 1 | -1): Rule =>
  ({ g, inputs, dy, wanted }) => {
    if (inputs.length !== 2) throw new Error('Max and Min are differentiated with two inputs')
    const [a, b] = [inputs[0]!, inputs[1]!]
    const [winner, loser] = sign === 1 ? [a, b] : [b, a]
    const first = g.scale(g.add(notLess(g, winner, loser), g.sub(one(g), notLess(g, loser, winner))), 0.5)
    return [
      wanted[0] ? sumTo(g, g.mul(dy, first), a.shape) : null,
      wanted[1] ? sumTo(g, g.mul(dy, g.sub(one(g), first)), b.shape) : null,
    ]
  }

export const elementwise = {
  Abs: unary((g, x, _y, dy) => g.mul(dy, g.op('Sign', [x]))),
  Add: binary(
    (_g, _a, _b, dy) => dy,
    (_g, _a, _b, dy) => dy,
  ),
  Cast: ({ inputs, outputs, dy }) => [inputs[0]!.type === 'float32' && outputs[0]!.type === 'float32' ? dy : null],
  /** Nothing flows where the value was cut off. */
  Clip: ({ g, inputs, outputs, dy }) => {
    const inside = g.op('Cast', [g.op('Equal', [inputs[0]!, outputs[0]!])], { attributes: { to: 1 } })
    return [g.mul(dy, inside), null, null]
  },
  Div: binary(
    (g, _a, b, dy) => g.div(dy, b),
    (g, _a, b, dy, y) => g.neg(g.div(g.mul(dy, y), b)),
  ),
  /** d erf(x) / dx = 2 / sqrt(pi) exp(-x^2) */
  Erf: unary((g, x, _y, dy) => g.mul(dy, g.scale(g.exp(g.neg(g.mul(x, x))), 2 / Math.sqrt(Math.PI)))),
  Exp: unary((g, _x, y, dy) => g.mul(dy, y)),
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
  Identity: ({ dy }) => [dy],
  LeakyRelu: unary((g, x, _y, dy, attributes) => {
    const alpha = floatOf(attributes.alpha, 0.01)
    return g.mul(dy, g.add(g.scale(positive(g, x), 1 - alpha), g.constant(alpha)))
  }),
  Log: unary((g, x, _y, dy) => g.div(dy, x)),
  Max: pick(1),
  Min: pick(-1),
  Mul: binary(
    (g, _a, b, dy) => g.mul(dy, b),
    (g, a, _b, dy) => g.mul(dy, a),
  ),
  Neg: unary((g, _x, _y, dy) => g.neg(dy)),
  /** The exponent must be a constant: d x^p = p x^(p-1). */
  Pow: ({ g, inputs, dy }) => {
    const exponent = g.constantOf(inputs[1]!.name)
    if (exponent?.data.length !== 1) throw new Error('Pow is differentiated with a constant exponent')
    const p = Number(exponent.data[0])
    return [g.mul(dy, g.scale(p === 2 ? inputs[0]! : g.op('Pow', [inputs[0]!, g.constant(p - 1)]), p)), null]
  },
  Reciprocal: unary((g, _x, y, dy) => g.neg(g.mul(dy, g.mul(y, y)))),
  Relu: unary((g, _x, y, dy) => g.mul(dy, positive(g, y))),
  Sigmoid: unary((g, _x, y, dy) => g.mul(dy, g.mul(y, g.sub(one(g), y)))),
  /** x sigmoid(x), made of Mul and Sigmoid before replay: s (1 + x - y). */
  QuickGelu: unary((g, x, y, dy) => g.mul(dy, g.mul(g.sigmoid(x), g.add(g.sub(x, y), one(g))))),
  Softplus: unary((g, x, _y, dy) => g.mul(dy, g.sigmoid(x))),
  Sqrt: unary((g, _x, y, dy) => g.div(g.scale(dy, 0.5), y)),
  Sub: binary(
    (_g, _a, _b, dy) => dy,
    (g, _a, _b, dy) => g.neg(dy),
  ),
  Sum: ({ g, inputs, dy, wanted }) => inputs.map((each, i) => (wanted[i] ? sumTo(g, dy, each!.shape) : null)),
  Tanh: unary((g, _x, y, dy) => g.mul(dy, g.sub(one(g), g.mul(y, y)))),
  Where: ({ g, inputs, dy, wanted }) => {
    const [condition, a, b] = [inputs[0]!, inputs[1]!, inputs[2]!]
    const mask = g.op('Cast', [condition], { attributes: { to: 1 } })
    return [
      null,
      wanted[1] ? sumTo(g, g.mul(dy, mask), a.shape) : null,
      wanted[2] ? sumTo(g, g.mul(dy, g.sub(one(g), mask)), b.shape) : null,
    ]
  },
} satisfies Record<string, Rule>
