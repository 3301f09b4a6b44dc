/**
 * EfficientDet (Tan et al. 2020) as effdet exports it, a map of classes and one of boxes of each grid, and as Yet-Another-EfficientDet-Pytorch
 * does, lists of boxes and scores, with the anchors beside them. Offsets are y, x, height, width; RGB, letterbox.
 */
import type { Normalization } from './adapter.ts'
import { anchorMaps, type Grids } from './anchor-maps.ts'
import type { Foreign } from './foreign.ts'

const imageNet: Normalization = {
  channels: 'rgb',
  scale: 1 / 255,
  mean: [0.485, 0.456, 0.406],
  deviation: [0.229, 0.224, 0.225],
}
/** To -1..1. */
const centred: Normalization = { ...imageNet, mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] }

/** Width and height of each shape, in sides of a square. */
const shapes = [
  [1, 1],
  [1.4, 0.7],
  [0.7, 1.4],
] as const

/** Lite is the one of ReLU6 instead of swish (x sigmoid x) and squeeze-and-excitation. */
function isLite(foreign: Foreign, { kinds }: Grids): boolean {
  const ops = new Set(foreign.ancestors(kinds[0]!).map(({ op }) => op))
  return ops.has('Clip') && !ops.has('Sigmoid')
}

/** Channels of the heads of Lite 3 and 4, whose anchors are as large as the others'; those of Lite 0 to 2 and 3x are smaller. */
const wideLite = [160, 224]

function published(foreign: Foreign, grids: Grids) {
  const lite = isLite(foreign, grids)
  const [map] = grids.kinds as [string]
  const small = lite && !wideLite.includes(foreign.shape(foreign.maker(map)?.inputs[0] ?? map)[1]!)
  const strides = small ? 3 : 4
  const { width, height } = foreign.input
  const anchors = grids.shapes.map(({ columns, rows }) =>
    [0, 1, 2].flatMap((octave) => {
      const sides = strides * 2 ** (octave / 3)
      return shapes.map(([w, h]): [number, number] => [(sides * w * width) / columns, (sides * h * height) / rows])
    }),
  )
  return { name: `EfficientDet${lite ? ' Lite' : ''}, ${strides} strides wide`, anchors }
}

export const efficientdet = anchorMaps({
  family: 'EfficientDet',
  architecture: 'efficientdet',
  head: 'efficientdet',
  placing: { evenCells: true },
  refuses: (_foreign, _kinds, form) => (form === 'logits' ? "its list of scores holds logits, as RetinaNet's does" : undefined),
  published,
  pictures: (foreign, grids) => ({ normalization: isLite(foreign, grids) ? centred : imageNet, resize: 'letterbox' }),
  doubt: "offsets are read as EfficientDet's, y before x",
})
