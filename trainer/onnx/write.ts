/** Writes a Graph as an ONNX file. */
import { codeOfType } from './data-types.ts'
import type { Attribute, Graph, TensorData, ValueInfo } from './graph.ts'
import { Model } from './proto.ts'

const irVersion = 8
const encoder = new TextEncoder()

/** ONNX bytes: nodes in order, tensors as raw little-endian data. */
export function writeOnnx(graph: Graph): Uint8Array {
  return Model.encode(
    Model.create({
      irVersion,
      producerName: 'muninn',
      opsetImport: Object.entries(graph.opsets).map(([domain, version]) => ({ domain, version })),
      metadataProps: Object.entries(graph.metadata).map(([key, value]) => ({ key, value })),
      graph: graphFields(graph),
    }),
  ).finish()
}

const graphFields = (graph: Graph): object => ({
  name: graph.name || 'muninn',
  node: graph.nodes.map(({ op, domain, name, inputs, outputs, attributes }) => ({
    opType: op,
    domain,
    name,
    input: inputs,
    output: outputs,
    attribute: Object.entries(attributes).map(([key, value]) => ({ name: key, ...attribute(value) })),
  })),
  initializer: [...graph.initializers].map(([name, tensor]) => ({ name, ...tensorFields(tensor) })),
  input: graph.inputs.map(valueInfo),
  output: graph.outputs.map(valueInfo),
})

function tensorFields({ type, shape, data }: TensorData) {
  return { dims: shape, dataType: codeOfType(type), rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) }
}

function attribute(value: Attribute) {
  if (typeof value === 'number') return { type: 2, i: value }
  if (typeof value === 'string') return { type: 3, s: encoder.encode(value) }
  if ('float' in value) return { type: 1, f: value.float }
  if ('floats' in value) return { type: 6, floats: value.floats }
  if ('strings' in value) return { type: 8, strings: value.strings.map((each) => encoder.encode(each)) }
  if ('tensor' in value) return { type: 4, t: tensorFields(value.tensor) }
  if ('graph' in value) return { type: 5, g: graphFields(value.graph) }
  return { type: 7, ints: value }
}

function valueInfo({ name, type, shape }: ValueInfo) {
  const dim = shape.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }))
  return { name, type: { tensorType: { elemType: codeOfType(type), shape: { dim } } } }
}
