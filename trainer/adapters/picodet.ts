/**
 * PicoDet (PaddleDetection) exported without post-processing: for each of four strides two outputs, class scores [1, cells, C] and distance
 * distributions [1, cells, 4 bins]; RGB pixels by ImageNet's mean and deviation, the picture stretched. Its second version gives the root of
 * classes times an alignment of its own as scores: their logits are what is trained.
 */
import { type Adapter, misfit } from './adapter.ts'
import { trainableCore } from './build-core.ts'
import type { Foreign } from './foreign.ts'
import { pairedOutputs } from './paired-outputs.ts'

const family = 'PicoDet'

export const picodet: Adapter = async (foreign, options) => {
  const classes = options.classes.length
  const pairs = pairedOutputs(foreign, classes)
  if (!pairs)
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; for each of four strides [1, cells, ${classes}] and [1, cells, 4 x bins] are wanted`,
    )
  const { grids, bins, own } = pairs
  if (grids.length !== 4) throw misfit(family, `it has ${grids.length} grids, and PicoDet four`)
  const strides = foreign.strides(
    grids.map(({ parts }) => parts[0]!),
    family,
  )
  const aligned = grids.map(({ scores }) => alignedScores(foreign, scores, classes))
  const second = aligned.every((each) => each !== undefined)
  return await trainableCore({
    family,
    foreign,
    options,
    architecture: 'picodet',
    normalization: {
      channels: 'rgb',
      scale: 1 / 255,
      mean: [0.485, 0.456, 0.406],
      deviation: [0.229, 0.224, 0.225],
    },
    resize: 'stretch',
    why: `${grids.length} pairs of outputs: ${second ? 'aligned ' : ''}class scores, and distributions over ${bins} distances`,
    head: 'picodet',
    levels: grids.map(({ parts }) => (second ? [{ probabilities: parts[0]! }, ...parts.slice(1)] : parts)),
    fields: { strides, bins, nms: 'per-class', nmsIou: 0.6 },
    classMaps: grids.map(({ parts, after }, level) => ({ map: aligned[level] ?? parts[0]!, before: 0, after })),
    own: [own],
  })
}

/** The map of class logits behind scores that are the root of a product of two sigmoids; undefined when they are not. */
function alignedScores(foreign: Foreign, scores: string, classes: number): string | undefined {
  const root = foreign.maker(foreign.behind(scores))
  if (root?.op !== 'Sqrt' && root?.op !== 'Pow') return undefined
  const product = foreign.ancestors(root.inputs[0]!).findLast(({ op }) => op === 'Mul')
  return product?.inputs.map((name) => foreign.mapBehind(name)).find((map) => map && foreign.shape(map)[1] === classes)
}
