/** Compiles a forward graph with a loss into one training-step graph: flat parameters in, flat gradient out. */

import { differentiate, replay } from '../gradients/differentiate.ts'
import { filterBlocks, hasWholeBlocks, plainFilter } from '../gradients/filter-blocks.ts'
import { recomputing } from '../gradients/recompute.ts'
import { blockOf, type Dialect, type Recorded } from '../gradients/rule.ts'
import { GraphBuilder, type Value } from '../graph/builder.ts'
import { elementCount, type Graph, type Node } from '../onnx/graph.ts'
import { intOf } from '../onnx/shapes.ts'
import { fuseActivations, fused, fuseSums } from './fuse.ts'

/** Where a tensor lies in a flat vector. */
export interface Slot {
  readonly name: string
  readonly shape: readonly number[]
  readonly offset: number
  readonly size: number
  /** A filter that lies in the graph's flat vectors in blocks of so many channels: filter-order.ts brings it there. */
  readonly block?: number
}

/** A tensor that is a piece of a flat vector. */
export interface Piece {
  readonly name: string
  readonly shape: readonly number[]
  readonly offset: number
}

export interface StepGraph {
  /**
   * Inputs: those of the forward graph, `parameters` [P], and `statistics` [S] where there are any.
   * Outputs: `losses` [losses.length], `gradient` [P], `batchStatistics` [S] where there are any, and `share` [1] where the forward graph
   * has such an output: by it the micro-batches of a step count.
   */
  readonly graph: Graph
  /** Those of these vectors that the graph takes or gives in pieces, by name. */
  readonly pieces: Readonly<Record<string, readonly Piece[]>>
  readonly parameters: readonly Slot[]
  /** Running means and variances of the BatchNormalizations in training. */
  readonly statistics: readonly Slot[]
  /** Bytes of what the forward pass gives: what a session keeps for the backward pass unless it recomputes. */
  readonly keptBytes: number
  /** What it was compiled from. */
  readonly source: StepOptions
  /** What the entries of the output `finite` stand for, in the order of the computation; empty when it was not asked for. */
  readonly checked: readonly string[]
}

export interface StepOptions {
  /** Forward graph; its first `losses` name the scalar that is minimised, the others are only reported. */
  readonly graph: Graph
  readonly losses: readonly string[]
  /** Initialisers to train, in the order of the flat vector. */
  readonly parameters: readonly string[]
  readonly dialect: Dialect
  /** Less memory for a little more time: the outputs of cheap layers are made anew in the backward pass. The numbers stay the same. */
  readonly recompute?: boolean
  /** Only one output `finite`: 0 for every layer's output and parameter's gradient that is, NaN for the others. */
  readonly checked?: boolean
  /** Filters lie in the flat vectors as the blocked convolutions have them, and their slots say so: fewer passes over them in each step. */
  readonly filtersInBlocks?: boolean
  /** Each parameter and each gradient is a tensor of its own: a pass over either less. */
  readonly inPieces?: boolean
}

function layout(graph: Graph, names: readonly string[]): Slot[] {
  let offset = 0
  return names.map((name) => {
    const tensor = graph.initializers.get(name)
    if (tensor?.type !== 'float32') throw new Error(`${name} is no float32 initialiser, so it cannot be trained`)
    const slot = { name, shape: tensor.shape, offset, size: elementCount(tensor.shape) }
    offset += slot.size
    return slot
  })
}

/** With the blocks of those that are nothing but filters of convolutions over whole blocks of channels. */
function inBlocks({ nodes }: Graph, slots: readonly Slot[], b: number): Slot[] {
  const isFilter = ({ op, domain, inputs, attributes }: Node, name: string) =>
    op === 'Conv' && domain === '' && inputs[1] === name && intOf(attributes.group, 1) === 1 && inputs[0] !== name
  return slots.map((slot) => {
    const { name, shape } = slot
    // A filter of one pixel has its gradient as a product of matrices, which is plain.
    const larger = shape.length === 4 && shape[2]! * shape[3]! > 1 && hasWholeBlocks(shape, b)
    return larger && nodes.every((node) => !node.inputs.includes(name) || isFilter(node, name)) ? { ...slot, block: b } : slot
  })
}

export const total = (slots: readonly Slot[]): number => slots.reduce((sum, { size }) => sum + size, 0)

