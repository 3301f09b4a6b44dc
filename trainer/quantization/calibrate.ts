/** Runs a folded graph over calibration pictures once and keeps how the values of each activation are spread. */
import ort from 'onnxruntime-node'
import { pruned } from '../engine/step-graph.ts'
import { GraphBuilder } from '../graph/builder.ts'
import { elementCount, type Graph } from '../onnx/graph.ts'
import { writeOnnx } from '../onnx/write.ts'
import { Histogram } from './histogram.ts'

/** Activations that are held at a time, in floats: 64 MB. */
const chunkFloats = 16e6

/** @param images uint8 [height, width, 3], as the model takes them */
export async function calibrate(
  graph: Graph,
  activations: readonly string[],
  {
    images,
    threads = 0,
    signal,
    onImage,
  }: {
    images: readonly Uint8Array[]
    threads?: number
    signal?: AbortSignal
    onImage?: (done: number, of: number) => void
  },
): Promise<Map<string, Histogram>> {
  const histograms = new Map(activations.map((name) => [name, new Histogram()]))
  const shaped = GraphBuilder.from(graph)
  const chunks: string[][] = [[]]
  let floats = 0
  for (const name of activations) {
    const size = elementCount(shaped.value(name).shape)
    floats += size
    if (floats > chunkFloats && chunks.at(-1)!.length > 0) {
      chunks.push([])
      floats = size
    }
    chunks.at(-1)!.push(name)
  }
  let done = 0
  for (const chunk of chunks) {
    const outputs = chunk.map((name) => ({ name, type: 'float32' as const, shape: shaped.value(name).shape }))
    const session = await ort.InferenceSession.create(writeOnnx(pruned({ ...graph, outputs })), {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
    })
    try {
      for (const image of images) {
        signal?.throwIfAborted()
        const values = await session.run({ image: new ort.Tensor('uint8', image, graph.inputs[0]!.shape.map(Number)) })
        for (const name of chunk) histograms.get(name)!.add(values[name]!.data as Float32Array)
        onImage?.(++done, images.length * chunks.length)
      }
    } finally {
      await session.release()
    }
  }
  return histograms
}
