/** Gradient rules of reductions, softmax and matrix products. */

import type { GraphBuilder, Value } from '../graph/builder.ts'
import { elementCount } from '../onnx/graph.ts'
import { floatOf, intOf, intsOf, normalAxis, textOf } from '../onnx/shapes.ts'
import { type Rule, type RuleInput, sumTo } from './rule.ts'

/** 1 where a equals b, for a <= b: a steep HardSigmoid, for Equal and Cast are slow on the CPU. */
export const equalBelow = (g: GraphBuilder, a: Value, b: Value): Value =>
  g.op('HardSigmoid', [g.sub(b, a)], { attributes: { alpha: { float: -1e30 }, beta: { float: 1 } } })

const globalPools = ['GlobalAveragePool', 'GlobalMaxPool']

/** Axes of a reduction, given as an attribute or (ReduceSum since opset 13, all since 18) as an input. */
function reducedAxes({ g, node, inputs }: RuleInput): readonly number[] {
  const rank = inputs[0]!.shape.length
  const all = [...Array(rank).keys()]
  if (globalPools.includes(node.op)) return all.slice(2)
  const given = g.constantOf(node.inputs[1] ?? '')
  const listed = given ? Array.from(given.data as ArrayLike<number | bigint>, Number) : intsOf(node.attributes.axes)
  if (!listed?.length) return intOf(node.attributes.noop_with_empty_axes, 0) ? [] : all
  return listed.map((axis) => normalAxis(axis, rank))
}

/** A reduction over `axes`: what is made of x, and of y and dy with the reduced axes kept as 1. */
const reducing =
  (rule: (g: GraphBuilder, x: Value, y: Value, dy: Value, axes: readonly number[]) => Value): Rule =>
  (input) => {
    const { g, inputs, outputs, dy } = input
    const x = inputs[0]!
    const axes = reducedAxes(input)
    const kept = x.shape.map((size, i) => (axes.includes(i) ? 1 : size))
    return [rule(g, x, g.reshape(outputs[0]!, kept), g.reshape(dy, kept), axes), ...inputs.slice(1).map(() => null)]
  }

const spreadOut = (g: GraphBuilder, dy: Value, x: Value): Value => g.op('Expand', [dy, g.ints(x.shape)])

const mean = reducing((g, x, y, dy) => spreadOut(g, g.scale(dy, elementCount(y.shape) / elementCount(x.shape)), x))

/** A maximum (sign 1) or minimum: ties share evenly, as in PyTorch's amax. */
const extreme = (sign: 1 | -1): Rule =>
  reducing((g, x, y, dy, axes) => {
    const mask = sign === 1 ? equalBelow(g, x, y) : equalBelow(g, y, x)
    return g.mul(mask, g.div(dy, g.sum(mask, axes, true)))
  })

const swapLast = (g: GraphBuilder, x: Value): Value => {
  const perm = [...x.shape.keys()]
  const last = perm.length - 1
  return g.transpose(x, perm.with(last, last - 1).with(last - 1, last))
}

export const reduction = {
  /** As a product of matrices: each factor's gradient is the same sum with dy in its place. */
  Einsum: ({ g, node, inputs, dy, wanted }) => {
    const [left, right] = textOf(node.attributes.equation, '').replaceAll(' ', '').split('->')
    const terms = left!.split(',')
    if (right === undefined || left!.includes('.') || terms.some((term) => new Set(term).size < term.length))
      throw new Error(`Einsum ${node.name} has a gradient rule for explicit sums without ... or repeated letters in a factor`)
    return inputs.map((each, i) => {
      if (!each || !wanted[i]) return null
      const others = terms.toSpliced(i, 1)
      const missing = [...terms[i]!].some((letter) => !`${right}${others.join('')}`.includes(letter))
      if (missing) throw new Error(`Einsum ${node.name} sums over an index of one factor alone; that has no gradient rule`)
      const equation = `${[right, ...others].join(',')}->${terms[i]}`
      return g.opShaped('Einsum', [dy, ...(inputs as Value[]).toSpliced(i, 1)], each.shape, { attributes: { equation } })
    })
  },
  GlobalAveragePool: mean,
  GlobalMaxPool: extreme(1),
  /** dx = dy - exp(y) sum(dy) */
  LogSoftmax: ({ g, node, outputs, dy }) => {
    const y = outputs[0]!
    const axis = normalAxis(intOf(node.attributes.axis, -1), y.shape.length)
    return [g.sub(dy, g.mul(g.exp(y), g.sum(dy, [axis], true)))]
  },
  ReduceL1: reducing((g, x, _y, dy) => g.mul(g.op('Sign', [x]), dy)),
  ReduceL2: reducing((g, x, y, dy) => g.mul(x, g.div(dy, y))),
  ReduceLogSum: reducing((g, x, y, dy) => spreadOut(g, g.div(dy, g.exp(y)), x)),
  ReduceLogSumExp: reducing((g, x, y, dy) => g.mul(dy, g.exp(g.sub(x, y)))),
  ReduceMax: extreme(1),
  ReduceMean: mean,
  ReduceMin: extreme(-1),
  /** Where no factor is 0: y / x. */
  ReduceProd: reducing((g, x, y, dy) => g.div(g.mul(dy, y), x)),
  ReduceSum: reducing((g, x, _y, dy) => spreadOut(g, dy, x)),
  ReduceSumSquare: reducing((g, x, _y, dy) => g.mul(g.scale(x, 2), dy)),
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
  /** A vector counts as a matrix with one row on the left, one column on the right. */
  MatMul: ({ g, inputs, dy, wanted }) => {
    const [x, y] = [inputs[0]!, inputs[1]!]
    const [vectorLeft, vectorRight] = [x.shape.length === 1, y.shape.length === 1]
    const a = vectorLeft ? g.reshape(x, [1, x.shape[0]!]) : x
    const b = vectorRight ? g.reshape(y, [y.shape[0]!, 1]) : y
    const lead = (vectorLeft ? y : x).shape.slice(0, -2)
    const columns = b.shape.at(-1)!
    const d = vectorLeft || vectorRight ? g.reshape(dy, [...lead, a.shape.at(-2)!, columns]) : dy
    return [
      wanted[0] ? g.reshape(sumTo(g, g.matMul(d, swapLast(g, b)), a.shape), x.shape) : null,
      wanted[1] ? g.reshape(sumTo(g, g.matMul(swapLast(g, a), d), b.shape), y.shape) : null,
    ]
  },
} satisfies Record<string, Rule>
