/** Exports with two outputs for each grid: class scores [1, cells, C] or [cells, C] and distance distributions [1, cells, 4 bins] (PicoDet, early NanoDet). */
import { columns } from '../detector/heads/head.ts'
import type { Foreign } from './foreign.ts'
import type { OwnOutput } from './own-decoding.ts'

export interface PairedGrid {
  /** Its maps, classes first; one where a convolution makes both. */
  readonly parts: readonly string[]
  /** Channels behind the classes in the first map. */
  readonly after: number
  readonly scores: string
  readonly distances: string
}

/** The grids, fine to coarse, and what the outputs are in rows of the distribution head; undefined where the outputs are no such pairs. */
export function pairedOutputs(
  foreign: Foreign,
  classes: number,
): { grids: readonly PairedGrid[]; bins: number; own: readonly OwnOutput[] } | undefined {
  // Some exports leave the batch out.
  const batched = foreign.outputs([1, undefined, undefined])
  const outputs = batched.length > 0 ? batched : foreign.outputs([undefined, undefined])
  if (outputs.length < 4 || outputs.length !== foreign.graph.outputs.length || outputs.length % 2 !== 0) return undefined
  const cells = (name: string) => foreign.shape(name).at(-2)!
  const widths = new Set(outputs.map((name) => foreign.shape(name).at(-1)!))
  // With as many classes as numbers the scores come first.
  const numbers = [...widths].find((width) => width !== classes) ?? classes
  if (widths.size > 2 || numbers % 4 !== 0 || numbers < 8) return undefined
  const grids: PairedGrid[] = []
  for (const count of [...new Set(outputs.map(cells))].sort((a, b) => b - a)) {
    const pair = outputs.filter((name) => cells(name) === count)
    const scores = pair.find((name) => foreign.shape(name).at(-1) === classes)
    const distances = pair.find((name) => name !== scores && foreign.shape(name).at(-1) === numbers)
    if (pair.length !== 2 || !scores || !distances) return undefined
    // One convolution for both is split before the scores' sigmoid.
    const halves = [scores, distances].map((name) => foreign.maker(foreign.behind(name, ['Sigmoid'])))
    const shared =
      halves.every((node) => node?.op === 'Split' || node?.op === 'Slice') && halves[0]!.inputs[0] === halves[1]!.inputs[0]
    const maps = shared ? [halves[0]!.inputs[0]!] : [scores, distances].map((name) => foreign.mapBehind(name))
    if (maps.some((map) => map === undefined || foreign.cells(map) !== cells(scores))) return undefined
    grids.push({ parts: maps as string[], after: shared ? numbers : 0, scores, distances })
  }
  const own = grids.flatMap(({ scores, distances }, level): OwnOutput[] => [
    { output: scores, make: (_, decoded) => decoded.ofLevel(decoded.scores, level) },
    { output: distances, make: (g, { rows, ofLevel }) => ofLevel(columns(g, rows, classes, classes + numbers), level) },
  ])
  return { grids, bins: numbers / 4, own }
}
