/** Loads a file in onnxruntime and runs it once on zeros. Only ever called in the probing process: onnxruntime may end it. */
import ort from 'onnxruntime-node'
import { openSides } from '../adapters/settle.ts'
import { allocate } from '../onnx/data-types.ts'
import { elementCount, type Graph, type ValueInfo } from '../onnx/graph.ts'
import { type Inferred, infer } from '../onnx/infer.ts'
import type { PictureSize } from './inspection.ts'

/** Picture sizes to try where the file leaves the size open. */
const openSizes: readonly PictureSize[] = openSides.map((side) => ({ width: side, height: side }))

/** More elements in one value are not run: a file of a few bytes can ask for any amount of memory. */
const mostElements = 2 ** 28

/** An input with its open dimensions filled: one picture of three channels. */
export function shapeFor({ shape }: Pick<ValueInfo, 'shape'>, { width, height }: PictureSize): number[] {
  const last = shape.at(-1) === 3
  const picture = last ? [1, height, width, 3] : [1, 3, height, width]
  // torchvision's detectors take one without a batch.
  const open = shape.length === 4 ? picture : shape.length === 3 && shape[0] === 3 ? picture.slice(1) : shape.map(() => 1)
  return shape.map((size, i) => (typeof size === 'number' && size > 0 ? size : open[i]!))
}

export interface Trial {
  readonly milliseconds: number
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}

/** The graph with all its inputs at fixed sizes. */
export const settledAt = (graph: Graph, size: PictureSize): Graph => ({
  ...graph,
  inputs: graph.inputs.map((input) => ({ ...input, shape: shapeFor(input, size) })),
})

/** @throws Error with what is too large, or what onnxruntime says */
export async function trialRun(
  file: Uint8Array,
  graph: Graph,
  doing: (what: string) => void,
  size?: PictureSize,
): Promise<Trial> {
  const isOpen = graph.inputs.some(({ shape }) => shape.some((size) => typeof size === 'string'))
  doing('loading it in onnxruntime')
  const session = await ort.InferenceSession.create(file, { logSeverityLevel: 4 })
  try {
    let fault: unknown
    for (const each of size ? [size] : isOpen ? openSizes : openSizes.slice(0, 1)) {
      try {
        return await runOnce(session, settledAt(graph, each), doing)
      } catch (error) {
        fault ??= error
      }
    }
    throw fault
  } finally {
    await session.release()
  }
}

async function runOnce(session: ort.InferenceSession, graph: Graph, doing: (what: string) => void): Promise<Trial> {
  refuseHuge(graph)
  const feeds: Record<string, ort.Tensor> = {}
  const words = (name: string, shape: readonly number[]) => `${name} [${shape.join(', ')}]`
  for (const { name, type, shape } of graph.inputs) {
    if (type === 'other' || type === 'string') throw new Error(`the input ${name} is of a type that is not supported`)
    feeds[name] = new ort.Tensor(type, allocate(type, elementCount(shape.map(Number))), shape.map(Number))
  }
  doing('running it on zeros')
  const start = performance.now()
  const results = await session.run(feeds)
  const milliseconds = performance.now() - start
  return {
    milliseconds,
    inputs: graph.inputs.map(({ name, shape }) => words(name, shape.map(Number))),
    outputs: Object.entries(results).map(([name, { dims }]) => words(name, dims)),
  }
}

/** @throws Error naming the value */
export function refuseHuge(graph: Graph): void {
  refuseHugeValues(infer(graph))
}

function refuseHugeValues({ values, branches }: Inferred): void {
  for (const branch of branches) refuseHugeValues(branch)
  for (const [name, { shape }] of values) {
    const known = shape.filter((size) => size !== -1)
    if (elementCount(known) > mostElements)
      throw new Error(`the value ${name} is [${shape.join(', ')}], which is more than ${mostElements} numbers`)
  }
}
