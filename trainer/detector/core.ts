/** The trainable core of a deployed file, image to raw rows, in any batch size and picture size. */
import { MuninnError } from '../../protocol/errors.ts'
import { pruned } from '../engine/step-graph.ts'
import { GraphBuilder } from '../graph/builder.ts'
import { elementCount, type Graph, intTensor } from '../onnx/graph.ts'
import { cellsOf } from './cells.ts'
import type { Specification } from './specification.ts'

/** Only the nodes that rows and feature need. */
export function coreOf(graph: Graph, { rows, scores, feature }: Specification): Graph {
  const outputs = [rows, scores, feature]
    .filter((name) => name !== undefined)
    .map((name) => ({ name, type: 'float32' as const, shape: [] }))
  return { ...pruned({ ...graph, outputs }), outputs: [] }
}

/**
 * The core for another batch or picture size. Shapes that a Reshape has as constants follow the size that its input has now.
 * @throws MuninnError BAD_MODEL when nodes of the core fix its size
 */
export function withInput(core: Graph, { batch, width, height }: { batch: number; width: number; height: number }): Graph {
  const [from] = core.inputs[0]!.shape
  const inputs = core.inputs.map((each) => ({ ...each, shape: [batch, height, width, 3] }))
  if (core.inputs[0]!.shape.every((size, i) => size === inputs[0]!.shape[i])) return { ...core, inputs }
  const before = GraphBuilder.from({ ...core, outputs: [] })
  const after = GraphBuilder.from({ ...core, inputs, nodes: [], outputs: [] })
  const maps = new Map<string, readonly [number, number]>()
  try {
    const nodes = core.nodes.map((node) => {
      const target = node.op === 'Reshape' ? core.initializers.get(node.inputs[1]!) : undefined
      let moved = node
      if (target) {
        const shape = reshaped({
          literal: Array.from(target.data as BigInt64Array, Number),
          was: before.value(node.inputs[0]!).shape,
          is: after.value(node.inputs[0]!).shape,
          batches: [Number(from), batch],
          maps,
        })
        // The core may have come through here before, or be a file that did: then the name is there, with the shape of that size.
        const own = `${node.outputs[0]}/shape`
        const name = node.inputs[1] === own || !after.has(own) ? own : `${own}/${batch}x${height}x${width}`
        after.initializer(name, intTensor([shape.length], shape))
        moved = { ...node, inputs: [node.inputs[0]!, name] }
      }
      // Sizes that are no whole multiples of what is resized, of which there are factors.
      const sizes = node.op === 'Resize' ? core.initializers.get(node.inputs[3] ?? '') : undefined
      if (sizes) {
        const name = `${node.outputs[0]}/sizes/${batch}x${height}x${width}`
        const shape = resizedTo(Array.from(sizes.data as BigInt64Array, Number), [Number(from), batch], maps)
        after.initializer(name, intTensor([shape.length], shape))
        moved = { ...node, inputs: node.inputs.with(3, name) }
      }
      for (const [i, { shape }] of after.append(moved).entries()) {
        const old = before.value(node.outputs[i]!).shape
        if (old.length === 4 && shape.length === 4) maps.set(`${old[2]} ${old[3]}`, [shape[2]!, shape[3]!])
      }
      return moved
    })
    return { ...core, inputs, nodes, initializers: pruned({ ...after.graph, nodes, outputs: outputsOf(core) }).initializers }
  } catch (cause) {
    if (cause instanceof MuninnError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    const cure = batch === from ? '' : `; ${from} at a time may do (--batch ${from})`
    throw new MuninnError(
      'BAD_MODEL',
      `the model cannot be had for ${batch} pictures of ${width} x ${height} at a time: ${why}${cure}`,
      { cause },
    )
  }
}

/**
 * The core for another picture size. Grids of strides such as SSD's 100 have other cells there than the network gives rows.
 * @throws MuninnError BAD_MODEL when it cannot be had
 */
export function resized(core: Graph, specification: Specification, size: { width: number; height: number }): Graph {
  const sized = withInput(core, { batch: 1, ...size })
  const [, rows] = GraphBuilder.from({ ...sized, outputs: [] }).value(specification.rows).shape
  const cells = cellsOf({ ...size, ...specification }).levels.at(-1)
  if (rows !== cells)
    throw new MuninnError(
      'BAD_MODEL',
      `its grids fit the size that it was made for alone: for pictures of ${size.width} x ${size.height} it gives ${rows} rows, where strides of ${specification.strides.join(', ')} have ${cells}`,
    )
  return sized
}

/** What the sizes of a Resize, the batch among them, become. */
function resizedTo(
  literal: readonly number[],
  [from, to]: readonly [number, number],
  maps: ReadonlyMap<string, readonly [number, number]>,
): number[] {
  const sizes = maps.get(literal.slice(-2).join(' '))
  if (!sizes || literal.length !== 4) throw new Error(`a Resize to [${literal.join(', ')}] fixes the size of the picture`)
  return [literal[0] === from ? to : literal[0]!, literal[1]!, ...sizes]
}

/** Everything that a core makes counts as wanted: it names no outputs of its own. */
const outputsOf = (core: Graph) =>
  core.nodes.flatMap(({ outputs }) => outputs.map((name) => ({ name, type: 'float32' as const, shape: [] })))

/**
 * What a Reshape's constant shape becomes when its input's sizes change: height and width of a known map at its end, their product
 * anywhere, and the batch in front (also where it was multiplied into the channels, as ShuffleNet exports have it).
 */
export function reshaped(options: {
  literal: readonly number[]
  was: readonly number[]
  is: readonly number[]
  batches: readonly [number, number]
  /** Height and width of feature maps now, by "height width" before. */
  maps: ReadonlyMap<string, readonly [number, number]>
}): number[] {
  const { literal, was, is, batches, maps } = options
  // Zeros copy from the input and -1 takes the rest: such a shape fits every size as it is.
  if (literal[0] === 0 && literal.includes(-1)) return [...literal]
  const [from, to] = batches
  const ratio = elementCount(is) / elementCount(was)
  const shape = [...literal]
  let left = ratio
  const end = literal.length
  const pair = end >= 4 ? maps.get(`${literal[end - 2]} ${literal[end - 1]}`) : undefined
  if (pair) {
    shape.splice(end - 2, 2, ...pair)
    left /= (pair[0] * pair[1]) / (literal[end - 2]! * literal[end - 1]!)
  } else {
    const flat = [...maps].find(([key, now]) => {
      const [h, w] = key.split(' ').map(Number) as [number, number]
      return h * w > 1 && now[0] * now[1] !== h * w && literal.includes(h * w, 1)
    })
    if (flat) {
      const [h, w] = flat[0].split(' ').map(Number) as [number, number]
      shape[literal.lastIndexOf(h * w)] = flat[1][0] * flat[1][1]
      left /= (flat[1][0] * flat[1][1]) / (h * w)
    }
  }
  const batchRatio = to / from
  if (batchRatio !== 1 && shape[0]! > 0) {
    const open = shape.includes(-1)
    // Beside an open size only a plain batch in front changes; else the batch lies in whatever comes first.
    if (!open || (literal[0] === from && was[0] === from)) {
      shape[0] = shape[0]! * batchRatio
      left /= batchRatio
    }
  }
  if (!shape.includes(-1) && Math.abs(left - 1) > 1e-9)
    throw new Error(`a Reshape to [${literal.join(', ')}] fixes the size of the picture`)
  return shape
}

/** A builder that goes on behind the core, with shapes inferred anew. */
export const continued = (core: Graph): GraphBuilder => GraphBuilder.from({ ...core, outputs: [] })
