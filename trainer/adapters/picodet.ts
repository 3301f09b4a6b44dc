/**
 * PicoDet (PaddleDetection) exported without post-processing: for each of four strides two outputs, class scores [1, cells, C] and distance
 * distributions [1, cells, 4 bins]; RGB pixels by ImageNet's mean and deviation, the picture stretched. Its second version multiplies the
 * scores by an alignment of their own: that one is run, not trained.
 */
import { cellsOf } from '../detector/cells.ts'
import { distributionBoxes } from '../detector/heads/distribution.ts'
import { centresOf } from '../detector/heads/head.ts'
import { type Adapter, misfit } from './adapter.ts'
import { fixedCore, trainableOrWhy } from './build-core.ts'
import { pairedOutputs } from './paired-outputs.ts'
import { onSample, refuseNoProbabilities } from './plausible.ts'

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
  const common = {
    family,
    foreign,
    options,
    architecture: 'picodet',
    normalization: {
      channels: 'rgb' as const,
      scale: 1 / 255,
      mean: [0.485, 0.456, 0.406],
      deviation: [0.229, 0.224, 0.225],
    },
    resize: 'stretch' as const,
  }
  const fields = { strides, bins, nms: 'per-class', nmsIou: 0.6 } as const
  const made = await trainableOrWhy({
    ...common,
    why: `${grids.length} pairs of outputs: class scores, and distributions over ${bins} distances`,
    head: 'picodet',
    levels: grids.map(({ parts }) => parts),
    fields,
    classMaps: grids.map(({ parts, after }) => ({ map: parts[0]!, before: 0, after })),
    own: [own],
  })
  if (typeof made !== 'string') return made
  const outputs = grids.map(({ scores }) => scores)
  for (const [i, values] of (await onSample(foreign, common, outputs)).entries())
    refuseNoProbabilities(family, outputs[i]!, values)
  return fixedCore({
    ...common,
    why: `${grids.length} pairs of outputs, taken as they are: ${made}; it is run, not trained`,
    nms: fields.nms,
    nmsIou: fields.nmsIou,
    make: (g) => {
      const joined = (names: readonly string[]) => {
        const rows = g.concat(
          names.map((name) => g.value(name)),
          1,
        )
        return g.reshape(rows, rows.shape.slice(1))
      }
      const numbers = joined(grids.map(({ distances }) => distances))
      const { width, height } = foreign.input
      const centres = centresOf(g, cellsOf({ width, height, strides }), { width, height })
      return { boxes: distributionBoxes(g, bins, numbers, centres), scores: joined(grids.map(({ scores }) => scores)) }
    },
  })
}
