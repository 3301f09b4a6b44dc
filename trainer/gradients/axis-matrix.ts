/** Ops that mix values along one axis by constant weights (Resize, Pad by reflection): their gradient is a product with the weights turned round. */
import type { GraphBuilder, Value } from '../graph/builder.ts'

/** Weights of the inputs of one axis for each output: rows are outputs. */
export type AxisMatrix = readonly Float32Array[]

/** dy with the outputs of `axis` summed back to its inputs. */
export function turnBack(g: GraphBuilder, dy: Value, axis: number, matrix: AxisMatrix): Value {
  const [outputs, inputs] = [matrix.length, matrix[0]!.length]
  const flat = Float32Array.from({ length: outputs * inputs }, (_, i) => matrix[Math.floor(i / inputs)]![i % inputs]!)
  const weights = g.constant(flat, [outputs, inputs])
  const last = dy.shape.length - 1
  if (axis === last) return g.matMul(dy, weights)
  const swap = [...dy.shape.keys()].with(axis, last).with(last, axis)
  return g.transpose(g.matMul(g.transpose(dy, swap), weights), swap)
}

/** Whether each block of whole `factor` outputs repeats one input. */
export const repeats = (matrix: AxisMatrix, factor: number): boolean =>
  Number.isInteger(factor) && matrix.every((row, o) => row[Math.floor(o / factor)] === 1)

export function isIdentity(matrix: AxisMatrix): boolean {
  return matrix.length === matrix[0]!.length && repeats(matrix, 1)
}
