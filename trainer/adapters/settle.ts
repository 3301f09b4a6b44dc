/** Settles what an exporter left open: sizes that are fixed only in the run, constants that are computed, and sizes of a Resize as factors. */
import ort from 'onnxruntime-node'
import { MuninnError } from '../../protocol/errors.ts'
import { GraphBuilder, type Value } from '../graph/builder.ts'
import { foldable } from '../onnx/evaluate.ts'
import {
  type DataType,
  elementCount,
  emptyGraph,
  type Graph,
  intTensor,
  type Node,
  needsOf,
  type TensorData,
  type ValueInfo,
} from '../onnx/graph.ts'
import { writeOnnx } from '../onnx/write.ts'
import type { Normalization } from './adapter.ts'
import { appendAllRows, dataDependent } from './all-rows.ts'
import { withoutPreparation } from './own-preparation.ts'

const readable: readonly DataType[] = ['float32', 'float64', 'int64', 'int32', 'bool']
/** Larger results are left to the run. */
const largest = 4_000_000

export interface Settled {
  /** Without Constant nodes; every shape is known from the input's. */
  readonly graph: Graph
  /** Shapes of all values. */
  readonly shapes: { value(name: string): { readonly shape: readonly number[] } }
  /** Where the file chooses among boxes in a way whose shapes are known only in the run: in words; then the graph ends there, without outputs. */
  readonly cut?: string
  /** Then also the values of which it chooses rows, in order. */
  readonly choosesFrom?: readonly string[]
  /** How the file itself normalised its pictures, where it did more than that and the network is read from behind it. */
  readonly normalization?: Normalization
}

/** Sides of the picture to try where a file leaves its size open, the commonest first: some were traced at one and work at no other. */
export const openSides = [416, 640, 320, 224]

/**
 * @param size of the picture, for an input that leaves it open; left out: the first at which every shape is known
 * @throws MuninnError BAD_MODEL naming the op whose shape is not known here
 */
export async function settleOpen(graph: Graph, size?: { width: number; height: number }): Promise<Settled> {
  const isOpen = graph.inputs.some(({ shape }) => shape.slice(1).some((each) => typeof each === 'string' || each <= 0))
  const sides = isOpen ? openSides : openSides.slice(0, 1)
  let fault: unknown
  for (const each of size ? [size] : sides.map((side) => ({ width: side, height: side }))) {
    try {
      return withoutPreparation(await settle(graph, each))
    } catch (error) {
      fault ??= error
    }
  }
  throw fault
}

/**
 * @param size of the picture, for an input that leaves it open
 * @throws MuninnError BAD_MODEL naming the op whose shape is not known here
 */
export async function settle(theirs: Graph, size: { width: number; height: number }): Promise<Settled> {
  const foreign = renamed(theirs)
  const sized = foreign.inputs.map((input) => ({ ...input, shape: fixed(input.shape, size) }))
  const told = sized.flatMap((input) => sizeInput(input, sized))
  const inputs = sized.filter(({ name }) => !told.some(([known]) => known === name))
  const g = GraphBuilder.from({ ...foreign, inputs, nodes: [], outputs: [] })
  for (const [name, tensor] of told) g.initializer(name, tensor)
  const chosen = new Set<string>()
  const lost = new Set<string>()
  let cut: string | undefined
  const queue = foreign.nodes.toReversed()
  for (let node = queue.pop(); node; node = queue.pop()) {
    const taken = branchTaken(g, node)
    if (taken) {
      for (const each of taken.reverse()) queue.push(each)
      continue
    }
    const follows = (names: ReadonlySet<string>) => needsOf(node!).some((name) => names.has(name))
    if (dataDependent.includes(node.op) || follows(chosen)) for (const name of node.outputs) chosen.add(name)
    if (follows(lost)) {
      for (const name of node.outputs) lost.add(name)
      continue
    }
    try {
      const made = g.appendFolded(node.op === 'Resize' ? byFactors(g, node) : node)
      if (made.every(({ name }) => name === '' || g.graph.initializers.has(name))) continue
      const computed = await largeConstants(g, node, made)
      if (computed.length === 0) continue
      g.graph.nodes.pop()
      for (const [name, tensor] of computed) g.initializer(name, tensor)
    } catch (cause) {
      if (cause instanceof MuninnError) throw cause
      const why = cause instanceof Error ? cause.message : String(cause)
      const words = `node ${ownName(node.name || node.outputs[0]!)} (${node.op}): ${why}`
      if (!follows(chosen)) throw new MuninnError('BAD_MODEL', words, { cause })
      for (const name of node.outputs) lost.add(name)
      cut ??= words
    }
  }
  // What stands before the choice is whole, and may be all that is wanted.
  if (foreign.outputs.some(({ name }) => lost.has(name))) {
    const choosesFrom = appendAllRows(g, foreign.nodes, chosen)
    return { graph: { ...g.graph, outputs: [] }, shapes: g, cut: cut!, choosesFrom }
  }
  const graph = { ...g.graph, outputs: foreign.outputs.map((output) => ({ ...output, shape: g.value(output.name).shape })) }
  return { graph, shapes: g }
}

