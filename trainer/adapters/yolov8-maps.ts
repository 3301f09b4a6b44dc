/** The maps of YOLOv8 and its kin: of distances, or of distributions over them, and of class logits; behind rows, or as a file gives them. */
import { columns } from '../detector/heads/head.ts'
import type { Foreign } from './foreign.ts'
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

interface RawGrid extends Grid {
  /** The output that joins both maps; none where each is an output itself. */
  readonly output?: string
  /** Nothing but these two. */
  readonly whole: boolean
}

/** Maps of each grid that are given as they are, fine to coarse. Empty where there is any other output. */
export function rawGrids(foreign: Foreign, classes: number): RawGrid[] {
  const { outputs } = foreign.graph
  const isGrid = (reg: string, cls: string, bins: number) =>
    foreign.shape(reg)[1] === 4 * bins && foreign.shape(cls)[1] === classes && foreign.cells(reg) === foreign.cells(cls)
  const joined = outputs.flatMap(({ name }): RawGrid[] => {
    const [reg, cls, ...rest] = foreign.parts(name).map((part) => foreign.mapBehind(part))
    if (foreign.shape(name).length !== 4 || !reg || !cls) return []
    // Four channels may mean anything: only where nothing else is beside them.
    const fits = isGrid(reg, cls, publishedBins) || (isGrid(reg, cls, 1) && rest.length === 0)
    return fits ? [{ reg, cls, output: name, whole: rest.length === 0 }] : []
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

export const rawOutput = (output: string, level: number, bins: number): OwnOutput => ({
  output,
  make: (g, { rows, ofLevel }) => {
    const width = rows.shape[1]!
    const numbers = columns(g, rows, width - 4 * bins, width)
    return g.transpose(ofLevel(g.concat([numbers, columns(g, rows, 0, width - 4 * bins)], 1), level), [1, 0])
  },
})
