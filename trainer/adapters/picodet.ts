/**
 * PicoDet (PaddleDetection) exported without post-processing: for each stride two outputs, class scores [1, cells, C] and distance
 * distributions [1, cells, 4 bins]; RGB pixels by ImageNet's mean and deviation, the picture stretched. NanoDet's older exports alike.
 */
import { type Adapter, misfit } from './adapter.ts'
import { trainableCore } from './build-core.ts'

const family = 'PicoDet'

export const picodet: Adapter = async (foreign, options) => {
  const classes = options.classes.length
  const maps = foreign.graph.outputs.map(({ name }) => {
    const cut = foreign.maker(foreign.behind(name, ['Sigmoid']))
    // One convolution for both: its halves are told by the width of the output.
    const shared = cut?.op === 'Split' || cut?.op === 'Slice'
    const map = shared ? cut.inputs[0]! : foreign.mapBehind(name)
    return { map, shared, shape: foreign.shape(name) }
  })
  const found = maps.filter((each): each is (typeof maps)[number] & { map: string } => each.map !== undefined)
  const cells = (map: string) => foreign.shape(map)[2]! * foreign.shape(map)[3]!
  const scores = found
    .filter(({ map, shared, shape }) => (shared ? shape.includes(classes) : foreign.shape(map)[1] === classes))
    .sort((a, b) => cells(b.map) - cells(a.map))
  const grids = scores.map((score) => {
    const other = found.find((each) => each !== score && !scores.includes(each) && cells(each.map) === cells(score.map))
    if (!other) throw misfit(family, 'a grid has class scores and no distribution of distances')
    const channels = foreign.shape(other.map)[1]!
    return score.shared && other.map === score.map
      ? { parts: [score.map], numbers: channels - classes, after: channels - classes }
      : { parts: [score.map, other.map], numbers: channels, after: 0 }
  })
  const bins = (grids[0]?.numbers ?? 0) / 4
  if (grids.length < 2 || !Number.isInteger(bins) || bins < 2 || grids.some(({ numbers }) => numbers !== 4 * bins))
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; for each of several strides [1, cells, ${classes}] and [1, cells, 4 x bins] are wanted`,
    )
  return trainableCore({
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
    why: `${grids.length} pairs of outputs: class scores, and distributions over ${bins} distances`,
    head: 'distribution',
    levels: grids.map(({ parts }) => parts),
    fields: {
      strides: foreign.strides(
        grids.map(({ parts }) => parts[0]!),
        family,
      ),
      bins,
      nms: 'per-class',
      nmsIou: 0.6,
    },
    classMaps: grids.map(({ parts, after }) => ({ map: parts[0]!, before: 0, after })),
  })
}
