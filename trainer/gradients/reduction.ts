/** Gradient rules of reductions, softmax and matrix products. */

import type { GraphBuilder, Value } from '../graph/builder.ts'
import { elementCount } from '../onnx/graph.ts'
import { floatOf, intOf, intsOf, normalAxis } from '../onnx/shapes.ts'
import { type Rule, type RuleInput, sumTo } from './rule.ts'

/** The gradient of a sum reaches every element alike, times `factor`. */
function spreadBack({ g, node, inputs, dy }: RuleInput, factor: number): readonly (Value | null)[] {
  const { shape } = inputs[0]!
  const given = g.constantOf(node.inputs[1] ?? '')
  const listed = given ? Array.from(given.data as ArrayLike<number | bigint>, Number) : intsOf(node.attributes.axes)
  const all = node.op === 'GlobalAveragePool' ? [...shape.keys()].slice(2) : [...shape.keys()]
  const axes = new Set((listed?.length ? listed : all).map((axis) => normalAxis(axis, shape.length)))
  const kept = shape.map((size, i) => (axes.has(i) ? 1 : size))
  return [g.op('Expand', [g.reshape(g.scale(dy, factor), kept), g.ints(shape)]), ...inputs.slice(1).map(() => null)]
}

const swapLast = (g: GraphBuilder, x: Value): Value => {
  const perm = [...x.shape.keys()]
  const last = perm.length - 1
  return g.transpose(x, perm.with(last, last - 1).with(last - 1, last))
}

export const reduction = {
  GlobalAveragePool: (input) => spreadBack(input, 1 / elementCount(input.inputs[0]!.shape.slice(2))),
  ReduceMean: (input) => spreadBack(input, elementCount(input.outputs[0]!.shape) / elementCount(input.inputs[0]!.shape)),
  ReduceSum: (input) => spreadBack(input, 1),
  /** dx = y (dy - sum(dy y)) */
  Softmax: ({ g, node, outputs, dy }) => {
    const y = outputs[0]!
    const axis = normalAxis(intOf(node.attributes.axis, -1), y.shape.length)
    const weighted = g.mul(dy, y)
    return [g.sub(weighted, g.mul(y, g.sum(weighted, [axis], true)))]
  },
  Gemm: ({ g, node: { attributes }, inputs, dy, wanted }) => {
    const [a, b, c] = inputs
    const [transA, transB] = [intOf(attributes.transA, 0) === 1, intOf(attributes.transB, 0) === 1]
    const scaled = g.scale(dy, floatOf(attributes.alpha, 1))
    const left = () =>
      transA ? g.matMul(transB ? swapLast(g, b!) : b!, swapLast(g, scaled)) : g.matMul(scaled, transB ? b! : swapLast(g, b!))
    const right = () =>
      transB ? g.matMul(swapLast(g, scaled), transA ? swapLast(g, a!) : a!) : g.matMul(transA ? a! : swapLast(g, a!), scaled)
    return [
      wanted[0] ? left() : null,
      wanted[1] ? right() : null,
      c && wanted[2] ? sumTo(g, g.scale(dy, floatOf(attributes.beta, 1)), c.shape) : null,
    ]
  },
  MatMul: ({ g, inputs, dy, wanted }) => {
    const [a, b] = [inputs[0]!, inputs[1]!]
    if (a.shape.length < 2 || b.shape.length < 2) throw new Error('MatMul is differentiated with matrices, not vectors')
    return [
      wanted[0] ? sumTo(g, g.matMul(dy, swapLast(g, b)), a.shape) : null,
      wanted[1] ? sumTo(g, g.matMul(swapLast(g, a), dy), b.shape) : null,
    ]
  },
} satisfies Record<string, Rule>
