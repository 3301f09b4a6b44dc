/** Shapes, types and known values of every value of a graph, as far as they follow from it; what does not is told, not thrown. */
import { evaluate } from './evaluate.ts'
import { branchesOf, type Graph, type Node, type TensorData } from './graph.ts'
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
  /** Of the branches of its Ifs, whichever is taken. */
  readonly branches: readonly Inferred[]
}

/** What a branch sees of the graphs that it stands in. */
interface Around {
  shape(name: string): Shaped | undefined
  constant(name: string): TensorData | undefined
}

export function infer(graph: Graph, around?: Around): Inferred {
  const values = new Map<string, Shaped>()
  const known = new Map<string, TensorData>(graph.initializers)
  const visible: Around = {
    shape: (name) => values.get(name) ?? around?.shape(name),
    constant: (name) => known.get(name) ?? around?.constant(name),
  }
  const faults: Fault[] = []
  const branches: Inferred[] = []
  for (const { name, type, shape } of graph.inputs)
    values.set(name, { type, shape: shape.map((size) => (typeof size === 'number' ? size : -1)) })
  for (const [name, { type, shape }] of graph.initializers) values.set(name, { type, shape })
  for (const node of graph.nodes) {
    if (node.inputs.some((name) => name !== '' && !visible.shape(name))) continue
    const shapes = node.inputs.map((name) => (name === '' ? null : visible.shape(name)!))
    const constant = (index: number) => visible.constant(node.inputs[index] ?? '')
    try {
      const inside = branchesOf(node).map((branch) => infer(branch, visible))
      branches.push(...inside)
      const out = inside.length > 0 ? ofEither(node, inside, visible) : inferOutputs({ node, inputs: shapes, constant })
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
  return { values, known, faults, branches }
}

/** What an If gives, whichever branch it takes. @throws Error where they are not alike */
function ofEither(node: Node, inside: readonly Inferred[], around: Around): Shaped[] {
  const given = branchesOf(node).map(({ outputs }, i) =>
    outputs.map(({ name }) => inside[i]!.values.get(name) ?? around.shape(name)),
  )
  return node.outputs.map((_, at) => {
    const [first, ...others] = given.map((each) => each[at])
    if (!first || others.some((each) => each?.type !== first.type || each.shape.length !== first.shape.length))
      throw new Error('the shapes of its branches are not the same')
    return {
      type: first.type,
      shape: first.shape.map((size, i) => (others.every((each) => each!.shape[i] === size) ? size : -1)),
    }
  })
}
