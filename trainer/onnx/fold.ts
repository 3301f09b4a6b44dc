/** Constant folding: nodes whose value is known before the run become initialisers, and what nothing needs any more goes. */
import type { Graph } from './graph.ts'
import { infer } from './infer.ts'

/**
 * @param shapes whether what follows from the size of an input is folded, too: the graph is then good for these sizes only
 * @param sizes of symbolic dimensions by name
 */
export function fold(
  graph: Graph,
  { shapes = false, sizes = {} }: { shapes?: boolean; sizes?: Readonly<Record<string, number>> } = {},
): Graph {
  const { known } = infer(graph, { sizes, withShapes: shapes })
  const nodes = graph.nodes.filter(({ outputs }) => !outputs.every((name) => name === '' || known.has(name)))
  const needed = new Set([...graph.outputs.map(({ name }) => name), ...nodes.flatMap(({ inputs }) => inputs)])
  const initializers = new Map([...known].filter(([name]) => needed.has(name)))
  const bound = (shape: readonly (number | string)[]) =>
    shape.map((size) => (shapes && typeof size === 'string' ? (sizes[size] ?? size) : size))
  return {
    ...graph,
    nodes,
    initializers,
    inputs: graph.inputs.map((each) => ({ ...each, shape: bound(each.shape) })),
    outputs: graph.outputs.map((each) => ({ ...each, shape: bound(each.shape) })),
  }
}
