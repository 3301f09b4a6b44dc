/** Writes the forward graph in fewer, quicker nodes where onnxruntime's CPU provider has them; the standard dialect stays as it is. */

import { nchwc } from '../gradients/blocked.ts'
import type { Dialect } from '../gradients/rule.ts'
import { floatTensor, type Graph, intTensor, type Node } from '../onnx/graph.ts'
import { intOf, intsOf, textOf } from '../onnx/shapes.ts'

export function fused(graph: Graph, dialect: Dialect): Graph {
  return dialect === 'std' ? graph : chainPools(fuseReversal(fusePixels(fuseSilu(graph))))
}

function usesOf(graph: Graph): Map<string, number> {
  const uses = new Map<string, number>()
  const read = [...graph.nodes.flatMap(({ inputs }) => inputs), ...graph.outputs.map(({ name }) => name)]
  for (const name of read) uses.set(name, (uses.get(name) ?? 0) + 1)
  return uses
}

/** The node that makes a value which nobody else reads, when it is such an op. */
function makerOf(graph: Graph): (name: string, op: string) => Node | undefined {
  const uses = usesOf(graph)
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)))
  return (name, op) => {
    const node = makers.get(name)
    return node?.op === op && node.domain === '' && uses.get(name) === 1 ? node : undefined
  }
}

/** (float(pixel) - z) * s of uint8 pixels is what DequantizeLinear does: one pass over the picture instead of three. */
function fusePixels(graph: Graph): Graph {
  const made = makerOf(graph)
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)))
  const isBytes = (name: string): boolean => {
    const maker = makers.get(name)
    if (maker) return ['Transpose', 'Slice', 'Gather'].includes(maker.op) && isBytes(maker.inputs[0]!)
    return graph.inputs.find((each) => each.name === name)?.type === 'uint8'
  }
  const scalar = (name: string): number => {
    const tensor = graph.initializers.get(name)
    return tensor?.type === 'float32' && tensor.data.length === 1 && tensor.shape.length === 0
      ? Number(tensor.data[0])
      : Number.NaN
  }
  const initializers = new Map(graph.initializers)
  const gone = new Set<Node>()
  const nodes = graph.nodes.map((node): Node => {
    const sub = node.op === 'Mul' ? made(node.inputs[0]!, 'Sub') : undefined
    const cast = sub && made(sub.inputs[0]!, 'Cast')
    const [zero, scale] = [scalar(sub?.inputs[1] ?? ''), scalar(node.inputs[1] ?? '')]
    if (!cast || intOf(cast.attributes.to, 0) !== 1 || !isBytes(cast.inputs[0]!) || Number.isNaN(scale)) return node
    if (!Number.isInteger(zero) || zero < 0 || zero > 255) return node
    for (const each of [sub, cast]) gone.add(each)
    const names = { scale: `${node.name}/scale`, zero: `${node.name}/zero` }
    initializers.set(names.scale, floatTensor([], [scale]))
    initializers.set(names.zero, { type: 'uint8', shape: [], data: Uint8Array.of(zero) })
    return { ...node, op: 'DequantizeLinear', inputs: [cast.inputs[0]!, names.scale, names.zero], attributes: {} }
  })
  return { ...graph, nodes: nodes.filter((node) => !gone.has(node)), initializers }
}

/** RGB to BGR before the channels go to the front is a Slice that steps backwards byte by byte; behind it a Gather moves whole planes. */
function fuseReversal(graph: Graph): Graph {
  const made = makerOf(graph)
  const initializers = new Map(graph.initializers)
  const ints = (name: string | undefined) => Array.from(graph.initializers.get(name ?? '')?.data ?? [], Number).join()
  const gone = new Set<Node>()
  const nodes = graph.nodes.flatMap((node): Node[] => {
    const slice = node.op === 'Transpose' ? made(node.inputs[0]!, 'Slice') : undefined
    const image = graph.inputs.find(({ name }) => name === slice?.inputs[0])
    const backwards =
      slice && [1, 3, 4].map((i) => ints(slice.inputs[i])).join(';') === '-1;3;-1' && Number(ints(slice.inputs[2])) < -4
    if (!slice || !backwards || image?.shape[3] !== 3 || intsOf(node.attributes.perm)?.join() !== '0,3,1,2') return [node]
    gone.add(slice)
    const [planes, order] = [`${node.name}/planes`, `${node.name}/order`]
    initializers.set(order, intTensor([3], [2, 1, 0]))
    return [
      { ...node, name: planes, inputs: [image.name], outputs: [planes] },
      { ...node, op: 'Gather', inputs: [planes, order], attributes: { axis: 1 } },
    ]
  })
  return { ...graph, nodes: nodes.filter((node) => !gone.has(node)), initializers }
}