/** The initialisers of a graph as one flat vector. */
export function packed(graph: Graph, slots: readonly Slot[]): Float32Array {
  const flat = new Float32Array(total(slots))
  for (const { name, offset } of slots) flat.set(graph.initializers.get(name)!.data as Float32Array, offset)
  return flat
}

/** The BatchNormalizations whose scale is trained use the batch's statistics; the running ones are kept for them. */
function statisticsOf(graph: Graph, trained: ReadonlySet<string>): string[] {
  return graph.nodes.flatMap(({ op, inputs }) =>
    op === 'BatchNormalization' && trained.has(inputs[1]!) ? [inputs[3]!, inputs[4]!] : [],
  )
}

/** Cuts a flat input into its tensors, under the names that the forward graph uses. */
function unpack(g: GraphBuilder, flat: Value, slots: readonly Slot[], dialect: Dialect): Map<string, Value> {
  const sizes = slots.map(({ size }) => size)
  const parts =
    dialect === 'std' || slots.length === 1
      ? g.cut(flat, sizes, 0)
      : g.ops('Split', [flat, g.ints(sizes)], { attributes: { axis: 0 }, outputs: sizes.length })
  return new Map(slots.map((slot, i) => [slot.name, asUsed(g, parts[i]!, slot)]))
}

/** A parameter as the forward graph uses it, of what lies in its slot. */
const asUsed = (g: GraphBuilder, part: Value, { shape, block }: Slot): Value =>
  block ? plainFilter(g, part, shape, block) : g.reshape(part, shape)

const nameOfInput = ({ name }: Slot): string => `parameters/${name}`

/** Makes each value an output of its own. */
function outputs(g: GraphBuilder, values: readonly Value[], slots: readonly Slot[]): Piece[] {
  return values.map((value, i) => {
    const made = g.unreshaped(value)
    const { inputs, initializers, outputs: told } = g.graph
    const taken = initializers.has(made.name) || [...inputs, ...told].some(({ name }) => name === made.name)
    const own = taken ? g.op('Identity', [made]) : made
    g.output(own, own.name)
    return { name: own.name, shape: own.shape, offset: slots[i]!.offset }
  })
}

/** @throws Error naming an op that has no gradient rule */
export function compileStep(source: StepOptions): StepGraph {
  const { losses, parameters: names, dialect } = source
  const graph = fused(source.graph, dialect)
  const trained = new Set(names)
  const parameters = source.filtersInBlocks ? inBlocks(graph, layout(graph, names), blockOf(dialect)) : layout(graph, names)
  const statistics = layout(graph, statisticsOf(graph, trained))
  const g = new GraphBuilder('step', 'step/')
  Object.assign(g.graph.opsets, graph.opsets)
  for (const { name, type, shape } of graph.inputs) g.input(name, type, shape.map(Number))
  const values = source.inPieces
    ? new Map(parameters.map((slot) => [slot.name, asUsed(g, g.input(nameOfInput(slot), 'float32', slot.shape), slot)]))
    : unpack(g, g.input('parameters', 'float32', [total(parameters)]), parameters, dialect)
  if (statistics.length > 0) {
    const flat = g.input('statistics', 'float32', [total(statistics)])
    for (const [name, value] of unpack(g, flat, statistics, dialect)) values.set(name, value)
  }
  for (const [name, tensor] of graph.initializers) if (!values.has(name)) g.initializer(name, tensor)

  const tape = graph.nodes.map((node) => replay(g, node, values, dialect, (name) => trained.has(name)))
  const keptBytes = tape.reduce((sum, { outputs }) => sum + 4 * elementCount(outputs[0]!.shape), 0)
  const lossValues = losses.map((name) => values.get(name) ?? g.value(name))
  const wanted = parameters.map(({ name }) => values.get(name)!.name)
  const again = source.recompute
    ? recomputing(g, tape, (node, { saved }) => replay(g, node, new Map(), dialect, () => saved.length > 0))
    : undefined
  const gradients = differentiate(g, { tape, loss: lossValues[0]!, wanted, dialect, again })
  const flat = (value: Value) => g.reshape(value, [elementCount(value.shape)])
  const parts = parameters.map(({ shape, block }, i) => {
    const gradient = gradients.get(wanted[i]!)
    return gradient && block ? filterBlocks(g, gradient, block) : (gradient ?? g.filled(shape))
  })
  const pieces: Record<string, readonly Piece[]> = source.inPieces
    ? { parameters: parameters.map((slot) => ({ ...slot, name: nameOfInput(slot) })) }
    : {}
  if (source.checked) {
    const layers = [
      ...checksOf(tape, graph),
      ...names.map((name, i) => ({ name: `the gradient of ${name}`, value: parts[i]! })).reverse(),
    ]
    g.output(
      g.concat(
        layers.map(({ value }) => g.reshape(g.sum(g.scale(value, 0)), [1])),
        0,
      ),
      'finite',
    )
    return {
      graph: finished(g),
      parameters,
      statistics,
      keptBytes,
      source,
      pieces,
      checked: layers.map(({ name }) => name),
    }
  }
  g.output(g.concat(lossValues.map(flat), 0), 'losses')
  if (source.inPieces) pieces.gradient = outputs(g, parts, parameters)
  else g.output(g.concat(parts.map(flat), 0, 'gradient'), 'gradient')
  if (statistics.length > 0) g.output(batchStatistics(g, tape), 'batchStatistics')
  const share = graph.outputs.find(({ name }) => name === 'share')
  if (share) g.output(values.get(share.name) ?? g.value(share.name), share.name)
  return { graph: soonest(finished(g), pieces.gradient ?? []), parameters, statistics, keptBytes, source, pieces, checked: [] }
}

