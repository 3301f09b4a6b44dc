/** Gradient rules of element-wise ops. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { inLayoutOfFirst } from './blocked.ts'
import { type Rule, sumTo } from './rule.ts'

/** 1 where x > 0, else 0: a HardSigmoid that is steep beyond float32, ten times quicker than Greater and Cast on the CPU. */
export const positive = (g: GraphBuilder, x: Value): Value =>
  g.op('HardSigmoid', [x], { attributes: { alpha: { float: 1e30 }, beta: { float: 0 } } })

/** 1 where a equals b, else 0. */
const equal = (g: GraphBuilder, a: Value, b: Value): Value => g.op('Cast', [g.op('Equal', [a, b])], { attributes: { to: 1 } })

export const one = (g: GraphBuilder): Value => g.constant(1)

/** Rules of ops with one input, from x, y and dy. */
export const unary =
  (
    rule: (g: GraphBuilder, x: Value, y: Value, dy: Value, attributes: Parameters<Rule>[0]['node']['attributes']) => Value,
  ): Rule =>
  ({ g, inputs, outputs, dy, node }) => [
    inLayoutOfFirst(g, [outputs[0]!, inputs[0]!, dy] as const, (y, x, slope) => rule(g, x, y, slope, node.attributes)),
  ]

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

/** Max and Min: at a tie each side gets the same share, as the subgradient of PyTorch's maximum. */
const pick: Rule = ({ g, inputs, outputs, dy, wanted }) => {
  const masks = inputs.map((each) => equal(g, each!, outputs[0]!))
  const share = g.div(
    dy,
    masks.reduce((sum, mask) => g.add(sum, mask)),
  )
  return inputs.map((each, i) => (wanted[i] ? sumTo(g, g.mul(share, masks[i]!), each!.shape) : null))
}

/** Steps: their gradient is 0 wherever they have one. */
const flat: Rule = ({ inputs }) => inputs.map(() => null)

export const elementwise = {
  Abs: unary((g, x, _y, dy) => g.mul(dy, g.op('Sign', [x]))),
  Atan: unary((g, x, _y, dy) => g.div(dy, g.add(one(g), g.mul(x, x)))),
  Add: binary(
    (_g, _a, _b, dy) => dy,
    (_g, _a, _b, dy) => dy,
  ),
  Cast: ({ inputs, outputs, dy }) => [inputs[0]!.type === 'float32' && outputs[0]!.type === 'float32' ? dy : null],
  Ceil: flat,
  /** Nothing flows where the value was cut off. */
  Clip: ({ g, inputs, outputs, dy }) => [g.mul(dy, equal(g, inputs[0]!, outputs[0]!)), null, null],
  Cos: unary((g, x, _y, dy) => g.neg(g.mul(dy, g.op('Sin', [x])))),
  Div: binary(
    (g, _a, b, dy) => g.div(dy, b),
    (g, _a, b, dy, y) => g.neg(g.div(g.mul(dy, y), b)),
  ),
  /** As it is run: nothing is dropped. */
  Dropout: ({ inputs, dy }) => [dy, ...inputs.slice(1).map(() => null)],
  /** d erf(x) / dx = 2 / sqrt(pi) exp(-x^2) */
  Erf: unary((g, x, _y, dy) => g.mul(dy, g.scale(g.exp(g.neg(g.mul(x, x))), 2 / Math.sqrt(Math.PI)))),
  Exp: unary((g, _x, y, dy) => g.mul(dy, y)),
  Floor: flat,
  Identity: ({ dy }) => [dy],
  Log: unary((g, x, _y, dy) => g.div(dy, x)),
  Max: pick,
  /** Of several inputs, element by element. */
  Mean: ({ g, inputs, dy, wanted }) =>
    inputs.map((each, i) => (wanted[i] ? sumTo(g, g.scale(dy, 1 / inputs.length), each!.shape) : null)),
  Min: pick,
  Mul: binary(
    (g, _a, b, dy) => g.mul(dy, b),
    (g, a, _b, dy) => g.mul(dy, a),
  ),
  Neg: unary((g, _x, _y, dy) => g.neg(dy)),
  /** d a^b / da = b a^(b-1), d a^b / db = a^b log a. A constant exponent keeps x and spares the general form. */
  Pow: ({ g, inputs, outputs, dy, wanted }) => {
    const [a, b] = [inputs[0]!, inputs[1]!]
    const exponent = g.constantOf(b.name)
    const power = () => {
      if (exponent?.data.length !== 1) return g.mul(b, g.op('Pow', [a, g.sub(b, one(g))]))
      const p = Number(exponent.data[0])
      return g.scale(p === 2 ? a : g.op('Pow', [a, g.constant(p - 1)]), p)
    }
    return [
      wanted[0] ? sumTo(g, g.mul(dy, power()), a.shape) : null,
      wanted[1] ? sumTo(g, g.mul(dy, g.mul(outputs[0]!, g.log(a))), b.shape) : null,
    ]
  },
  Reciprocal: unary((g, _x, y, dy) => g.neg(g.mul(dy, g.mul(y, y)))),
  Round: flat,
  Sign: flat,
  Sin: unary((g, x, _y, dy) => g.mul(dy, g.op('Cos', [x]))),
  Sqrt: unary((g, _x, y, dy) => g.div(g.scale(dy, 0.5), y)),
  Sub: binary(
    (_g, _a, _b, dy) => dy,
    (g, _a, _b, dy) => g.neg(dy),
  ),
  Sum: ({ g, inputs, dy, wanted }) => inputs.map((each, i) => (wanted[i] ? sumTo(g, dy, each!.shape) : null)),
  Tan: unary((g, _x, y, dy) => g.mul(dy, g.add(one(g), g.mul(y, y)))),
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
