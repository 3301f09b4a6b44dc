/**
 * torchvision's detectors as torch.onnx.export writes them whole: around a network that gives lists of all its rows, the preparation of a picture
 * [3, H, W] and the choice of the best boxes, grid by grid or class by class, whose last suppression stands in a branch (If).
 */
import { GraphBuilder, type Value } from '../../trainer/graph/builder.ts'
import { emptyGraph, type Graph, intTensor, type Node } from '../../trainer/onnx/graph.ts'

export interface Whole {
  /** Of pixels from 0 to 1. */
  readonly mean: readonly number[]
  readonly deviation: readonly number[]
  /** The network's own outputs. */
  readonly scores: string
  readonly offsets: string
  readonly centreness?: string
  /** Anchors as corners, and how many each grid has. */
  readonly anchors: readonly (readonly number[])[]
  readonly grids: readonly number[]
  /** `sides` are of the centre and of the size (BoxCoder); left out: distances from the centre (BoxLinearCoder). */
  readonly variances?: readonly [number, number]
  /** Whether it takes [1, 3, H, W], of which it goes through the pictures. */
  readonly batched?: boolean
  /** All boxes are made before any is chosen (SSD), for each class. */
  readonly byClass?: boolean
}

export function wholeTorchvision(network: Graph, whole: Whole): Graph {
  const g = new GraphBuilder(network.name, 'whole/')
  const input = network.inputs[0]!
  const [, , height, width] = input.shape.map(Number) as [number, number, number, number]
  const given = g.input('picture', 'float32', whole.batched ? [1, 3, height, width] : [3, height, width])
  const picture = whole.batched
    ? g.op('Squeeze', [g.op('Split', [given, g.ints([1])], { attributes: { axis: 0 } }), g.ints([0])])
    : given
  const normal = g.div(g.sub(picture, g.constant(whole.mean, [3, 1, 1])), g.constant(whole.deviation, [3, 1, 1]))
  const sized = g.op('Resize', [unsqueezed(g, normal, 0), null, null, g.ints([1, 3, height, width])], {
    attributes: { mode: 'linear', coordinate_transformation_mode: 'half_pixel' },
  })
  const first = g.op('Gather', [sized, g.initializer('first', intTensor([], [0]))], { attributes: { axis: 0 } })
  g.op('Concat', [unsqueezed(g, g.op('Pad', [first, g.ints([0, 0, 0, 0, 0, 0])]), 0)], {
    attributes: { axis: 0 },
    name: input.name,
  })
  for (const [name, tensor] of network.initializers) g.initializer(name, tensor)
  for (const node of network.nodes) g.append(node)
  const { boxes, scores, labels } = whole.byClass ? chosenByClass(g, whole, width, height) : chosenByGrid(g, whole, width, height)
  suppressed(g, boxes, scores, labels)
  return g.graph
}

const unsqueezed = (g: GraphBuilder, value: Value, axis: number) => g.op('Unsqueeze', [value, g.ints([axis])])
const firstOf = (g: GraphBuilder, value: Value) => g.op('Gather', [value, g.value('first')], { attributes: { axis: 0 } })

interface Chosen {
  readonly boxes: Value
  readonly scores: Value
  readonly labels: Value
}

/** Numbers above a threshold and where they stand, the best 300 of them first. */
function best(g: GraphBuilder, numbers: Value): { score: Value; place: Value } {
  const places = g.transpose(g.op('NonZero', [g.op('Greater', [numbers, g.constant(0.05)])]), [1, 0])
  const found = g.op('GatherND', [numbers, places])
  const count = g.op('Min', [g.op('Shape', [found]), g.ints([300])])
  const [score, index] = g.ops('TopK', [found, count], { outputs: 2 }) as [Value, Value]
  return { score, place: g.op('Gather', [g.op('Squeeze', [places, g.ints([1])]), index], { attributes: { axis: 0 } }) }
}

function chosenByGrid(g: GraphBuilder, whole: Whole, width: number, height: number): Chosen {
  const { grids } = whole
  const apart = (value: Value) => g.ops('Split', [value, g.ints(grids)], { attributes: { axis: 1 }, outputs: grids.length })
  const logits = g.value(whole.scores)
  const classes = g.initializer('classes', intTensor([], [logits.shape[2]!]))
  const [kinds, offsets] = [apart(logits), apart(g.value(whole.offsets))]
  const centreness = whole.centreness && apart(g.value(whole.centreness))
  let at = 0
  const levels = grids.map((rows, level) => {
    const own = g.sigmoid(firstOf(g, kinds[level]!))
    const scores = centreness ? g.op('Sqrt', [g.mul(own, g.sigmoid(firstOf(g, centreness[level]!)))]) : own
    const { score, place } = best(g, g.reshape(scores, [-1]))
    const row = g.op('Div', [place, classes])
    const pick = (value: Value) => g.op('Gather', [value, row], { attributes: { axis: 0 } })
    const anchors = g.constant(whole.anchors.slice(at, at + rows).flat(), [rows, 4])
    at += rows
    // They are cut of all anchors, which stand in the file as well.
    const boxes = decoded(g, whole, pick(firstOf(g, offsets[level]!)), pick(anchors))
    return { boxes: bounded(g, boxes, width, height), score, label: g.op('Mod', [place, classes]) }
  })
  g.initializer('anchors', {
    type: 'float32',
    shape: [whole.anchors.length, 4],
    data: Float32Array.from(whole.anchors.flat()),
  })
  const joined = (values: readonly Value[]) => g.concat(values, 0)
  return {
    boxes: joined(levels.map(({ boxes }) => boxes)),
    scores: joined(levels.map(({ score }) => score)),
    labels: joined(levels.map(({ label }) => label)),
  }
}

