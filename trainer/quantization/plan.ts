/** Which nodes of a folded graph are to compute in integers, and which activations need a range for that. Pure. */
import type { Graph, Node } from '../onnx/graph.ts'
import { textOf } from '../onnx/shapes.ts'
import { readers } from './fold.ts'

/** Nodes that onnxruntime runs as one integer kernel: a convolution with its activation, or one node of another kind. */
export interface Unit {
  /** Name of its output: what people read when it stays in float. */
  readonly name: string
  readonly node: Node
  /** Relu or Clip behind the convolution: the lower end of the output's range does its work. */
  readonly activation: Node | null
  readonly inputs: readonly string[]
}

export interface Plan {
  readonly units: readonly Unit[]
  /** Activations that become uint8, each with the one whose range it shares (itself, but where values only pass). */
  readonly rangeOf: ReadonlyMap<string, string>
}

/** What moves values and makes none: its output has its input's range. */
const passing: ReadonlySet<string> = new Set(['Resize', 'MaxPool', 'Reshape', 'Transpose'])

/** Convolutions are worth it for their own sake; the others only where they keep two of them from being cut apart by floats. */
const kinds: Readonly<Record<string, (graph: Graph, node: Node) => readonly string[] | null>> = {
  Conv: (graph, { inputs: [x, w, b] }) => {
    const known = [w, b].every((name) => name === undefined || name === '' || graph.initializers.get(name)?.type === 'float32')
    return known && !graph.initializers.has(x!) ? [x!] : null
  },
  Add: (graph, { inputs }) => (inputs.some((name) => graph.initializers.has(name)) ? null : inputs),
  Concat: (graph, { inputs }) => (inputs.some((name) => graph.initializers.has(name)) ? null : inputs),
  Reshape: (_, { inputs }) => inputs.slice(0, 1),
  Transpose: (_, { inputs }) => inputs,
  MaxPool: (_, { inputs, outputs }) => (outputs.length === 1 ? inputs : null),
  // Other modes make values between their neighbours; they are left alone.
  Resize: (_, { inputs, attributes }) => (textOf(attributes.mode, 'nearest') === 'nearest' ? inputs.slice(0, 1) : null),
}

/** @param floats names of units that stay in float */
export function planOf(graph: Graph, floats: ReadonlySet<string> = new Set()): Plan {
  const byReader = readers(graph)
  const candidates = graph.nodes.flatMap((node): Unit[] => {
    const inputs = node.domain === '' ? (kinds[node.op]?.(graph, node) ?? null) : null
    if (!inputs) return []
    const activation = node.op === 'Conv' ? activationOf(node, byReader) : null
    const name = (activation ?? node).outputs[0]!
    return floats.has(name) ? [] : [{ name, node, activation, inputs }]
  })
  // Forwards: an Add is only in integers where all that it adds is.
  const whole = new Set(graph.nodes.filter(({ op }) => op === 'DequantizeLinear').map(({ outputs }) => outputs[0]!))
  const reached = candidates.filter(({ node, name, inputs }) => {
    if (node.op !== 'Conv' && !inputs.every((each) => whole.has(each))) return false
    whole.add(name)
    return true
  })
  // Backwards: and where a convolution goes on from it.
  const useful = new Set<Unit>()
  const wanted = new Set<string>()
  for (const unit of reached.toReversed()) {
    if (unit.node.op !== 'Conv' && !wanted.has(unit.name)) continue
    useful.add(unit)
    for (const name of unit.inputs) wanted.add(name)
  }
  const units = reached.filter((unit) => useful.has(unit))
  const rangeOf = new Map<string, string>()
  const stored = new Set(graph.nodes.filter(({ op }) => op === 'DequantizeLinear').map(({ outputs }) => outputs[0]!))
  for (const { node, name, inputs } of units) {
    for (const each of inputs) if (!stored.has(each) && !rangeOf.has(each)) rangeOf.set(each, each)
    const [first] = inputs
    rangeOf.set(name, passing.has(node.op) && !stored.has(first!) ? rangeOf.get(first!)! : name)
  }
  return { units, rangeOf }
}

function activationOf(conv: Node, byReader: ReadonlyMap<string, readonly Node[]>): Node | null {
  const [next, ...more] = byReader.get(conv.outputs[0]!) ?? []
  return next && more.length === 0 && (next.op === 'Relu' || next.op === 'Clip') ? next : null
}

/** What people call a unit: the layer that its filters belong to. */
export const layerOf = ({ node, name }: Unit): string =>
  node.op === 'Conv' ? node.inputs[1]!.replace(/\/(wide|folded).*$/, '').replace(/\.weight$/, '') : name
