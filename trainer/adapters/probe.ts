/** Runs the end of a foreign network, from its maps of logits to its outputs, to see what its own decoding does. */
import ort from 'onnxruntime-node'
import { pruned } from '../engine/step-graph.ts'
import { elementCount } from '../onnx/graph.ts'
import { writeOnnx } from '../onnx/write.ts'
import type { Foreign } from './foreign.ts'

/** @returns the named outputs when the maps hold these values */
export async function runEnd(
  foreign: Foreign,
  maps: ReadonlyMap<string, Float32Array>,
  outputs: readonly string[],
): Promise<Float32Array[]> {
  const { graph } = foreign
  const infos = [...maps.keys()].map((name) => ({ name, type: 'float32' as const, shape: foreign.shape(name) }))
  const nodes = graph.nodes.filter((node) => !node.outputs.some((name) => maps.has(name)))
  const end = pruned({
    ...graph,
    inputs: infos,
    nodes,
    outputs: graph.outputs.filter(({ name }) => outputs.includes(name)),
  })
  const session = await ort.InferenceSession.create(writeOnnx(end), { graphOptimizationLevel: 'disabled', logSeverityLevel: 4 })
  try {
    const feeds = end.inputs.map(({ name }) => {
      const shape = foreign.shape(name)
      return [name, new ort.Tensor('float32', maps.get(name)!, shape)] as const
    })
    const results = await session.run(Object.fromEntries(feeds))
    return outputs.map((name) => {
      const { data } = results[name]!
      if (typeof data === 'string' || !('length' in data)) throw new Error(`the output ${name} holds no numbers`)
      return data instanceof Float32Array ? data : Float32Array.from(data as ArrayLike<number | bigint>, Number)
    })
  } finally {
    await session.release()
  }
}

/** The same number everywhere in each of these maps. */
export const filledMaps = (foreign: Foreign, maps: readonly string[], value: (map: string, index: number) => number) =>
  new Map(
    maps.map((name) => [
      name,
      Float32Array.from({ length: elementCount(foreign.shape(name)) }, (_, index) => value(name, index)),
    ]),
  )
