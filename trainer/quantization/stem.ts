/**
 * The first convolution reads three channels at a time, which integer kernels are slow at. Where it is 3 x 3 with stride 2, four pixels
 * side by side are taken as 12 channels and two columns of its output as twice the filters: the same sums and some zeros. In memory an
 * image [H, W, 3] is [H, W / 4, 12] already, so nothing is moved (space to depth of the columns; TResNet, Ridnik et al. 2020).
 */
import { pruned } from '../engine/step-graph.ts'
import { elementCount, floatTensor, type Graph, intTensor, type Node } from '../onnx/graph.ts'
import { intOf, intsOf } from '../onnx/shapes.ts'
import { readers } from './fold.ts'

/** Pixels taken as one, and columns of the output that they give. */
const [pixels, columns] = [4, 2]
const channels = 3

/** Exact: only the order of the sums changes. Graphs whose stem is another stay as they are. */
export function widenStem(graph: Graph): Graph {
  const [, height, width] = (graph.inputs[0]?.shape ?? []).map(Number)
  const byReader = readers(graph)
  const only = (name: string): Node | null => {
    const [node, ...more] = byReader.get(name) ?? []
    return node && more.length === 0 ? node : null
  }
  const turn = only(graph.inputs[0]?.name ?? '')
  const stored = turn && only(turn.outputs[0]!)
  const conv = stored && only(stored.outputs[0]!)
  const relu = conv && only(conv.outputs[0]!)
  if (turn?.op !== 'Transpose' || stored?.op !== 'DequantizeLinear' || conv?.op !== 'Conv' || relu?.op !== 'Relu') return graph
  const [weight, bias] = conv.inputs.slice(1).map((name) => graph.initializers.get(name))
  const { attributes } = conv
  const fits =
    weight?.type === 'float32' &&
    (conv.inputs.length === 2 || bias?.type === 'float32') &&
    width! % pixels === 0 &&
    `${intsOf(turn.attributes.perm)}` === '0,3,1,2' &&
    `${weight.shape.slice(1)}` === `${channels},3,3` &&
    `${intsOf(attributes.strides)}` === '2,2' &&
    `${intsOf(attributes.pads)}` === '1,1,1,1' &&
    `${intsOf(attributes.dilations) ?? '1,1'}` === '1,1' &&
    intOf(attributes.group, 1) === 1
  if (!fits) return graph

  const filters = weight.shape[0]!
  const rows = Math.floor((height! - 1) / 2) + 1
  const initializers = new Map(graph.initializers)
  const keep = (name: string, tensor: ReturnType<typeof intTensor>) => {
    initializers.set(name, tensor)
    return name
  }
  const inputs = [
    turn.outputs[0]!,
    keep(`${conv.inputs[1]}/wide`, wideFilters(weight.data as Float32Array, filters)),
    ...(bias ? [keep(`${conv.inputs[2]}/wide`, floatTensor([columns * filters], [...bias.data, ...bias.data].map(Number)))] : []),
  ]
  const node = (op: string, output: string, from: readonly string[], own: Node['attributes'] = {}): Node => ({
    op,
    domain: '',
    name: output,
    inputs: from,
    outputs: [output],
    attributes: own,
  })
  const [wide, active] = [`${conv.outputs[0]}/wide`, `${relu.outputs[0]}/wide`]
  const changed = new Map<Node, Node[]>([
    [
      turn,
      [
        node('Reshape', 'image/wide', [
          graph.inputs[0]!.name,
          keep('image/shape', intTensor([4], [1, height!, width! / pixels, pixels * channels])),
        ]),
        { ...turn, inputs: ['image/wide'] },
      ],
    ],
    [
      conv,
      [
        node('Conv', wide, [stored.outputs[0]!, ...inputs.slice(1)], {
          ...attributes,
          kernel_shape: [3, 2],
          strides: [2, 1],
          pads: [1, 1, 1, 0],
        }),
      ],
    ],
    [
      relu,
      [
        node('Relu', active, [wide]),
        node('Transpose', `${active}/last`, [active], { perm: [0, 2, 3, 1] }),
        node('Reshape', `${active}/apart`, [
          `${active}/last`,
          keep('image/stem_shape', intTensor([4], [1, rows, width! / 2, filters])),
        ]),
        node('Transpose', relu.outputs[0]!, [`${active}/apart`], { perm: [0, 3, 1, 2] }),
      ],
    ],
  ])
  return pruned({ ...graph, initializers, nodes: graph.nodes.flatMap((each) => changed.get(each) ?? [each]) })
}

/** [2 x filters, 12, 3, 2] from [filters, 3, 3, 3]: column 2k + p of the output reads the pixels 4k + 2p - 1 to 4k + 2p + 1. */
function wideFilters(from: Float32Array, filters: number) {
  const shape = [columns * filters, pixels * channels, 3, 2]
  const values = new Float32Array(elementCount(shape))
  for (let p = 0; p < columns; p++)
    for (let f = 0; f < filters; f++)
      for (let c = 0; c < channels; c++)
        for (let y = 0; y < 3; y++)
          for (let x = 0; x < 3; x++) {
            const at = 2 * p + x - 1
            // The pixel left of the four is the last of the four before.
            const [tap, pixel] = at < 0 ? [0, pixels - 1] : [1, at]
            const channel = pixel * channels + c
            values[(((p * filters + f) * shape[1]! + channel) * 3 + y) * 2 + tap] = from[((f * channels + c) * 3 + y) * 3 + x]!
          }
  return floatTensor(shape, values)
}
