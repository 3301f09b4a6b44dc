/** Shapes, types and known values of every value of a graph, as far as they follow from it; what does not is told, not thrown. */
import { evaluate } from './evaluate.ts'
import type { Graph, Node, TensorData } from './graph.ts'
import type { Shaped } from './inference.ts'
import { constantValue, inferOutputs } from './shapes.ts'

export interface Fault {
  readonly node: Node
  readonly reason: string
}

export interface Inferred {
  /** By the name of the value; -1 stands for a size that is known only in the run. */
  readonly values: ReadonlyMap<string, Shaped>
  /** Values that follow from constants and shapes. */
  readonly known: ReadonlyMap<string, TensorData>
  /** Nodes whose outputs could not be inferred; those behind them are left out. */
  readonly faults: readonly Fault[]
}

export function infer(graph: Graph): Inferred {
  const values = new Map<string, Shaped>()
  const known = new Map<string, TensorData>(graph.initializers)
  const faults: Fault[] = []
  for (const { name, type, shape } of graph.inputs)
    values.set(name, { type, shape: shape.map((size) => (typeof size === 'number' ? size : -1)) })
  for (const [name, { type, shape }] of graph.initializers) values.set(name, { type, shape })
  for (const node of graph.nodes) {
    if (node.inputs.some((name) => name !== '' && !values.has(name))) continue
    const shapes = node.inputs.map((name) => (name === '' ? null : values.get(name)!))
    const constant = (index: number) => known.get(node.inputs[index] ?? '')
    try {
      const out = inferOutputs({ node, inputs: shapes, constant })
      const value =
        node.op === 'Constant' && node.domain === '' ? constantValue(node) : evaluate({ node, shapes, constant, out: out[0]! })
      if (value) known.set(node.outputs[0]!, value)
      for (const [i, name] of node.outputs.entries()) {
        const each = i === 0 && value ? value : out[i]
        if (name !== '' && each) values.set(name, { type: each.type, shape: each.shape })
      }
    } catch (error) {
      faults.push({ node, reason: error instanceof Error ? error.message : String(error) })
    }
  }
  return { values, known, faults }
}
