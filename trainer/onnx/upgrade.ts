/** Lifts a graph of opset 9 to 16 to opset 17, so that everything after reading knows one form of each op (ONNX version converter, adapters). */
import { type Attribute, type Graph, intTensor, type Node, type TensorData } from './graph.ts'
import { floatOf, intOf, intsOf } from './shapes.ts'

const target = 17

/** A graph in opset 17; newer ones are left as they are. */
export function upgrade(graph: Graph): Graph {
  if ((graph.opsets[''] ?? 1) >= target) return graph
  const initializers = new Map(graph.initializers)
  let counter = 0
  const constant = (tensor: TensorData): string => {
    const name = `upgraded_${counter++}`
    initializers.set(name, tensor)
    return name
  }
  const nodes = graph.nodes.map((node) => upgradeNode(node, graph.opsets['']!, constant))
  return { ...graph, nodes, initializers, opsets: { ...graph.opsets, '': target } }
}

/** Nodes of other domains stay as they are. */
function upgradeNode(node: Node, opset: number, constant: (tensor: TensorData) => string): Node {
  const { op, attributes, inputs } = node
  const ints = (values: readonly number[]) => constant(intTensor([values.length], values))
  const without = (...names: string[]): Record<string, Attribute> =>
    Object.fromEntries(Object.entries(attributes).filter(([name]) => !names.includes(name)))
  if (node.domain !== '') return node
  const attribute = (name: string) => intsOf(attributes[name])
  switch (op) {
    case 'Squeeze':
    case 'Unsqueeze':
    case 'ReduceSum': {
      const axes = opset < 13 ? attribute('axes') : undefined
      return axes ? { ...node, inputs: [inputs[0]!, ints(axes)], attributes: without('axes') } : node
    }
    case 'Split': {
      const sizes = opset < 13 ? attribute('split') : undefined
      return sizes ? { ...node, inputs: [inputs[0]!, ints(sizes)], attributes: without('split') } : node
    }
    case 'Slice':
      if (opset >= 10) return node
      return {
        ...node,
        inputs: [
          inputs[0]!,
          ints(attribute('starts')!),
          ints(attribute('ends')!),
          ...(attribute('axes') ? [ints(attribute('axes')!)] : []),
        ],
        attributes: {},
      }
    case 'Pad':
      if (opset >= 11) return node
      return {
        ...node,
        inputs: [
          inputs[0]!,
          ints(attribute('pads')!),
          constant({ type: 'float32', shape: [], data: Float32Array.of(floatOf(attributes.value, 0)) }),
        ],
        attributes: without('pads', 'value'),
      }
    case 'Clip': {
      if (opset >= 11) return node
      const bound = (name: string, fallback: number) =>
        constant({ type: 'float32', shape: [], data: Float32Array.of(floatOf(attributes[name], fallback)) })
      return { ...node, inputs: [inputs[0]!, bound('min', -3.4e38), bound('max', 3.4e38)], attributes: {} }
    }
    case 'Upsample':
    case 'Resize':
      // Before opset 11: (x, scales), asymmetric.
      if (opset >= 11 || inputs.length !== 2) return node
      return {
        ...node,
        op: 'Resize',
        inputs: [inputs[0]!, '', inputs[1]!],
        attributes: { ...attributes, coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
      }
    case 'Dropout':
      return { ...node, op: 'Identity', inputs: [inputs[0]!], outputs: [node.outputs[0]!], attributes: {} }
    case 'BatchNormalization':
      return { ...node, outputs: [node.outputs[0]!], attributes: without('spatial', 'momentum') }
    case 'Softmax':
      // Until opset 13 the default axis was 1 and everything behind it was one axis; detectors name their axis.
      return { ...node, attributes: { ...attributes, axis: intOf(attributes.axis, opset < 13 ? 1 : -1) } }
    default:
      return node
  }
}
