/** Convolution: how it is emitted in each dialect, and its gradients. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import type { Node } from '../onnx/graph.ts'
import { blocked, blockedChannelSum, isBlocked } from './blocked.ts'
import { convolve, forwardFilter } from './convolve.ts'
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

export const convolution = {
  Conv: ({ g, node, inputs, dy, wanted, dialect }) => {
    const [x, w, bias] = inputs
    const geometry = geometryOf(node, x!, w!)
    return [
      wanted[0] ? inputGradient(g, x!, w!, dy, geometry, dialect) : null,
      wanted[1] ? filterGradient(g, x!, w!, dy, geometry, dialect) : null,
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
