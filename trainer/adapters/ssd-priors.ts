/** The maps and priors of an SSD: read off its own decoding or its constants, told, or as they were published. */
import { cellsOf } from '../detector/cells.ts'
import type { TensorData } from '../onnx/graph.ts'
import { numbers } from '../onnx/inference.ts'
import { type AdapterOptions, misfit } from './adapter.ts'
import type { Foreign } from './foreign.ts'
import { filledMaps, runEnd } from './probe.ts'
import {
  type GridShape,
  type PublishedPriors,
  published,
  publishedOn,
  publishedWith,
  sizesOver,
  toldPriors,
} from './published-priors.ts'

export const family = 'SSD'

interface Grid {
  readonly location: string
  readonly kinds: string
}
export interface Priors {
  readonly grids: readonly Grid[]
  readonly anchors: [number, number][][]
  readonly strides: number[]
  readonly variances: [number, number]
  readonly evenCells: boolean
  readonly clampedCells: boolean
  /** Whether the file makes boxes of its offsets. */
  readonly decodes: boolean
  /** Whose they are, where they were published. */
  readonly by?: PublishedPriors | undefined
}

/** Maps, priors and variances; or the words that say what is missing. */
export async function priorsOf(
  foreign: Foreign,
  names: { scores: string; boxes: string; width: number },
  { told, given }: { told: AdapterOptions['anchors']; given: readonly TensorData[] | undefined },
): Promise<Priors | string> {
  const { scores, boxes, width } = names
  const kinds = foreign.parts(foreign.behind(scores, ['Softmax'])).map((name) => foreign.mapBehind(name))
  const total = foreign.shape(boxes)[1]!
  // Rows of four, or all numbers flat (ssd.pytorch).
  const isAll = (shape: readonly number[]) =>
    (shape.length === 3 && shape[1] === total && shape[2] === 4) || (shape.length === 2 && shape[1] === total * 4)
  const joined = foreign
    .ancestors(boxes)
    .find(({ op, inputs, outputs }) => op === 'Concat' && inputs.length === kinds.length && isAll(foreign.shape(outputs[0]!)))
  const locations = joined?.inputs.map((name) => foreign.mapBehind(name))
  if (!locations || locations.includes(undefined) || kinds.includes(undefined)) return 'its maps of logits were not found'
  const grids = kinds.map((map, i): Grid => ({ kinds: map!, location: locations[i]! }))
  const counts = grids.map(({ location, kinds: map }) => ({
    location: foreign.shape(location)[1]! / 4,
    kinds: foreign.shape(map)[1]! / width,
  }))
  if (counts.some((each) => each.location !== each.kinds || !Number.isInteger(each.kinds)))
    return 'its maps have other channels than an anchor has'
  if (given) {
    const read = given.flatMap((each) => placed(foreign, grids, numbers(each)!) ?? [])
    return read[0] ? { ...read[0], variances: [0.1, 0.2], decodes: false } : 'its priors are no regular grid'
  }
  if (foreign.behind(boxes) === joined?.outputs[0]) {
    return undecoded(
      foreign,
      grids,
      counts.map((each) => each.location),
      told,
    )
  }
  return await probed(foreign, grids, boxes)
}

/** Priors of a file that gives offsets: as people told them, or as they were published. @throws MuninnError BAD_MODEL */
function undecoded(
  foreign: Foreign,
  grids: readonly Grid[],
  perCell: readonly number[],
  told: AdapterOptions['anchors'],
): Priors {
  const shapes = grids.map(({ location }, i): GridShape => {
    const [, , rows, columns] = foreign.shape(location) as [number, number, number, number]
    return { columns, rows, perCell: perCell[i]! }
  })
  const by = publishedOn(shapes, foreign.input)
  const common = { grids, variances: [0.1, 0.2] as [number, number], decodes: false, by }
  if (by) {
    const anchors = told ? toldPriors(family, told, shapes) : sizesOver(by, foreign.input)
    const { strides, evenCells, clampedCells } = by
    return { ...common, anchors, strides: [...strides], evenCells, clampedCells }
  }
  if (!told)
    throw misfit(
      family,
      `its boxes are not decoded inside, and its grids are none of those whose priors were published (${published.map(({ name }) => name).join(', ')}): export it with the decoding (and priors) inside, or tell the ${perCell.reduce((sum, each) => sum + each)} widths and heights of its priors in pixels, fine grid to coarse (--anchors)`,
    )
  const strides = foreign.strides(
    grids.map(({ location }) => location),
    family,
  )
  // Where a grid does not divide the picture its cells share it evenly, as torchvision's and TensorFlow's do.
  return { ...common, anchors: toldPriors(family, told, shapes), strides, evenCells: true, clampedCells: false }
}

