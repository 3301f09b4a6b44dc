/** Lifts a graph of opset 9 to 16 to opset 17, so that everything after reading knows one form of each op (ONNX version converter, adapters). */
import { MuninnError } from '../../protocol/errors.ts'
import { type Attribute, type Graph, intTensor, type Node, type TensorData } from './graph.ts'
import { infer } from './infer.ts'
import { floatOf, intOf, intsOf, type Shaped } from './inference.ts'

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
  const opset = graph.opsets[''] ?? 1
  const { values } = infer(graph)
  const nodes = graph.nodes.flatMap((node) =>
    node.domain === '' && softmaxes.includes(node.op) && opset < 13
      ? upgradeSoftmax(node, values)
      : [upgradeNode(node, opset, constant)],
  )
  return { ...graph, nodes, initializers, opsets: { ...graph.opsets, '': target } }
}

const softmaxes = ['Softmax', 'LogSoftmax', 'Hardmax']

/** Until opset 13 the default axis was 1, and everything behind the axis was one axis: flattened, and shaped again where that matters. */
function upgradeSoftmax(node: Node, values: ReadonlyMap<string, Shaped>): Node[] {
  const axis = intOf(node.attributes.axis, 1)
  const [x, y] = [node.inputs[0]!, node.outputs[0]!]
  const rank = values.get(x)?.shape.length
  if (axis === -1 || axis + 1 === rank) return [{ ...node, attributes: { axis: -1 } }]
  const make = (op: string, inputs: string[], outputs: string[], attributes: Node['attributes'] = {}): Node => ({
    op,
    domain: '',
    name: `${y}/${op}`,
    inputs,
    outputs,
    attributes,
  })
  const [flat, soft, shape] = [`${y}/flat`, `${y}/soft`, `${y}/shape`]
  return [
    make('Flatten', [x], [flat], { axis }),
    { ...node, inputs: [flat], outputs: [soft], attributes: { axis: -1 } },
    make('Shape', [x], [shape]),
    make('Reshape', [soft, shape], [y]),
  ]
}

/** The scales of an Upsample of opset 7 or 8. */
function scalesOf({ name, attributes: { scales } }: Node): TensorData {
  if (typeof scales !== 'object' || !('floats' in scales))
    throw new MuninnError('BAD_MODEL', `ONNX: Upsample ${name} has no scales`)
  return { type: 'float32', shape: [scales.floats.length], data: Float32Array.from(scales.floats) }
}

/** Nodes of other domains stay as they are. */
function upgradeNode(node: Node, opset: number, constant: (tensor: TensorData) => string): Node {
  const { op, attributes, inputs } = node
  const ints = (values: readonly number[]) => constant(intTensor([values.length], values))
  const without = (...names: string[]): Record<string, Attribute> =>
    Object.fromEntries(Object.entries(attributes).filter(([name]) => !names.includes(name)))
  if (node.domain !== '') return node
  const attribute = (name: string) => intsOf(attributes[name])
  const needed = (name: string) => {
    const values = attribute(name)
    if (!values) throw new MuninnError('BAD_MODEL', `ONNX: ${op} ${node.name} has no ${name}`)
    return values
  }
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
          ints(needed('starts')),
          ints(needed('ends')),
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
          ints(needed('pads')),
          constant({ type: 'float32', shape: [], data: Float32Array.of(floatOf(attributes.value, 0)) }),
        ],
        attributes: without('pads', 'value'),
      }
    case 'Clip': {
      if (opset >= 11) return node
      const bound = (name: string) =>
        attributes[name] === undefined
          ? ''
          : constant({ type: 'float32', shape: [], data: Float32Array.of(floatOf(attributes[name], 0)) })
      return { ...node, inputs: [inputs[0]!, bound('min'), bound('max')], attributes: {} }
    }
    case 'Upsample':
    case 'Resize':
      // Before opset 11: (x, scales), asymmetric.
      if (opset >= 11) return node
      return {
        ...node,
        op: 'Resize',
        inputs: [inputs[0]!, '', inputs[1] ?? constant(scalesOf(node))],
        attributes: {
          ...without('scales'),
          coordinate_transformation_mode: 'asymmetric',
          nearest_mode: 'floor',
        },
      }
    case 'Dropout':
      // Its mask is of use in training only; a node that asks for it stays.
      if (node.outputs.length > 1 && node.outputs[1] !== '') return { ...node, attributes: without('ratio') }
      return { ...node, op: 'Identity', inputs: [inputs[0]!], outputs: [node.outputs[0]!], attributes: {} }
    case 'BatchNormalization':
      if (opset >= 14) return node
      return { ...node, outputs: [node.outputs[0]!], attributes: without('spatial', 'momentum') }
    case 'TopK': {
      const k = attributes.k
      return typeof k === 'number' ? { ...node, inputs: [inputs[0]!, ints([k])], attributes: without('k') } : node
    }
    case 'Scatter':
      return { ...node, op: 'ScatterElements' }
    default:
      return node
  }
}