/** The side of a MaxPool's square window that moves by one pixel and keeps the size of the picture; of any other null. */
function sideOf({ op, outputs, attributes }: Node): number | null {
  const [side, across, ...further] = intsOf(attributes.kernel_shape) ?? []
  const square = further.length === 0 && side === across && side! % 2 === 1
  const ones = [attributes.strides, attributes.dilations].every((each) => (intsOf(each) ?? []).every((step) => step === 1))
  const same =
    intsOf(attributes.pads)?.every((each) => each === (side! - 1) / 2) || textOf(attributes.auto_pad, '').startsWith('SAME')
  return op === 'MaxPool' && outputs.length === 1 && square && ones && same ? side! : null
}

/**
 * The maximum over a window is that of the maxima over smaller ones: the pools of 5, 9 and 13 of YOLOX and YOLOv4 (SPP, He et al., TPAMI
 * 2015) as three of 5 behind each other (SPPF, as YOLOv5 has it). Going back through a pool takes time with the side of its window.
 */
function chainPools(graph: Graph): Graph {
  const smaller = new Map<string, { side: number; output: string }>()
  const nodes = graph.nodes.map((node): Node => {
    const side = sideOf(node)
    if (side === null) return node
    const [input, output] = [node.inputs[0]!, node.outputs[0]!]
    const before = smaller.get(input)
    if (!before || before.side < side) smaller.set(input, { side, output })
    if (!before || before.side >= side) return node
    const left = side - before.side + 1
    const attributes = { kernel_shape: [left, left], pads: Array.from({ length: 4 }, () => (left - 1) / 2) }
    return { ...node, inputs: [before.output], attributes }
  })
  return { ...graph, nodes }
}

/** A Relu that is all that reads a blocked convolution is done where that writes its output. */
export function fuseActivations(graph: Graph): Graph {
  const uses = usesOf(graph)
  const convolutions = new Map(
    graph.nodes
      .filter(({ op, domain, outputs }) => op === 'Conv' && domain === nchwc && uses.get(outputs[0]!) === 1)
      .map((node) => [node.outputs[0]!, node]),
  )
  const active = new Map<Node, Node>()
  for (const node of graph.nodes) {
    const convolution = node.op === 'Relu' ? convolutions.get(node.inputs[0]!) : undefined
    if (convolution) active.set(convolution, node)
  }
  const gone = new Set(active.values())
  const nodes = graph.nodes.map((node): Node => {
    const relu = active.get(node)
    return relu ? { ...node, outputs: relu.outputs, attributes: { ...node.attributes, activation: 'Relu' } } : node
  })
  return { ...graph, nodes: nodes.filter((node) => !gone.has(node)) }
}

/**
 * A blocked convolution that is only read to be added to another tensor of its shape adds it where it writes its output: a pass over both less.
 * @param shape of a value, without which a broadcast could be taken for such a sum
 */
export function fuseSums(graph: Graph, shape: (name: string) => readonly number[]): Graph {
  const uses = usesOf(graph)
  const convolutions = new Map(
    graph.nodes
      .filter(
        ({ op, domain, inputs, outputs, attributes }) =>
          op === 'Conv' &&
          domain === nchwc &&
          inputs.length < 4 &&
          attributes.activation === undefined &&
          uses.get(outputs[0]!) === 1,
      )
      .map((node) => [node.outputs[0]!, node]),
  )
  const gone = new Set<Node>()
  const nodes = graph.nodes.map((node): Node => {
    if (node.op !== 'Add') return node
    const [a, b] = node.inputs as [string, string]
    const convolution = convolutions.get(b) ?? convolutions.get(a)
    if (!convolution || shape(a).join() !== shape(b).join()) return node
    gone.add(convolution)
    const [x, w, bias = ''] = convolution.inputs
    return { ...convolution, inputs: [x!, w!, bias, convolution.outputs[0] === b ? a : b], outputs: node.outputs }
  })
  return { ...graph, nodes: nodes.filter((node) => !gone.has(node)) }
}

/** x * sigmoid(x) as one node: onnxruntime's QuickGelu with alpha 1 (std has no such op, and keeps the two). */
function fuseSilu(graph: Graph): Graph {
  const uses = usesOf(graph)
  const sigmoids = new Map(
    graph.nodes
      .filter(({ op, outputs }) => op === 'Sigmoid' && uses.get(outputs[0]!) === 1)
      .map((node) => [node.outputs[0]!, node]),
  )
  const gone = new Set<Node>()
  const nodes = graph.nodes.map((node): Node => {
    if (node.op !== 'Mul') return node
    const [a, b] = node.inputs as [string, string]
    const sigmoid = [sigmoids.get(a), sigmoids.get(b)].find((each) => each && [a, b].includes(each.inputs[0]!))
    if (!sigmoid) return node
    gone.add(sigmoid)
    return {
      ...node,
      op: 'QuickGelu',
      domain: 'com.microsoft',
      inputs: [sigmoid.inputs[0]!],
      attributes: { alpha: { float: 1 } },
    }
  })
  return { ...graph, nodes: nodes.filter((node) => !gone.has(node)) }
}
