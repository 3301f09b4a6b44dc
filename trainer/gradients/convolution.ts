/** Convolution: how it is emitted in each dialect, and its gradients. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import type { Node } from '../onnx/graph.ts'
import { blocked, blockedChannelSum, isBlocked, unscaled } from './blocked.ts'
import { convolve, forwardFilter } from './convolve.ts'
import { scaledFilter } from './filter-blocks.ts'
import { filterGradient } from './filter-gradient.ts'
import { geometryOf, transposedGeometry } from './geometry.ts'
import { inputGradient } from './input-gradient.ts'
import type { Dialect, Rule } from './rule.ts'

/** The forward convolution of a recorded Conv node in this dialect. */
export function emitConvolution(g: GraphBuilder, node: Node, inputs: readonly (Value | null)[], dialect: Dialect): Value {
  const [x, w, bias] = inputs
  return convolve(g, x!, forwardFilter(g, w!), geometryOf(node, x!, w!), dialect, bias)
}

/** In blocks where the filter's gradient reads dy so; in two steps, for a reduction over [0, 2, 3] at once is several times slower. */
function biasGradient(g: GraphBuilder, w: Value, dy: Value): Value {
  if (!isBlocked(g, dy) || w.shape[2]! * w.shape[3]! === 1) return g.sum(g.sum(dy, [2, 3]), [0])
  return blockedChannelSum(g, blocked(g, dy))
}

/** Numbers of an output for each of the filter from which on scaling filters takes clearly less time than scaling outputs. */
const manyOutputs = 4

/** Where dy has scaled channels: what was scaled, if the filter and its gradient are much smaller and can be scaled instead. */
function lighter(g: GraphBuilder, w: Value, dy: Value): { dy: Value; factors: Value } | undefined {
  const known = unscaled(g, dy)
  return known && g.elementsOf(dy) >= manyOutputs * g.elementsOf(w) ? { dy: known.x, factors: known.factors } : undefined
}

export const convolution = {
  Conv: ({ g, node, inputs, dy, wanted, dialect }) => {
    const [x, w, bias] = inputs
    const geometry = geometryOf(node, x!, w!)
    const by = lighter(g, w!, dy)
    const dw = () => filterGradient(g, x!, w!, by?.dy ?? dy, geometry, dialect)
    return [
      wanted[0] ? inputGradient(g, x!, by ? scaledFilter(g, w!, by.factors) : w!, by?.dy ?? dy, geometry, dialect) : null,
      wanted[1] ? (by ? scaledFilter(g, dw(), by.factors) : dw()) : null,
      bias && wanted[2] ? biasGradient(g, w!, dy) : null,
    ]
  },
  /** The input gradient of a convolution read forwards: its own gradients are that convolution, with input and dy in turned roles. */
  ConvTranspose: ({ g, node, inputs, outputs, dy, wanted, dialect }) => {
    const [x, w, bias] = inputs
    const geometry = transposedGeometry(node, x!, w!, outputs[0]!)
    return [
      wanted[0] ? convolve(g, dy, forwardFilter(g, w!), geometry, dialect) : null,
      wanted[1] ? filterGradient(g, dy, w!, x!, geometry, dialect) : null,
      bias && wanted[2] ? biasGradient(g, w!, dy) : null,
    ]
  },
} satisfies Record<string, Rule>
