/** What a gradient rule is: a node and the gradients of its outputs in, the gradients of its inputs out, all as graph. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import type { Node } from '../onnx/graph.ts'

/**
 * Which ops the step graph may use. `std`: standard ONNX only, runs on every provider. `nchwc16`, `nchwc8`: onnxruntime's CPU
 * provider with its blocked convolution (block of 16 channels on AVX512, 8 on AVX2 and NEON) and com.microsoft ops.
 */
export type Dialect = 'std' | 'nchwc16' | 'nchwc8'

export const blockOf = (dialect: Dialect): number => (dialect === 'nchwc16' ? 16 : dialect === 'nchwc8' ? 8 : 0)

/** A node of the forward graph as it was replayed: with its values, and what its forward emission wants to tell its gradient. */
export interface Recorded {
  readonly node: Node
  readonly inputs: readonly (Value | null)[]
  readonly outputs: readonly Value[]
  /** e.g. the batch mean and variance of a BatchNormalization */
  readonly saved: readonly Value[]
}

export interface RuleInput extends Recorded {
  readonly g: GraphBuilder
  readonly dialect: Dialect
  /** Gradient of the first output. */
  readonly dy: Value
  /** Gradients of all outputs; null where nothing depends on one. */
  readonly dys: readonly (Value | null)[]
  /** Whether the gradient of this input is wanted: a rule need not make the others. */
  readonly wanted: readonly boolean[]
}

/** One gradient per input; null where it is not wanted or there is none. */
export type Rule = (input: RuleInput) => readonly (Value | null)[]

/** Sums `dy` over the axes along which a tensor of `shape` was broadcast. */
export function sumTo(g: GraphBuilder, dy: Value, shape: readonly number[]): Value {
  const lead = dy.shape.length - shape.length
  const axes = dy.shape.flatMap((size, i) => (i < lead || (shape[i - lead] === 1 && size !== 1) ? [i] : []))
  return g.reshape(g.sum(dy, axes, true), shape)
}