/** The nodes of the branch that an If takes, where that is known before the run. */
function branchTaken(g: GraphBuilder, node: Node): Node[] | undefined {
  const condition = node.op === 'If' && g.constantOf(node.inputs[0]!)
  if (!condition) return undefined
  const branch = node.attributes[condition.data[0] ? 'then_branch' : 'else_branch']
  if (typeof branch !== 'object' || !('graph' in branch)) return undefined
  const { nodes, initializers, outputs } = branch.graph
  // Branches may call their own values alike.
  const own = new Set([...initializers.keys(), ...nodes.flatMap((each) => each.outputs)])
  const put = (name: string) => (own.has(name) ? `${node.outputs[0]}/${name}` : name)
  for (const [name, tensor] of initializers) g.initializer(put(name), tensor)
  return [
    ...nodes.map((each) => withNames(each, put)),
    ...node.outputs.map((output, i) => {
      const inputs = [put(outputs[i]!.name)]
      return { op: 'Identity', domain: '', name: output, inputs, outputs: [output], attributes: {} }
    }),
  ]
}

/** A node, and what its branches take from around them, under other names. */
function withNames(node: Node, put: (name: string) => string): Node {
  const branch = ({ nodes, initializers, outputs, ...rest }: Graph): Graph => {
    const own = new Set([...initializers.keys(), ...nodes.flatMap((each) => each.outputs)])
    const inside = (name: string) => (own.has(name) ? name : put(name))
    const named = outputs.map((each) => ({ ...each, name: inside(each.name) }))
    return { ...rest, initializers, nodes: nodes.map((each) => withNames(each, inside)), outputs: named }
  }
  const attributes = Object.entries(node.attributes).map(([key, value]) => {
    const isBranch = typeof value === 'object' && 'graph' in value
    return [key, isBranch ? { graph: branch(value.graph) } : value] as const
  })
  return { ...node, inputs: node.inputs.map(put), outputs: node.outputs.map(put), attributes: Object.fromEntries(attributes) }
}

/** Before every foreign name: what is built around the network may be called `image`, `boxes` or whatever it likes. */
const prefix = 'net/'
/** A foreign name as its author gave it. */
export const ownName = (name: string): string => (name.startsWith(prefix) ? name.slice(prefix.length) : name)

function renamed(graph: Graph): Graph {
  const put = (name: string) => (name === '' ? '' : prefix + name)
  const info = <T extends { name: string }>(each: T): T => ({ ...each, name: put(each.name) })
  return {
    ...graph,
    inputs: graph.inputs.map(info),
    outputs: graph.outputs.map(info),
    nodes: graph.nodes.map((node) => withNames(info(node), put)),
    initializers: new Map([...graph.initializers].map(([name, tensor]) => [put(name), tensor])),
  }
}

