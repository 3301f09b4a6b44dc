/**
 * The first convolution reads three channels at a time, which integer kernels are slow at. Where it is 3 x 3 with stride 2, the same sums
 * come from pairs of neighbouring pixels: 6 channels, 3 x 2 taps, stride 2 x 1 (space to depth of the columns alone, which in an image
 * [H, W, 3] is a Reshape and moves nothing; TResNet, Ridnik et al. 2020, does it with both sides).
 */
import { pruned } from '../engine/step-graph.ts'
import { floatTensor, type Graph, intTensor, type Node } from '../onnx/graph.ts'
import { intOf, intsOf } from '../onnx/shapes.ts'
import { readers } from './fold.ts'

/** Exact: only the order of the sums changes. Graphs whose stem is another stay as they are. */
export function pairColumns(graph: Graph): Graph {
  const [, height, width, channels] = (graph.inputs[0]?.shape ?? []).map(Number)
  const byReader = readers(graph)
  const only = (name: string): Node | null => {
    const [node, ...more] = byReader.get(name) ?? []
    return node && more.length === 0 ? node : null
  }
  const turn = only(graph.inputs[0]?.name ?? '')
  const stored = turn && only(turn.outputs[0]!)
  const conv = stored && only(stored.outputs[0]!)
  if (turn?.op !== 'Transpose' || stored?.op !== 'DequantizeLinear' || conv?.op !== 'Conv') return graph
  const weight = graph.initializers.get(conv.inputs[1]!)
  const { attributes } = conv
  const fits =
    channels === 3 &&
    width! % 2 === 0 &&
    weight?.type === 'float32' &&
    `${weight.shape.slice(1)}` === `${[channels, 3, 3]}` &&
    `${intsOf(attributes.strides)}` === '2,2' &&
    `${intsOf(attributes.pads)}` === '1,1,1,1' &&
    `${intsOf(attributes.dilations) ?? '1,1'}` === '1,1' &&
    intOf(attributes.group, 1) === 1
  if (!fits || `${intsOf(turn.attributes.perm)}` !== '0,3,1,2') return graph

  const filters = weight.shape[0]!
  const paired = new Float32Array(filters * 6 * 3 * 2)
  const w = weight.data as Float32Array
  for (let f = 0; f < filters; f++)
    for (let c = 0; c < 3; c++)
      for (let y = 0; y < 3; y++)
        for (let x = 0; x < 3; x++) {
          // Column 2i - 1 is the right one of the pair before; columns 2i and 2i + 1 are both of pair i.
          const [pair, right] = [Number(x > 0), Number(x !== 1)]
          paired[((f * 6 + right * 3 + c) * 3 + y) * 2 + pair] = w[((f * 3 + c) * 3 + y) * 3 + x]!
        }
  const initializers = new Map(graph.initializers)
  const name = `${conv.inputs[1]}/pairs`
  initializers.set(name, floatTensor([filters, 6, 3, 2], paired))
  initializers.set('image/pairs_shape', intTensor([4], [1, height!, width! / 2, 6]))
  const pairs = {
    op: 'Reshape',
    domain: '',
    name: 'image/pairs',
    inputs: [graph.inputs[0]!.name, 'image/pairs_shape'],
    outputs: ['image/pairs'],
    attributes: {},
  }
  const changed = new Map<Node, Node[]>([
    [turn, [pairs, { ...turn, inputs: ['image/pairs'] }]],
    [
      conv,
      [
        {
          ...conv,
          inputs: [conv.inputs[0]!, name, ...conv.inputs.slice(2)],
          attributes: { ...attributes, kernel_shape: [3, 2], strides: [2, 1], pads: [1, 1, 1, 0] },
        },
      ],
    ],
  ])
  return pruned({ ...graph, initializers, nodes: graph.nodes.flatMap((each) => changed.get(each) ?? [each]) })
}
