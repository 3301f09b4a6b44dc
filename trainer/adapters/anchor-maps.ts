/**
 * Detectors of which each grid ends in a map of four numbers an anchor and one of its classes, which are sigmoids without a background
 * (RetinaNet, EfficientDet): the maps alone, or the anchors of all grids in one list of boxes [1, anchors, 4] and one of scores
 * [1, anchors, C], not decoded. Anchors are those that the file gives beside them, that are told, or that were published.
 */
import { cellsOf } from '../detector/cells.ts'
import { columns } from '../detector/heads/head.ts'
import type { Specification } from '../detector/specification.ts'
import { elementCount, type TensorData } from '../onnx/graph.ts'
import { numbers } from '../onnx/inference.ts'
import { type Adapter, type AdapterOptions, misfit } from './adapter.ts'
import { type TrainableEnding, trainableCore } from './build-core.ts'
import type { Foreign } from './foreign.ts'
import { listsInside } from './lists-inside.ts'
import { type OwnOutput, ownBoxes } from './own-decoding.ts'
import { type GridShape, toldPriors } from './published-priors.ts'
import { ownName } from './settle.ts'

type Placing = Pick<Specification, 'cellOffset' | 'evenCells' | 'wholeSteps'>
type Sizes = [number, number][][]

export interface Grids {
  readonly shapes: readonly GridShape[]
  readonly strides: readonly number[]
  /** The maps of classes, fine to coarse. */
  readonly kinds: readonly string[]
}

/** What a file gives: its maps, or lists in which scores are these. */
export type Form = 'maps' | 'logits' | 'probabilities'

/** What families of this form differ in. */
export interface AnchorFamily extends Pick<TrainableEnding, 'family' | 'architecture' | 'head'> {
  /** Where anchors lie, unless the file says otherwise. */
  readonly placing: Placing
  /** Why such a file is another family's, in words. */
  readonly refuses: (foreign: Foreign, kinds: string, form: Form) => string | undefined
  /** Anchors that were published for nine a cell, and whose. */
  readonly published: (foreign: Foreign, grids: Grids) => { readonly name: string; readonly anchors: Sizes }
  readonly pictures: (foreign: Foreign, grids: Grids) => Pick<TrainableEnding, 'normalization' | 'resize'>
  /** What else it may be that reads the same. */
  readonly doubt: string
}

/** Side of the filters that a map comes from. */
export function filterSide(foreign: Foreign, map: string): number {
  const node = foreign.maker(map)
  // Paddle's converter adds a bias in a node of its own.
  const conv = node?.op === 'Add' ? node.inputs.map((name) => foreign.maker(name)).find((each) => each?.op === 'Conv') : node
  return conv?.op === 'Conv' ? foreign.shape(conv.inputs[1]!)[2]! : 1
}

/** What was published has three scales of three shapes. */
const publishedPerCell = 9

export const anchorMaps =
  ({ placing, refuses, published, pictures, doubt, ...named }: AnchorFamily): Adapter =>
  async (whole, options) => {
    const { family } = named
    const inside = listsInside(whole)
    const foreign = inside ? whole.upTo(...inside.lists, ...inside.boxes) : whole
    const classes = options.classes.length
    const found = mapsIn(foreign, classes) ?? listsIn(foreign, classes)
    if (!found)
      throw misfit(
        family,
        `its outputs are ${foreign.describeOutputs()}; with ${classes} classes [1, anchors, 4] and [1, anchors, ${classes}], or of each grid [1, 4 x anchors, h, w] and [1, ${classes} x anchors, h, w], are wanted`,
      )
    const { lists } = found
    const other = refuses(foreign, found.pairs[0]!.kinds, lists ? (lists.sigmoid ? 'probabilities' : 'logits') : 'maps')
    if (other) throw misfit(family, other)
    const pairs = found.pairs.toSorted((a, b) => foreign.cells(b.kinds) - foreign.cells(a.kinds))
    const shapes = pairs.map(({ boxes }): GridShape => {
      const [, channels, rows, across] = foreign.shape(boxes) as [number, number, number, number]
      return { columns: across, rows, perCell: channels / 4 }
    })
    const kinds = pairs.map((each) => each.kinds)
    const grids = { shapes, kinds, strides: foreign.strides(kinds, family) }
    const beside = foreign.outputs([1, undefined, 4]).filter((name) => foreign.constant(name) !== undefined)
    const given = [...beside, ...(inside?.anchors ?? [])].map((name) => ({ name, tensor: whole.constant(name)! }))
    const { words, ...laid } = anchorsOf(foreign, grids, { given, told: options.anchors }, { family, placing, published })
    const listed = lists && JSON.stringify(found.pairs) === JSON.stringify(pairs)
    if (lists && !listed) throw misfit(family, 'its grids lie in its lists in another order than from fine to coarse')
    return await trainableCore({
      ...named,
      ...pictures(foreign, grids),
      foreign,
      options,
      why: `${pairs.length} grids with ${shapes.map(({ perCell }) => perCell).join(', ')} anchors a cell, ${classes} classes without a background; ${inside ? `decoded inside, of which the file would choose the best: ${words}` : `boxes are not decoded inside: ${words}; ${doubt}`}`,
      levels: pairs.map((pair) => [pair.boxes, pair.kinds]),
      fields: { strides: grids.strides, ...laid, nms: 'per-class', nmsIou: 0.5 },
      classMaps: kinds.map((map) => ({ map, before: 0, after: 0 })),
      own: [[...(lists ? ownOutputs(lists, classes) : []), ...ownBoxes(inside?.boxes ?? [])]],
    })
  }

