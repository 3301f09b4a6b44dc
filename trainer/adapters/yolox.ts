/**
 * YOLOX (Ge et al. 2021) as its authors export it: BGR 0..255 in, rows [x, y, w, h, objectness, classes] out with the sigmoids inside.
 * The sigmoids are taken out and put behind the rows, so that the file can be trained on logits.
 */
import { pruned } from '../engine/step-graph.ts'
import { GraphBuilder } from '../graph/builder.ts'
import { intTensor, type Node } from '../onnx/graph.ts'
import { type Adapter, coarsestFeature, misfit, pictureInput } from './adapter.ts'

const family = 'YOLOX'

export const yolox: Adapter = (graph, classes) => {
  const { name, width, height } = pictureInput(graph, family)
  const width85 = 5 + classes.length
  const output = graph.outputs[0]
  if (graph.outputs.length !== 1 || output?.shape.length !== 3 || output.shape[2] !== width85) {
    throw misfit(
      family,
      `its output is [${output?.shape.join(', ')}]; with ${classes.length} classes [1, cells, ${width85}] is wanted`,
    )
  }
  const g = new GraphBuilder('yolox', 'adopted/')
  Object.assign(g.graph.opsets, graph.opsets)
  const image = g.input('image', 'uint8', [1, height, width, 3])
  const bgr = g.slice(image, [-1], [-5], [3], [-1])
  g.op('Cast', [g.transpose(bgr, [0, 3, 1, 2])], { attributes: { to: 1 }, name })

  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((each) => [each, node] as const)))
  const heads = graph.nodes.filter(
    ({ op, inputs }) =>
      op === 'Concat' && inputs.length === 3 && inputs.slice(1).every((each) => makers.get(each)?.op === 'Sigmoid'),
  )
  if (heads.length === 0) throw misfit(family, 'no Concat of [box, sigmoid(objectness), sigmoid(classes)] was found')
  const logits = new Map<Node, Node>(
    heads.map((node) => [
      node,
      { ...node, inputs: [node.inputs[0]!, ...node.inputs.slice(1).map((each) => makers.get(each)!.inputs[0]!)] },
    ]),
  )
  const classifiers = heads.map(({ inputs }) => {
    const conv = makers.get(makers.get(inputs[2]!)!.inputs[0]!)
    if (conv?.op !== 'Conv' || conv.inputs.length !== 3)
      throw misfit(family, 'the classes do not come from a convolution with bias')
    return { weight: conv.inputs[1]!, bias: conv.inputs[2]! }
  })
  for (const [key, tensor] of graph.initializers) g.initializer(key, tensor)
  for (const node of graph.nodes) {
    const reshapesHead = node.op === 'Reshape' && heads.some(({ outputs }) => outputs[0] === node.inputs[0])
    if (!reshapesHead) {
      g.append(logits.get(node) ?? node)
      continue
    }
    // One constant of its own for each, with the cells left open: the batch, the picture size and the classes may change later.
    const shape = g.initializer(`${node.outputs[0]}/shape`, intTensor([3], [1, width85, -1]))
    g.append({ ...node, inputs: [node.inputs[0]!, shape.name] })
  }
  const strides = heads.map(({ outputs }) => width / g.value(outputs[0]!).shape[3]!)
  if (strides.some((stride, i) => !Number.isInteger(stride) || stride <= (strides[i - 1] ?? 0)))
    throw misfit(family, `its grids have the strides ${strides.join(', ')}`)
  const feature = g.value(coarsestFeature(g))
  return {
    core: pruned({
      ...g.graph,
      outputs: [output, feature].map((each) => ({ name: each.name, type: each.type, shape: each.shape })),
    }),
    width,
    height,
    specification: {
      v: 1,
      architecture: 'yolox',
      classes: [...classes],
      resize: 'letterbox',
      head: 'yolox',
      rows: output.name,
      feature: feature.name,
      strides,
      classifiers,
      nms: 'class-agnostic',
      nmsIou: 0.45,
    },
  }
}