/** Ways in which the centres of a grid's cells lie, by how the priors were made. */
const placings: readonly Pick<Priors, 'evenCells' | 'clampedCells'>[] = [
  { evenCells: false, clampedCells: false },
  { evenCells: false, clampedCells: true },
  { evenCells: true, clampedCells: false },
]

/** With offsets of 0 each box is its prior; with 1 it is moved by the variances. */
async function probed(foreign: Foreign, grids: readonly Grid[], boxes: string): Promise<Priors | string> {
  const { width, height } = foreign.input
  const at = async (value: number) => {
    const maps = filledMaps(
      foreign,
      grids.map(({ location }) => location),
      () => value,
    )
    const [shares] = await runEnd(foreign, maps, [boxes])
    return shares!.map((each, i) => each * (i % 2 === 0 ? width : height))
  }
  const [still, moved] = [await at(0), await at(1)]
  const [first, then] = [sideOf(still, 0, 0), sideOf(moved, 0, 0)]
  const round = (value: number) => Math.round(value * 1e4) / 1e4
  const variances: [number, number] = [round((then.centre - first.centre) / first.size), round(Math.log(then.size / first.size))]
  if (!variances.every((each) => each > 0 && each < 2)) return 'its boxes are no corners that are decoded as SSD has it'
  const found = placed(foreign, grids, still)
  return found ? { ...found, variances, decodes: true } : 'its priors are no regular grid'
}

function sideOf(corners: ArrayLike<number>, row: number, axis: number): { centre: number; size: number } {
  const [low, high] = [corners[row * 4 + axis]!, corners[row * 4 + axis + 2]!]
  return { centre: (low + high) / 2, size: high - low }
}

/** Priors [n, 4] as corners in pixels: their sizes by grid, where each grid has the same in all its cells, and how these lie. */
function placed(
  foreign: Foreign,
  grids: readonly Grid[],
  corners: ArrayLike<number>,
): Omit<Priors, 'variances' | 'decodes'> | undefined {
  const { width, height } = foreign.input
  const anchors: [number, number][][] = []
  const strides: number[] = []
  const centres: { x: number; y: number }[] = []
  let row = 0
  for (const { location: map } of grids) {
    const [, channels, , columns] = foreign.shape(map) as [number, number, number, number]
    const perCell = channels / 4
    const sizes = Array.from({ length: perCell }, (_, i): [number, number] => [
      sideOf(corners, row + i, 0).size,
      sideOf(corners, row + i, 1).size,
    ])
    anchors.push(sizes.map(([w, h]) => [Math.round(w * 1e3) / 1e3, Math.round(h * 1e3) / 1e3]))
    const start = sideOf(corners, row, 0).centre
    strides.push(Math.round(columns > 1 ? sideOf(corners, row + perCell, 0).centre - start : 2 * start))
    for (let i = 0; i < foreign.cells(map) * perCell; i++, row++) {
      const [x, y] = [sideOf(corners, row, 0), sideOf(corners, row, 1)]
      const [w, h] = sizes[i % perCell]!
      if (!near(x.size, w) || !near(y.size, h)) return undefined
      centres.push({ x: x.centre, y: y.centre })
    }
  }
  const placing = placings.find((each) => {
    const cells = cellsOf({ width, height, strides, anchors, ...each })
    return cells.x.length === centres.length && centres.every(({ x, y }, i) => near(x, cells.x[i]!) && near(y, cells.y[i]!))
  })
  return placing && { grids, anchors, strides, ...placing, by: publishedWith(anchors, foreign.input) }
}

const near = (a: number, b: number) => Math.abs(a - b) < 0.02 + 1e-4 * Math.abs(b)
