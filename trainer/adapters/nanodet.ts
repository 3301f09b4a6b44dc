/**
 * NanoDet and NanoDet-Plus (RangiLyu) as exported: one output [1, cells, C + 4 bins] of sigmoid class scores and distance distributions, or of
 * each grid one output for each (before 2022); BGR pixels by their own mean and deviation, the picture stretched. Plus has a fourth grid, and
 * measures from a cell's corner.
 */
import { columns } from '../detector/heads/head.ts'
import { type Adapter, misfit } from './adapter.ts'
import { trainableCore } from './build-core.ts'
import type { Foreign } from './foreign.ts'
import type { OwnOutput } from './own-decoding.ts'
import { pairedOutputs } from './paired-outputs.ts'

const family = 'NanoDet'

export const nanodet: Adapter = async (foreign, options) => {
  const classes = options.classes.length
  const pairs = pairedOutputs(foreign, classes)
  const { grids, bins, own, why } =
    pairs && pairs.grids.length === 3
      ? { ...pairs, why: `3 pairs of outputs: class scores, and distributions over ${pairs.bins} distances` }
      : joined(foreign, classes)
  const strides = foreign.strides(
    grids.map(({ parts }) => parts[0]!),
    family,
  )
  const plus = strides.length > 3
  return await trainableCore({
    family,
    foreign,
    options,
    architecture: plus ? 'nanodet-plus' : 'nanodet',
    normalization: { channels: 'bgr', scale: 1, mean: [103.53, 116.28, 123.675], deviation: [57.375, 57.12, 58.395] },
    resize: 'stretch',
    why: `${why}; pictures as most of its kin have them (with an EfficientNet-Lite in it they are --mean 127 --std 128)`,
    head: plus ? 'nanodet-plus' : 'distribution',
    levels: grids.map(({ parts }) => parts),
    fields: { strides, bins, cellOffset: plus ? 0 : 0.5, nms: 'per-class', nmsIou: 0.6 },
    classMaps: grids.map(({ parts, after }) => ({ map: parts[0]!, before: 0, after })),
    own: [own],
  })
}

/** All in one output. @throws MuninnError BAD_MODEL */
function joined(foreign: Foreign, classes: number) {
  const output = foreign.output([1, undefined, undefined])
  const width = output ? foreign.shape(output)[2]! : 0
  const bins = (width - classes) / 4
  if (!output || foreign.graph.outputs.length > 1 || !Number.isInteger(bins) || bins < 2)
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; with ${classes} classes [1, cells, ${classes} + 4 x bins] alone is wanted`,
    )
  const grids = foreign.parts(output).map((name) => gridOf(foreign, name, classes, 4 * bins))
  const own: OwnOutput[] = [
    { output, make: (g, { scores, rows }) => g.concat([scores, columns(g, rows, classes, classes + 4 * bins)], 1) },
  ]
  return {
    grids,
    bins,
    own,
    why: `${grids.length} grids of ${classes} class scores and 4 distributions over ${bins} distances in one output`,
  }
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
  throw misfit(family, `a grid of it is no ${classes} class scores and ${numbers} numbers side by side`)
}
