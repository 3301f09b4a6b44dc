/** The maps of YOLOv8 and its kin: of distances, or of distributions over them, and of class logits; behind rows, or as a file gives them. */
import { columns } from '../detector/heads/head.ts'
import type { Foreign } from './foreign.ts'
import { comesThroughDepthwise, sharesFilters } from './last-convolutions.ts'
import type { OwnOutput } from './own-decoding.ts'

export interface Grid {
  readonly reg: string
  readonly cls: string
}

/**
 * Maps of distributions and of class logits, fine to coarse: of each grid the convolutions that are only joined and reshaped afterwards, the
 * box branch before the class branch.
 */
export function gridsOf(foreign: Foreign, output: string, classes: number): Grid[] {
  const maps = foreign.ends(output)
  const sizes = [...new Set(maps.map((map) => foreign.cells(map)))].sort((a, b) => b - a)
  const grids = sizes.map((cells) => {
    const here = maps.filter((map) => foreign.cells(map) === cells)
    if (here.length !== 2) return undefined
    return [here, here.toReversed()]
      .map(([reg, cls]) => ({ reg: reg!, cls: cls! }))
      .find(({ reg, cls }) => foreign.shape(reg)[1]! % 4 === 0 && foreign.shape(cls)[1] === classes)
  })
  return grids.every((each) => each !== undefined) ? grids : []
}

/** Distances of a side, where nothing else in a file tells what its channels are. */
export const publishedBins = 16

export interface RawGrid extends Grid {
  /** The output that joins both maps; none where each is an output itself. */
  readonly output?: string
  /** Nothing but these two. */
  readonly whole: boolean
  /** What stands in front of the distances there: class scores (YOLOv6) or their logits (mmyolo's). */
  readonly first?: 'scores' | 'logits'
}

/** Maps of each grid that are given as they are, fine to coarse. Empty where there is any other output. */
export function rawGrids(foreign: Foreign, classes: number): RawGrid[] {
  const { outputs } = foreign.graph
  const isGrid = (reg: string, cls: string, bins: number) =>
    foreign.shape(reg)[1] === 4 * bins && foreign.shape(cls)[1] === classes && foreign.cells(reg) === foreign.cells(cls)
  const joined = outputs.flatMap(({ name }): RawGrid[] => {
    const parts = foreign.parts(name)
    const [reg, cls, ...rest] = parts.map((part) => foreign.mapBehind(part))
    if (foreign.shape(name).length !== 4 || !reg || !cls) return []
    const whole = rest.length === 0
    // Four channels may mean anything: only where nothing else is beside them.
    const first = foreign.maker(foreign.behind(parts[0]!))?.op === 'Sigmoid' ? 'scores' : 'logits'
    if (whole && isGrid(cls, reg, 1) && (first === 'scores' || classes !== 4))
      return [{ reg: cls, cls: reg, output: name, whole, first }]
    return isGrid(reg, cls, publishedBins) || (isGrid(reg, cls, 1) && whole) ? [{ reg, cls, output: name, whole }] : []
  })
  const maps = outputs
    .map(({ name }) => foreign.behind(name))
    .filter((map) => foreign.maker(map)?.op === 'Conv' && foreign.shape(map).length === 4)
  const apart = maps.flatMap((reg, i): RawGrid[] => {
    // Where both have as many channels the boxes come first.
    const bins = foreign.shape(reg)[1]! === 4 ? 1 : publishedBins
    const cls = maps.find((each, j) => j !== i && isGrid(reg, each, bins) && (classes !== 4 * bins || j > i))
    return cls === undefined ? [] : [{ reg, cls, whole: true }]
  })
  const all = joined.length === outputs.length ? joined : 2 * apart.length === outputs.length ? apart : []
  return all.sort((a, b) => foreign.cells(b.reg) - foreign.cells(a.reg))
}

/**
 * Why maps of distances are not read as YOLO26's or YOLOv6's: RTMDet's look alike and mean other boxes. What joins a grid's maps has them in the
 * order of its family; in maps apart, and with as many classes as there are distances, that says nothing. Undefined where they are read so.
 */
export function mayBeOthers(foreign: Foreign, grids: readonly RawGrid[], named: boolean): string | undefined {
  const [{ reg, cls }] = grids as [RawGrid]
  const [four, classes] = [foreign.shape(reg)[1]!, foreign.shape(cls)[1]!]
  if (four !== 4) return undefined
  const boxes = grids.map((each) => each.reg)
  if (sharesFilters(foreign, boxes))
    return "its grids share the filters below their boxes, as RTMDet's do, which are measured from the corners of cells: adopt it with --adapter rtmdet"
  const isKnown = ({ output, first }: RawGrid) => first === 'scores' || (output !== undefined && !first && classes !== 4)
  const known = grids.every((grid) => isKnown(grid) || comesThroughDepthwise(foreign, grid.cls))
  return known || named ? undefined : unclear('yolov8')
}

/** What is told where a file's maps may be of either family. */
export const unclear = (adapter: 'rtmdet' | 'yolov8'): string =>
  `nothing in the file tells whether these maps of distances are RTMDet's, or YOLO26's and YOLOv6's, which are measured from other points and see other colours; where they are ${adapter === 'rtmdet' ? 'the first' : 'of these two'}, say --adapter ${adapter}`

export const rawOutput = (output: string, level: number, bins: number, first: RawGrid['first']): OwnOutput => ({
  output,
  make: (g, { rows, scores, ofLevel }) => {
    const width = rows.shape[1]!
    const numbers = columns(g, rows, width - 4 * bins, width)
    const kinds = first === 'scores' ? scores : columns(g, rows, 0, width - 4 * bins)
    return g.transpose(ofLevel(g.concat(first ? [kinds, numbers] : [numbers, kinds], 1), level), [1, 0])
  },
})
