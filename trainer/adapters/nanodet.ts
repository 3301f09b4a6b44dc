/**
 * NanoDet and NanoDet-Plus (RangiLyu) as exported: one output [1, cells, C + 4 bins] of sigmoid class scores and distance distributions;
 * BGR pixels by their own mean and deviation, the picture stretched. Plus has a fourth grid, and measures from a cell's corner.
 */
import { type Adapter, misfit } from './adapter.ts'
import { trainableCore } from './build-core.ts'
import type { Foreign } from './foreign.ts'

const family = 'NanoDet'

export const nanodet: Adapter = async (foreign, options) => {
  const classes = options.classes.length
  const output = foreign.graph.outputs.find(({ name }) => foreign.shape(name).length === 3)
  const width = output ? foreign.shape(output.name)[2]! : 0
  const bins = (width - classes) / 4
  if (!output || !Number.isInteger(bins) || bins < 2)
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; with ${classes} classes [1, cells, ${classes} + 4 x bins] is wanted`,
    )
  const grids = foreign.parts(output.name).map((name) => gridOf(foreign, name, classes, 4 * bins))
  const strides = foreign.strides(
    grids.map(({ parts }) => parts[0]!),
    family,
  )
  const plus = strides.length > 3
  return trainableCore({
    foreign,
    options,
    architecture: plus ? 'nanodet-plus' : 'nanodet',
    normalization: { channels: 'bgr', scale: 1, mean: [103.53, 116.28, 123.675], deviation: [57.375, 57.12, 58.395] },
    resize: 'stretch',
    why: `${strides.length} grids of ${classes} class scores and 4 distributions over ${bins} distances in one output`,
    head: 'distribution',
    levels: grids.map(({ parts }) => parts),
    fields: { strides, bins, cellOffset: plus ? 0 : 0.5, nms: 'per-class', nmsIou: 0.6 },
    classMaps: grids.map(({ parts, after }) => ({ map: parts[0]!, before: 0, after })),
  })
}

/** Classes and distributions of a grid: from one convolution that was split in two, or from one each. */
function gridOf(foreign: Foreign, name: string, classes: number, numbers: number): { parts: string[]; after: number } {
  const wanted = (part: string | undefined, channels: number): part is string =>
    part !== undefined && foreign.shape(part)[1] === channels
  const parts = foreign.parts(name)
  if (parts.length === 2) {
    const [scores, distances] = parts.map((part) => foreign.behind(part, ['Sigmoid'])) as [string, string]
    const [a, b] = [foreign.maker(scores), foreign.maker(distances)]
    const cut = (op: string | undefined) => op === 'Split' || op === 'Slice'
    if (cut(a?.op) && cut(b?.op) && a!.inputs[0] === b!.inputs[0] && wanted(a!.inputs[0], classes + numbers))
      return { parts: [a!.inputs[0]!], after: numbers }
    const [left, right] = parts.map((part) => foreign.mapBehind(part))
    if (wanted(left, classes) && wanted(right, numbers)) return { parts: [left, right], after: 0 }
  }
  const map = foreign.mapBehind(name)
  if (wanted(map, classes + numbers)) return { parts: [map], after: numbers }
  throw misfit(family, `a grid of it is no ${classes} class scores and ${numbers} numbers side by side`)
}
