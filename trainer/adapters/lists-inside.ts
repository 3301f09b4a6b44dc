/**
 * A file that goes on to choose among its boxes grid by grid or class by class (torchvision), read before that: the lists [1, n, k] of all its rows,
 * and the boxes that it makes of them.
 */
import { type Foreign, movers } from './foreign.ts'

export interface ListsInside {
  readonly lists: readonly string[]
  /** [n, 4] of all rows, or of those of each grid, before they are cut off at the picture's edges. */
  readonly boxes: readonly string[]
  /** Constants [n, 4], of which one may hold the anchors of the rows. */
  readonly anchors: readonly string[]
}

export function listsInside(foreign: Foreign): ListsInside | undefined {
  const shapeOf = (name: string) => foreign.shape(name).join()
  const boxes = foreign.choosesFrom.findLast((name) => /^\d+,4$/.test(shapeOf(name)))
  if (boxes === undefined) return undefined
  const [rows] = foreign.shape(boxes) as [number]
  const lists = foreign
    .joinedBeforeChoice()
    .joined.map(({ outputs }) => outputs[0]!)
    .filter((name) => foreign.shape(name)[1] === rows)
    .map((name) => softmaxOf(foreign, name) ?? name)
  if (lists.length < 2) return undefined
  const anchors = [...foreign.graph.initializers].flatMap(([name, { type }]) =>
    type === 'float32' && shapeOf(name) === shapeOf(boxes) ? [name] : [],
  )
  return { lists, boxes: ofGrids(foreign, boxes).map((each) => beforeClipping(foreign, each)), anchors }
}

/** Scores with a background are known by it. */
function softmaxOf(foreign: Foreign, list: string): string | undefined {
  const shape = foreign.shape(list).join()
  const of = foreign.graph.nodes.find(
    ({ op, inputs, outputs }) =>
      op === 'Softmax' && foreign.behind(inputs[0]!) === foreign.behind(list) && foreign.shape(outputs[0]!).join() === shape,
  )
  return of?.outputs[0]
}

function ofGrids(foreign: Foreign, boxes: string): readonly string[] {
  const node = foreign.maker(boxes)
  return node?.op === 'Concat' && node.attributes.axis === 0 ? node.inputs : [boxes]
}

/** Ops by which boxes are cut off at the edges of the picture. */
const bounding: readonly string[] = ['Min', 'Max', 'Clip', 'Slice', 'Concat']

/** The boxes [n, 4] that such are made of by bounding x and y apart; the same where they are not bounded. */
function beforeClipping(foreign: Foreign, boxes: string): string {
  const shape = foreign.shape(boxes).join()
  let apart = false
  for (let at = boxes; ; ) {
    if (apart && foreign.shape(at).join() === shape) return at
    const node = foreign.maker(at)
    if (!node || !(movers.has(node.op) || bounding.includes(node.op))) return boxes
    apart ||= node.op === 'Slice'
    at = node.inputs[0]!
  }
}
