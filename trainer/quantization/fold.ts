/** Takes float work out of a deployed graph before it is quantised: BatchNormalization goes into convolutions, scaling of the image into its type. */
import { pruned } from '../engine/step-graph.ts'
import { elementCount, floatTensor, type Graph, type Node, type TensorData } from '../onnx/graph.ts'
import { floatOf, intOf } from '../onnx/shapes.ts'

/** How many nodes and outputs read a value. */
export function readers(graph: Graph): Map<string, Node[]> {
  const map = new Map<string, Node[]>()
  for (const node of graph.nodes)
    for (const name of new Set(node.inputs)) if (name !== '') map.set(name, [...(map.get(name) ?? []), node])
  return map
}

/** Names that must keep their value: outputs, and what the specification names. */
const named = (graph: Graph, kept: readonly string[]) => new Set([...graph.outputs.map(({ name }) => name), ...kept])

const constants = (graph: Graph, names: readonly string[]): Float32Array[] | null => {
  const found = names.map((name) => graph.initializers.get(name))
  return found.every((each) => each?.type === 'float32') ? found.map((each) => each!.data as Float32Array) : null
}

/**
 * Inference-mode BatchNormalization behind a convolution that nobody else reads becomes part of its filters (Jacob et al. 2018, 3.2):
 * w' = w scale / sqrt(variance + epsilon), b' = (b - mean) scale / sqrt(variance + epsilon) + bias.
 */
export function foldNormalizations(graph: Graph, kept: readonly string[] = []): Graph {
  const byReader = readers(graph)
  const stays = named(graph, kept)
  const initializers = new Map(graph.initializers)
  /** Folded convolution by its own output, null for the normalisation that it swallowed. */
  const changed = new Map<Node, Node | null>()
  for (const conv of graph.nodes) {
    const [next, ...more] = byReader.get(conv.outputs[0]!) ?? []
    if (conv.op !== 'Conv' || next?.op !== 'BatchNormalization' || more.length > 0 || next.inputs[0] !== conv.outputs[0]) continue
    if (stays.has(conv.outputs[0]!) || intOf(next.attributes.training_mode, 0) === 1) continue
    const weight = graph.initializers.get(conv.inputs[1]!)
    const tensors = constants(graph, [
      conv.inputs[1]!,
      ...next.inputs.slice(1),
      ...conv.inputs.slice(2).filter((name) => name !== ''),
    ])
    if (!weight || !tensors) continue
    const [w, scale, bias, mean, variance, own] = tensors as [Float32Array, ...Float32Array[]]
    const epsilon = floatOf(next.attributes.epsilon, 1e-5)
    const channels = weight.shape[0]!
    const size = w.length / channels
    const filters = new Float32Array(w.length)
    const biases = new Float32Array(channels)
    for (let c = 0; c < channels; c++) {
      const factor = scale![c]! / Math.sqrt(variance![c]! + epsilon)
      for (let i = c * size; i < (c + 1) * size; i++) filters[i] = w[i]! * factor
      biases[c] = ((own?.[c] ?? 0) - mean![c]!) * factor + bias![c]!
    }
    // Filters may be shared between convolutions with normalisations of their own.
    const [weightName, biasName] = ['', '_bias'].map((part) => `${conv.inputs[1]}/folded${part}_${next.outputs[0]}`) as [
      string,
      string,
    ]
    initializers.set(weightName, { ...weight, data: filters })
    initializers.set(biasName, floatTensor([channels], biases))
    changed.set(conv, { ...conv, inputs: [conv.inputs[0]!, weightName, biasName], outputs: [next.outputs[0]!] })
    changed.set(next, null)
  }
  const nodes = graph.nodes.flatMap((node) => {
    const now = changed.get(node)
    return now === undefined ? [node] : now === null ? [] : [now]
  })
  return pruned({ ...graph, nodes, initializers })
}

/**
 * The way from the uint8 image to the first float value: Transpose, Slice and Cast, then Sub, Add, Mul and Div by single numbers. Where
 * that equals (pixel - z) s with a whole z from 0 to 255, it is just what DequantizeLinear means, and the first convolution can read the
 * pixels as they are.
 */
export function foldImage(graph: Graph, kept: readonly string[] = []): Graph {
  const byReader = readers(graph)
  const stays = named(graph, kept)
  const image = graph.inputs[0]
  if (image?.type !== 'uint8') return graph
  let at = image.name
  let pixels = at
  let [factor, offset] = [1, 0]
  let isFloat = false
  const gone = new Set<Node>()
  for (;;) {
    const [node, ...more] = byReader.get(at) ?? []
    if (!node || more.length > 0 || stays.has(at)) break
    if (!isFloat && (node.op === 'Transpose' || (node.op === 'Slice' && node.inputs[0] === at))) pixels = node.outputs[0]!
    else if (!isFloat && node.op === 'Cast' && intOf(node.attributes.to, 0) === 1) {
      isFloat = true
      gone.add(node)
    } else if (isFloat) {
      const number = singleNumber(graph.initializers.get(node.inputs[node.inputs[0] === at ? 1 : 0] ?? ''))
      const isFirst = node.inputs[0] === at
      if (number === null || (!isFirst && node.op !== 'Mul' && node.op !== 'Add')) break
      if (node.op === 'Sub') offset -= number
      else if (node.op === 'Add') offset += number
      else if (node.op === 'Mul') [factor, offset] = [factor * number, offset * number]
      else if (node.op === 'Div') [factor, offset] = [factor / number, offset / number]
      else break
      gone.add(node)
    } else break
    at = node.outputs[0]!
  }
  const zero = -offset / factor
  if (!isFloat || !(factor > 0) || Math.abs(zero - Math.round(zero)) > 1e-4 || zero < -1e-4 || zero > 255) return graph
  const initializers = new Map(graph.initializers)
  const [scaleName, zeroName] = ['image/scale', 'image/zero']
  initializers.set(scaleName, floatTensor([], [factor]))
  initializers.set(zeroName, { type: 'uint8', shape: [], data: Uint8Array.of(Math.round(zero)) })
  const dequantize: Node = {
    op: 'DequantizeLinear',
    domain: '',
    name: 'image/dequantize',
    inputs: [pixels, scaleName, zeroName],
    outputs: [at],
    attributes: {},
  }
  const first = graph.nodes.findIndex((node) => gone.has(node))
  const nodes = graph.nodes.flatMap((node, i) => (i === first ? [dequantize] : gone.has(node) ? [] : [node]))
  return pruned({ ...graph, nodes, initializers })
}

function singleNumber(tensor: TensorData | undefined): number | null {
  return tensor?.type === 'float32' && elementCount(tensor.shape) === 1 ? Number(tensor.data[0]) : null
}
