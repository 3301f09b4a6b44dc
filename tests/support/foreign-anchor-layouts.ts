/** Layouts of EfficientDet, RetinaNet and FCOS. */
import { anchorsNet, fcosNet } from './foreign-anchors.ts'
import { C, type Candidate, type Case, centred, layout, type Outputs, rowsOf, sigmoid, size } from './foreign-case.ts'
import { cellsOf } from './foreign-net.ts'
import { wholeTorchvision } from './foreign-torchvision.ts'

interface Anchor {
  readonly x: number
  readonly y: number
  readonly w: number
  readonly h: number
}
type Sides = readonly (readonly [number, number])[]

/** Anchors by cell; `at`: where they lie in it, 0 its corner. */
const anchorsOf = (strides: readonly number[], at: number, sides: (step: readonly [number, number], level: number) => Sides) =>
  strides.flatMap((stride, level) => {
    const [columns, rows] = [Math.ceil(size.width / stride), Math.ceil(size.height / stride)]
    const step = [size.width / columns, size.height / rows] as const
    return cellsOf(size.width, size.height, stride).flatMap(([x, y]) =>
      sides(step, level).map(([w, h]): Anchor => ({ x: (x + at) * step[0], y: (y + at) * step[1], w, h })),
    )
  })

const five = [8, 16, 32, 64, 128]
const thirds = [0, 1, 2].map((third) => 2 ** (third / 3))
const efficientdetAnchors = (scale: number) =>
  anchorsOf(five, 0.5, ([w, h]) =>
    thirds.flatMap(
      (third): Sides =>
        [
          [1, 1],
          [1.4, 0.7],
          [0.7, 1.4],
        ].map(([across, down]) => [scale * third * across! * w, scale * third * down! * h]),
    ),
  )
/** Half sides in whole pixels, as torchvision's are at 32, 40 and 50 px and twice, four, eight and sixteen times as much. */
const halfSides: readonly Sides[] = [
  [
    [23, 11],
    [28, 14],
    [35, 18],
    [16, 16],
    [20, 20],
    [25, 25],
    [11, 23],
    [14, 28],
    [18, 35],
  ],
  [
    [45, 23],
    [57, 28],
    [71, 36],
    [32, 32],
    [40, 40],
    [50, 50],
    [23, 45],
    [28, 57],
    [36, 71],
  ],
  [
    [91, 45],
    [114, 57],
    [144, 72],
    [64, 64],
    [80, 80],
    [102, 102],
    [45, 91],
    [57, 114],
    [72, 144],
  ],
  [
    [181, 91],
    [228, 114],
    [287, 144],
    [128, 128],
    [161, 161],
    [203, 203],
    [91, 181],
    [114, 228],
    [144, 287],
  ],
  [
    [362, 181],
    [456, 228],
    [574, 287],
    [256, 256],
    [322, 322],
    [406, 406],
    [181, 362],
    [228, 456],
    [287, 574],
  ],
]
const retinanetAnchors = anchorsOf(five, 0, (_, level) => halfSides[level]!.map(([w, h]) => [2 * w, 2 * h]))

/** Boxes from offsets, which are y before x or x before y. */
function candidates(
  anchors: readonly Anchor[],
  order: 'yx' | 'xy',
  { boxes, scores }: { boxes: readonly (readonly number[])[]; scores: readonly (readonly number[])[] },
): Candidate[] {
  return anchors.map(({ x, y, w, h }, i) => {
    const [a, b, c, d] = boxes[i] as [number, number, number, number]
    const [dx, dy, dw, dh] = order === 'xy' ? [a, b, c, d] : [b, a, d, c]
    return { box: centred(x + dx * w, y + dy * h, w * Math.exp(dw), h * Math.exp(dh)), scores: scores[i]! }
  })
}

/** Rows of a map: cell by cell, anchor by anchor. */
function rowsOfMap(map: Float32Array, width: number): number[][] {
  const cells = map.length / (9 * width)
  return Array.from({ length: cells * 9 }, (_, row) => {
    const [cell, anchor] = [Math.floor(row / 9), row % 9]
    return Array.from({ length: width }, (_, i) => map[(anchor * width + i) * cells + cell]!)
  })
}

const fromMaps =
  (anchors: readonly Anchor[], order: 'yx' | 'xy') =>
  (outputs: Outputs): Candidate[] =>
    candidates(anchors, order, {
      boxes: five.flatMap((stride) => rowsOfMap(outputs[`boxes_${stride}`]!, 4)),
      scores: five.flatMap((stride) => rowsOfMap(outputs[`kinds_${stride}`]!, C)).map((row) => row.map(sigmoid)),
    })

const fromLists =
  (anchors: readonly Anchor[], order: 'yx' | 'xy', probable: boolean) =>
  ({ regression, classification }: Outputs): Candidate[] =>
    candidates(anchors, order, {
      boxes: rowsOf(regression!, 4),
      scores: rowsOf(classification!, C).map((row) => (probable ? row : row.map(sigmoid))),
    })

const imageNet = (value: number, channel: number) =>
  (value / 255 - [0.485, 0.456, 0.406][channel]!) / [0.229, 0.224, 0.225][channel]!

/** A mean that is nobody's, so that it can only come from the file. */
const own = { mean: [0.4, 0.5, 0.6], deviation: [0.2, 0.25, 0.3] }
const ownNormal = (value: number, channel: number) => (value / 255 - own.mean[channel]!) / own.deviation[channel]!
const corners = (anchors: readonly Anchor[]) => anchors.map(({ x, y, w, h }) => [x - w / 2, y - h / 2, x + w / 2, y + h / 2])
const rowsIn = (strides: readonly number[], perCell: number) =>
  strides.map((stride) => cellsOf(size.width, size.height, stride).length * perCell)