interface Pair {
  readonly boxes: string
  readonly kinds: string
}
interface Lists {
  readonly boxes: string
  readonly scores: string
  readonly sigmoid: boolean
}
interface Found {
  /** In the order in which the file has them. */
  readonly pairs: readonly Pair[]
  readonly lists?: Lists
}

/** The outputs are the maps, all of one kind before those of the other or grid by grid. */
function mapsIn(foreign: Foreign, classes: number): Found | undefined {
  const maps = foreign.graph.outputs.map(({ name }) => foreign.behind(name, ['Sigmoid']))
  if (maps.length === 0 || maps.some((map) => foreign.shape(map).length !== 4)) return undefined
  const sizeOf = (map: string) => foreign.shape(map).slice(2).join()
  const pairs = [...new Set(maps.map(sizeOf))].map((size) => {
    const [a, b, ...more] = maps.filter((map) => sizeOf(map) === size)
    if (a === undefined || b === undefined || more.length > 0) return undefined
    // With four classes both are as wide; classes come first where they are published so.
    const either: Pair[] = [
      { boxes: b, kinds: a },
      { boxes: a, kinds: b },
    ]
    return either.find((pair) => isPair(foreign, pair, classes))
  })
  return pairs.every((each) => each !== undefined) ? { pairs } : undefined
}

function isPair(foreign: Foreign, { boxes, kinds }: Pair, classes: number): boolean {
  const [four, all] = [foreign.shape(boxes), foreign.shape(kinds)]
  const perCell = four[1]! / 4
  return Number.isInteger(perCell) && perCell > 1 && all[1] === perCell * classes && four.slice(2).join() === all.slice(2).join()
}

/** Two of the outputs are lists that are joined of the maps of all grids. */
function listsIn(foreign: Foreign, classes: number): Found | undefined {
  const lists = (width: number) =>
    foreign
      .outputs([1, undefined, width])
      .filter((name) => foreign.constant(name) === undefined && foreign.parts(name).length > 0)
  const isSigmoid = (name: string) => foreign.maker(foreign.behind(name))?.op === 'Sigmoid'
  const rank = (name: string) => Number(isSigmoid(name)) * 2 + Number(/score|conf|cls|class/i.test(ownName(name)))
  const [scores] = lists(classes).sort((a, b) => rank(b) - rank(a))
  const boxes = lists(4).find((name) => name !== scores)
  if (!scores || !boxes || foreign.shape(scores)[1] !== foreign.shape(boxes)[1]) return undefined
  const maps = (name: string) => foreign.parts(foreign.behind(name, ['Sigmoid'])).map((part) => foreign.mapBehind(part))
  const [four, kinds] = [maps(boxes), maps(scores)]
  const pairs = four.map((map, i): Pair => ({ boxes: map ?? '', kinds: kinds[i] ?? '' }))
  const fits = four.length === kinds.length && pairs.every((pair) => pair.boxes && pair.kinds && isPair(foreign, pair, classes))
  return fits ? { pairs, lists: { boxes, scores, sigmoid: isSigmoid(scores) } } : undefined
}