/**
 * onnxruntime begins with what the last node needs that nobody reads (Graph::ReverseDFSFrom), and goes on with the one before. The gradients of
 * the last layers therefore stand last: they are made first, as soon as what they read is there, and that is let go.
 */
function soonest(graph: Graph, gradients: readonly Piece[]): Graph {
  const read = new Set(graph.nodes.flatMap(({ inputs }) => inputs))
  const order = new Map(gradients.filter(({ name }) => !read.has(name)).map(({ name }, i) => [name, i]))
  const last = ({ outputs }: Node) => order.get(outputs[0]!)
  const ends = graph.nodes.filter((node) => last(node) !== undefined).sort((a, b) => last(a)! - last(b)!)
  return { ...graph, nodes: [...graph.nodes.filter((node) => last(node) === undefined), ...ends] }
}

/** Nodes that can be done in the pass of another are. */
const finished = (g: GraphBuilder): Graph => fuseSums(fuseActivations(pruned(g.graph)), (name) => g.value(name).shape)

/** Every layer's output, called by its parameter where it has one. */
function checksOf(tape: readonly Recorded[], { initializers }: Graph): { name: string; value: Value }[] {
  return tape.flatMap(({ node: { op, name, inputs }, outputs, saved }) => {
    const layer = `${op} ${inputs.find((each) => initializers.has(each)) ?? name}`
    const told = outputs.slice(0, 1).filter(({ type }) => type === 'float32')
    return [
      ...saved.map((value) => ({ name: `a batch statistic of ${layer}`, value })),
      ...told.map((value) => ({ name: `the output of ${layer}`, value })),
    ]
  })
}

/** [mean, unbiased variance] of every BatchNormalization in training: running variances are unbiased (as PyTorch's are). */
function batchStatistics(g: GraphBuilder, tape: readonly Recorded[]): Value {
  const trained = tape.filter(({ saved }) => saved.length === 2)
  const factors = trained.flatMap(({ saved, inputs }) => {
    const [n, channels, height, width] = inputs[0]!.shape as [number, number, number, number]
    const count = n * height * width
    return saved.flatMap((_, i) => Array<number>(channels).fill(i === 0 ? 1 : count / Math.max(1, count - 1)))
  })
  const all = g.concat(
    trained.flatMap(({ saved }) => saved),
    0,
  )
  return g.mul(all, g.constant(factors, [factors.length]))
}

/** Without nodes, initialisers and inputs that no output needs. */
export function pruned(graph: Graph): Graph {
  const needed = new Set(graph.outputs.map(({ name }) => name))
  const nodes = graph.nodes
    .toReversed()
    .filter(({ inputs, outputs }) => {
      if (!outputs.some((name) => needed.has(name))) return false
      for (const name of inputs) needed.add(name)
      return true
    })
    .reverse()
  return {
    ...graph,
    nodes,
    inputs: graph.inputs.filter(({ name }) => needed.has(name)),
    initializers: new Map([...graph.initializers].filter(([name]) => needed.has(name))),
  }
}
