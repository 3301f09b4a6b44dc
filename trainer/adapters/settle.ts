/** Settles what an exporter left open: sizes that are fixed only in the run, constants that are computed, and sizes of a Resize as factors. */
import ort from 'onnxruntime-node'
import { MuninnError } from '../../protocol/errors.ts'
import { GraphBuilder, type Value } from '../graph/builder.ts'
import { type DataType, elementCount, emptyGraph, type Graph, intTensor, type Node, type TensorData } from '../onnx/graph.ts'
import { writeOnnx } from '../onnx/write.ts'

/** Ops that are computed before the run when all their inputs are known. Cast is safe here: it makes only types that we read. */
const foldable = new Set(
  'Add And Cast Ceil Concat ConstantOfShape Div Equal Exp Expand Floor Gather Greater Identity Less Max Min Mod Mul Neg Not Or Pow Range Reciprocal ReduceProd Reshape Slice Split Sqrt Squeeze Sub Tile Transpose Unsqueeze Where'.split(
    ' ',
  ),
)
const readable: readonly DataType[] = ['float32', 'int64', 'int32', 'bool']
/** Larger results are left to the run. */
const largest = 4_000_000

export interface Settled {
  /** Without Constant nodes; every shape is known from the input's. */
  readonly graph: Graph
  /** The same in a builder: shapes of all values. */
  readonly shapes: GraphBuilder
}

/**
 * @param size of the picture, for an input that leaves it open
 * @throws MuninnError BAD_MODEL naming the op whose shape is not known here
 */
export async function settle(theirs: Graph, size: { width: number; height: number }): Promise<Settled> {
  const foreign = renamed(theirs)
  const inputs = foreign.inputs.map((input) => ({ ...input, shape: fixed(input.shape, size) }))
  const g = GraphBuilder.from({ ...foreign, inputs, nodes: [], outputs: [] })
  for (const node of foreign.nodes) {
    try {
      for (const [name, tensor] of await foldedOf(g, node)) g.initializer(name, tensor)
      if (node.outputs.every((name) => name === '' || g.has(name))) continue
      g.append(node.op === 'Resize' ? byFactors(g, node) : node)
    } catch (cause) {
      if (cause instanceof MuninnError) throw cause
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new MuninnError('BAD_MODEL', `node ${ownName(node.name || node.outputs[0]!)} (${node.op}): ${why}`, { cause })
    }
  }
  const graph = { ...g.graph, outputs: foreign.outputs.map((output) => ({ ...output, shape: g.value(output.name).shape })) }
  return { graph, shapes: g }
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
    nodes: graph.nodes.map((node) => ({ ...info(node), inputs: node.inputs.map(put), outputs: node.outputs.map(put) })),
    initializers: new Map([...graph.initializers].map(([name, tensor]) => [put(name), tensor])),
  }
}

/** Open dimensions: a batch of 1 in front, then channels as they are, then height and width. */
function fixed(shape: readonly (number | string)[], { width, height }: { width: number; height: number }): number[] {
  const last = shape[3] === 3 && shape[1] !== 3
  const open = last ? [1, height, width, 3] : [1, 3, height, width]
  return shape.map((each, i) => (typeof each === 'number' && each > 0 ? each : (open[i] ?? 1)))
}

async function foldedOf(g: GraphBuilder, node: Node): Promise<(readonly [string, TensorData])[]> {
  if (node.domain !== '') return []
  if (node.op === 'Shape') {
    const { shape } = g.value(node.inputs[0]!)
    if (shape.includes(-1)) return []
    const from = Number(node.attributes.start ?? 0)
    const to = Number(node.attributes.end ?? shape.length)
    const part = shape.slice(from, to)
    return [[node.outputs[0]!, intTensor([part.length], part)]]
  }
  const known = node.inputs.map((name) => (name === '' ? null : g.constantOf(name)))
  if (
    !foldable.has(node.op) ||
    known.length === 0 ||
    known.some((each) => each === undefined || (each && !readable.includes(each.type)))
  )
    return []
  const probe = GraphBuilder.from({ ...emptyGraph('fold'), opsets: { ...g.graph.opsets } })
  for (const [i, name] of node.inputs.entries()) if (name && !probe.has(name)) probe.initializer(name, known[i]!)
  const made = probe.append(node)
  if (made.some((each) => !readable.includes(each.type) || each.shape.includes(-1) || elementCount(each.shape) > largest))
    return []
  if (node.op === 'Identity') return [[node.outputs[0]!, known[0]!]]
  return await computed(probe, made)
}

async function computed(probe: GraphBuilder, values: readonly Value[]): Promise<(readonly [string, TensorData])[]> {
  const outputs = values.filter(({ name }) => name !== '')
  const graph = { ...probe.graph, outputs: outputs.map(({ name, type, shape }) => ({ name, type, shape })) }
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