const ownSides: Sides[] = [
  [
    [20, 30],
    [34, 18],
  ],
  [
    [44, 44],
    [60, 30],
  ],
]
const ownAnchors = anchorsOf([8, 16], 0.5, (_, level) => ownSides[level]!)

const efficientdet = { adapter: 'efficientdet', bgr: false, architecture: 'efficientdet', head: 'efficientdet' } as const
const retinanet = { adapter: 'retinanet', bgr: false, architecture: 'retinanet', head: 'retinanet' } as const

const fcosPoints = five.flatMap((stride) => anchorsOf([stride], 0, () => [[stride, stride]]))

const fcosBoxes = ({ cls_logits, bbox_regression, bbox_ctrness }: Outputs): Candidate[] => {
  const distances = rowsOf(bbox_regression!, 4)
  return rowsOf(cls_logits!, C).map((logits, i) => {
    const { x, y, w } = fcosPoints[i]!
    const [l, t, r, b] = distances[i]!.map((each) => each * w) as [number, number, number, number]
    const centre = sigmoid(bbox_ctrness![i]!)
    return { box: [x - l, y - t, x + r, y + b], scores: logits.map((each) => Math.sqrt(sigmoid(each) * centre)) }
  })
}

const retinanetNet = anchorsNet(layout, { strides: [8, 16], perCell: 2, form: 'scores first' })
const retinanetOwn = anchorsOf([8, 16], 0, (_, level) => ownSides[level]!)

export const anchorLayouts: readonly Case[] = [
  {
    ...efficientdet,
    name: 'EfficientDet, a map of classes and one of boxes of each grid (effdet)',
    graph: anchorsNet(layout, { strides: five, perCell: 9, form: 'maps' }),
    prepare: imageNet,
    decode: fromMaps(efficientdetAnchors(4), 'yx'),
    resize: 'letterbox',
  },
  {
    ...efficientdet,
    name: 'EfficientDet Lite, whose anchors are smaller (effdet)',
    graph: anchorsNet(layout, { strides: five, perCell: 9, form: 'maps', relu6: true }),
    prepare: (value) => (value / 255 - 0.5) / 0.5,
    decode: fromMaps(efficientdetAnchors(3), 'yx'),
  },
  {
    ...efficientdet,
    name: 'EfficientDet, lists of boxes and scores (Yet-Another-EfficientDet-Pytorch)',
    graph: anchorsNet({ ...layout, opset: 11 }, { strides: five, perCell: 9, form: 'boxes first', sigmoid: true }),
    prepare: imageNet,
    decode: fromLists(efficientdetAnchors(4), 'yx', true),
  },
  {
    ...efficientdet,
    name: 'EfficientDet with anchors of its own beside its lists',
    graph: anchorsNet(layout, {
      strides: [8, 16],
      perCell: 2,
      form: 'boxes first',
      sigmoid: true,
      anchors: ownAnchors.map(({ x, y, w, h }) => [y - h / 2, x - w / 2, y + h / 2, x + w / 2]),
    }),
    prepare: imageNet,
    decode: fromLists(ownAnchors, 'yx', true),
  },
  {
    ...retinanet,
    name: 'RetinaNet without post-processing (torchvision)',
    graph: anchorsNet(layout, { strides: five, perCell: 9, form: 'scores first' }),
    prepare: imageNet,
    decode: fromLists(retinanetAnchors, 'xy', false),
    resize: 'letterbox',
  },
  {
    ...retinanet,
    name: 'RetinaNet, its scores probabilities',
    graph: anchorsNet(layout, { strides: five, perCell: 9, form: 'scores first', sigmoid: true, side: 3 }),
    prepare: imageNet,
    decode: fromLists(retinanetAnchors, 'xy', true),
    runBy: 'efficientdet',
  },
  {
    ...retinanet,
    name: 'RetinaNet, its maps alone',
    graph: anchorsNet(layout, { strides: five, perCell: 9, form: 'maps', side: 3 }),
    prepare: imageNet,
    decode: fromMaps(retinanetAnchors, 'xy'),
    runBy: 'efficientdet',
  },
  {
    ...retinanet,
    name: 'RetinaNet whose anchors are told',
    graph: retinanetNet,
    prepare: imageNet,
    options: { anchors: ownSides.flat(2) },
    decode: fromLists(retinanetOwn, 'xy', false),
  },
  {
    ...retinanet,
    name: 'RetinaNet whole, with anchors of its own (torchvision)',
    graph: wholeTorchvision(retinanetNet, {
      ...own,
      scores: 'classification',
      offsets: 'regression',
      anchors: corners(retinanetOwn),
      grids: rowsIn([8, 16], 2),
      variances: [1, 1],
    }),
    whole: retinanetNet,
    prepare: ownNormal,
    decode: fromLists(retinanetOwn, 'xy', false),
    resize: 'letterbox',
  },
  {
    name: 'FCOS whole, which takes a batch (torchvision)',
    adapter: 'fcos',
    graph: wholeTorchvision(fcosNet(layout), {
      ...own,
      scores: 'cls_logits',
      offsets: 'bbox_regression',
      centreness: 'bbox_ctrness',
      anchors: corners(fcosPoints),
      grids: rowsIn(five, 1),
      batched: true,
    }),
    whole: fcosNet(layout),
    prepare: ownNormal,
    bgr: false,
    decode: fcosBoxes,
    architecture: 'fcos',
    head: 'fcos',
    resize: 'letterbox',
  },
  {
    name: 'FCOS without post-processing (torchvision)',
    adapter: 'fcos',
    graph: fcosNet(layout),
    prepare: imageNet,
    bgr: false,
    decode: fcosBoxes,
    architecture: 'fcos',
    head: 'fcos',
    resize: 'letterbox',
  },
]