function chosenByClass(g: GraphBuilder, whole: Whole, width: number, height: number): Chosen {
  const anchors = g.constant(whole.anchors.flat(), [whole.anchors.length, 4])
  const boxes = bounded(g, decoded(g, whole, firstOf(g, g.value(whole.offsets)), anchors), width, height)
  const scores = firstOf(g, g.op('Softmax', [g.value(whole.scores)], { attributes: { axis: -1 } }))
  const each = Array.from({ length: scores.shape[1]! - 1 }, (_, i) => {
    const kind = g.initializer(`kind${i + 1}`, intTensor([], [i + 1]))
    const { score, place } = best(g, g.op('Gather', [scores, kind], { attributes: { axis: 1 } }))
    return {
      boxes: g.op('GatherND', [boxes, unsqueezed(g, place, 1)]),
      score,
      label: g.op('Add', [g.op('Mul', [place, g.value('first')]), kind]),
    }
  })
  return {
    boxes: g.concat(
      each.map((one) => one.boxes),
      0,
    ),
    scores: g.concat(
      each.map(({ score }) => score),
      0,
    ),
    labels: g.concat(
      each.map(({ label }) => label),
      0,
    ),
  }
}

/** Boxes [n, 4] from numbers and anchors in the same order. */
function decoded(g: GraphBuilder, { variances }: Whole, numbers: Value, anchors: Value): Value {
  const part = (value: Value, from: number) => g.slice(value, [from], [from + 2], [1])
  const [low, high] = [part(anchors, 0), part(anchors, 2)]
  const [size, middle] = [g.sub(high, low), g.scale(g.add(low, high), 0.5)]
  if (!variances) return g.concat([g.sub(middle, g.mul(part(numbers, 0), size)), g.add(middle, g.mul(part(numbers, 2), size))], 1)
  const centre = g.add(g.mul(g.scale(part(numbers, 0), variances[0]), size), middle)
  const half = g.scale(g.mul(g.exp(g.scale(part(numbers, 2), variances[1])), size), 0.5)
  return g.concat([g.sub(centre, half), g.add(centre, half)], 1)
}

/** Cut off at the edges, x and y apart (clip_boxes_to_image). */
function bounded(g: GraphBuilder, boxes: Value, width: number, height: number): Value {
  const axis = (from: number, most: number) => {
    const side = g.slice(boxes, [from], [4], [1], [2])
    return unsqueezed(g, g.op('Min', [g.op('Max', [side, g.constant(0)]), g.constant(most)]), 2)
  }
  return g.reshape(g.concat([axis(0, width), axis(1, height)], 2), [-1, 4])
}

const node = (op: string, inputs: readonly string[], outputs: readonly string[], attributes: Node['attributes'] = {}): Node => ({
  op,
  domain: '',
  name: outputs[0]!,
  inputs,
  outputs,
  attributes,
})

/** Without a box there is nothing to suppress, and the greatest of no sides is no number: so the exporter writes a branch. */
function suppressed(g: GraphBuilder, boxes: Value, scores: Value, labels: Value): void {
  const keep = [{ name: 'keep', type: 'int64' as const, shape: ['n'] }]
  const none: Graph = { ...emptyGraph('none'), initializers: new Map([['keep', intTensor([0], [])]]), outputs: keep }
  const some: Graph = {
    ...emptyGraph('some'),
    initializers: new Map([
      ['axis', intTensor([1], [0])],
      ['two', intTensor([], [2])],
      ['most', intTensor([1], [300])],
    ]),
    nodes: [
      node('Unsqueeze', [boxes.name, 'axis'], ['own/boxes']),
      node('Unsqueeze', [scores.name, 'axis'], ['own/score']),
      node('Unsqueeze', ['own/score', 'axis'], ['own/scores']),
      node('NonMaxSuppression', ['own/boxes', 'own/scores', 'most'], ['own/chosen']),
      node('Gather', ['own/chosen', 'two'], ['keep'], { axis: 1 }),
    ],
    outputs: keep,
  }
  const count = g.op('ReduceProd', [g.op('Shape', [boxes])], { attributes: { keepdims: 0 } })
  const empty = g.op('Equal', [count, g.value('first')])
  g.graph.nodes.push(
    node('If', [empty.name], ['kept'], { then_branch: { graph: none }, else_branch: { graph: some } }),
    node('Gather', [boxes.name, 'kept'], ['boxes'], { axis: 0 }),
    node('Gather', [scores.name, 'kept'], ['scores'], { axis: 0 }),
    node('Gather', [labels.name, 'kept'], ['labels'], { axis: 0 }),
  )
  g.graph.outputs.push(
    { name: 'boxes', type: 'float32', shape: ['n', 4] },
    { name: 'scores', type: 'float32', shape: ['n'] },
    { name: 'labels', type: 'int64', shape: ['n'] },
  )
}