const ownOutputs = ({ boxes, scores, sigmoid }: Lists, classes: number): OwnOutput[] => [
  { output: boxes, make: (g, { rows }) => columns(g, rows, 0, 4) },
  { output: scores, make: (g, decoded) => (sigmoid ? decoded.scores : columns(g, decoded.rows, 4, 4 + classes)) },
]

interface Constant {
  readonly name: string
  readonly tensor: TensorData
}

interface Laid extends Placing {
  readonly anchors: Sizes
  readonly words: string
}

/** @throws MuninnError BAD_MODEL where nothing tells them */
function anchorsOf(
  foreign: Foreign,
  grids: Grids,
  { given, told }: { given: readonly Constant[]; told: AdapterOptions['anchors'] },
  { family, placing, published }: Pick<AnchorFamily, 'family' | 'placing' | 'published'>,
): Laid {
  const count = grids.shapes.reduce((sum, { columns: across, rows, perCell }) => sum + across * rows * perCell, 0)
  const own = given.filter(({ tensor }) => elementCount(tensor.shape) === count * 4)
  for (const { name, tensor } of own) {
    const read = readAnchors(foreign, grids, numbers(tensor)!)
    if (read) return { ...read, words: `anchors as the file has them in ${ownName(name)}` }
  }
  if (own.length > 0) throw misfit(family, `the anchors in ${ownName(own[0]!.name)} are no regular grid`)
  if (told) return { ...placing, anchors: toldPriors(family, told, grids.shapes), words: 'anchors as told' }
  const isPublished = grids.shapes.every(({ perCell }) => perCell === publishedPerCell) && grids.strides[0] === 8
  const halving = grids.strides.every((stride, i) => i === 0 || stride === 2 * grids.strides[i - 1]!)
  if (!isPublished || !halving || grids.shapes.length < 5) {
    const each = grids.shapes.map(({ perCell }) => perCell)
    throw misfit(
      family,
      `its anchors are not in the file, and its ${each.length} grids of strides ${grids.strides.join(', ')} with ${each.join(', ')} a cell are not those that were published (strides 8 to 128, ${publishedPerCell} a cell): tell the ${each.reduce((sum, one) => sum + one)} widths and heights of its anchors in pixels, fine grid to coarse (--anchors)`,
    )
  }
  const { name, anchors } = published(foreign, grids)
  return { ...placing, anchors, words: `anchors as published for ${name} (tell others with --anchors)` }
}

/** Ways in which the anchors of a grid's cells lie. */
const placings: readonly Placing[] = [
  {},
  { evenCells: true },
  { cellOffset: 0 },
  { cellOffset: 0, evenCells: true, wholeSteps: true },
]

/** Of anchors [1, n, 4] as corners, of which x or y may come first: their sizes by grid, where each grid has the same in all its cells. */
function readAnchors(foreign: Foreign, { shapes, strides }: Grids, corners: readonly number[]): Omit<Laid, 'words'> | undefined {
  // From one cell to the next of its row x goes on, and y stays.
  const next = shapes[0]!.perCell * 4
  const x = corners[next] === corners[0] ? 1 : 0
  const side = (row: number, axis: number) => {
    const [low, high] = [corners[row * 4 + axis]!, corners[row * 4 + axis + 2]!]
    return { centre: (low + high) / 2, size: high - low }
  }
  let first = 0
  const anchors = shapes.map(({ columns: across, rows, perCell }) => {
    const sizes = Array.from({ length: perCell }, (_, i): [number, number] => [
      side(first + i, x).size,
      side(first + i, 1 - x).size,
    ])
    first += across * rows * perCell
    return sizes
  })
  const near = (a: number, b: number) => Math.abs(a - b) < 0.02 + 1e-4 * Math.abs(b)
  const placing = placings.find((each) => {
    const cells = cellsOf({ ...foreign.input, strides: [...strides], anchors, ...each })
    const isSame = (row: number) => {
      const [across, down] = [side(row, x), side(row, 1 - x)]
      const same = near(across.size, cells.sizes!.width[row]!) && near(down.size, cells.sizes!.height[row]!)
      return same && near(across.centre, cells.x[row]!) && near(down.centre, cells.y[row]!)
    }
    return cells.x.length * 4 === corners.length && Array.from(cells.x, (_, row) => row).every(isSame)
  })
  return placing && { ...placing, anchors }
}