/**
 * Inputs by which exports are told of the picture, as constants: boxes are wanted in pixels of the network's input, which is the whole picture.
 * Paddle's scale_factor (1) and im_shape (height, width) are of float32, orig_target_sizes (width, height) of RT-DETR and D-FINE of int64.
 */
function sizeInput({ name, type, shape }: ValueInfo, inputs: readonly ValueInfo[]): [string, TensorData][] {
  const kind = /scale_factor|im_shape|orig_target_sizes/.exec(name)?.[0]
  if (!kind || shape.length !== 2 || shape[1] !== 2) return []
  const [height, width] =
    inputs
      .find((each) => each.shape.length === 4)
      ?.shape.slice(2, 4)
      .map(Number) ?? []
  if (type === 'int64' && kind === 'orig_target_sizes') return [[name, intTensor([1, 2], [width!, height!])]]
  if (type !== 'float32') return []
  const data = kind === 'scale_factor' ? [1, 1] : kind === 'im_shape' ? [height!, width!] : [width!, height!]
  return [[name, { type, shape: [1, 2], data: Float32Array.from(data) }]]
}

/** Open dimensions: a batch of 1 in front (torchvision's detectors have none), then channels as they are, then height and width. */
function fixed(shape: readonly (number | string)[], { width, height }: { width: number; height: number }): number[] {
  const last = shape[3] === 3 && shape[1] !== 3
  const open = last ? [1, height, width, 3] : [1, 3, height, width].slice(shape.length === 3 ? 1 : 0)
  return shape.map((each, i) => (typeof each === 'number' && each > 0 ? each : (open[i] ?? 1)))
}

/** What follows from constants and is too large for the builder to work out, or has several outputs: onnxruntime computes it once. */
async function largeConstants(g: GraphBuilder, node: Node, made: readonly Value[]): Promise<(readonly [string, TensorData])[]> {
  const inputs = node.inputs.filter((name) => name !== '').map((name) => [name, g.constantOf(name)] as const)
  const outputs = made.filter(({ name }) => name !== '')
  const known = inputs.length > 0 && inputs.every(([, tensor]) => tensor && readable.includes(tensor.type))
  const small = outputs.every(
    ({ type, shape }) => readable.includes(type) && !shape.includes(-1) && elementCount(shape) <= largest,
  )
  if (node.domain !== '' || !(foldable.includes(node.op) || node.op === 'Split') || !known || !small) return []
  const graph = {
    ...emptyGraph('constants'),
    opsets: g.graph.opsets,
    initializers: new Map(inputs.map(([name, tensor]) => [name, tensor!])),
    nodes: [node],
    outputs: outputs.map(({ name, type, shape }) => ({ name, type, shape })),
  }
  const session = await ort.InferenceSession.create(writeOnnx(graph), { graphOptimizationLevel: 'disabled', logSeverityLevel: 4 })
  try {
    const results = await session.run({})
    return outputs.map(({ name, type, shape }) => {
      const { data } = results[name]!
      if (typeof data === 'string' || Array.isArray(data)) throw new Error(`${name} is no tensor of numbers`)
      return [name, { type, shape, data: data as TensorData['data'] }] as const
    })
  } finally {
    await session.release()
  }
}

/** A Resize to constant sizes by whole factors says so, so that it also fits other picture sizes. */
function byFactors(g: GraphBuilder, node: Node): Node {
  const sizes = g.constantOf(node.inputs[3] ?? '')
  const { shape } = g.value(node.inputs[0]!)
  if (!sizes) return node
  const factors = Array.from(sizes.data as BigInt64Array, (size, i) => Number(size) / shape[i]!)
  if (!factors.every(Number.isInteger)) return node
  const name = `${node.outputs[0]}/factors`
  g.initializer(name, { type: 'float32', shape: [factors.length], data: Float32Array.from(factors) })
  return { ...node, inputs: [node.inputs[0]!, node.inputs[1] ?? '', name] }
}
