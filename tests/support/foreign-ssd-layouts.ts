/** Layouts of SSD and its kin. */
import { C, type Candidate, type Case, centred, layout, type Outputs, rowsOf, size } from './foreign-case.ts'
import { cellsOf } from './foreign-net.ts'
import { offsetsNet, ssdNet, ultraLightNet, ultraLightSides } from './foreign-ssd.ts'
import { wholeTorchvision } from './foreign-torchvision.ts'

type Sides = readonly (readonly [number, number])[]
/** Priors of a grid as the paper has them: a square of the least side, one towards the next grid's, and the least one stretched either way. */
function liu(least: number, next: number, ratios: readonly number[]): Sides {
  const between = Math.sqrt(least * next)
  return [
    [least, least],
    [between, between],
    ...ratios.flatMap((ratio): Sides => {
      const root = Math.sqrt(ratio)
      return [
        [least * root, least / root],
        [least / root, least * root],
      ]
    }),
  ]
}

/** Priors in pixels; with `clip`, none is larger than the picture or centred outside of it; `even`: cells share the picture evenly. */
function priorsOf(strides: readonly number[], sides: readonly Sides[], clip: boolean, even = false) {
  const limit = (value: number, side: number) => (clip ? Math.min(value, side) : value)
  const step = (side: number, stride: number) => (even ? side / Math.ceil(side / stride) : stride)
  return strides.flatMap((stride, level) =>
    cellsOf(size.width, size.height, stride).flatMap(([x, y]) =>
      sides[level]!.map(([w, h]) => ({
        x: limit((x + 0.5) * step(size.width, stride), size.width),
        y: limit((y + 0.5) * step(size.height, stride), size.height),
        w: limit(w, size.width),
        h: limit(h, size.height),
      })),
    ),
  )
}

/** Boxes from offsets of priors. */
const offsetRows =
  (
    strides: readonly number[],
    sides: readonly Sides[],
    { clip, softmax, even }: { clip: boolean; softmax: boolean; even?: boolean },
  ) =>
  ({ loc, conf }: Outputs): Candidate[] => {
    const priors = priorsOf(strides, sides, clip, even)
    const offsets = rowsOf(loc!, 4)
    return rowsOf(conf!, C + 1).map((row, i) => {
      const { x, y, w, h } = priors[i]!
      const [dx, dy, dw, dh] = offsets[i] as [number, number, number, number]
      const all = row.reduce((sum, value) => sum + Math.exp(value), 0)
      return {
        box: centred(x + 0.1 * dx * w, y + 0.1 * dy * h, w * Math.exp(0.2 * dw), h * Math.exp(0.2 * dh)),
        scores: row.slice(1).map((value) => (softmax ? value : Math.exp(value) / all)),
      }
    })
  }

const mobilenetSides = [60, 105, 150, 195, 240, 285].map((least) => liu(least, least + 45, [2, 3]))
const vggSides = [30, 60, 111, 162, 213, 264].map((least, i) =>
  liu(least, [60, 111, 162, 213, 264, 315][i]!, i > 0 && i < 4 ? [2, 3] : [2]),
)
const retinaSides: Sides[] = [16, 64, 256].map((side) => [
  [side, side],
  [side * 2, side * 2],
])
const toldSides: Sides[] = [
  [
    [10, 20],
    [16, 8],
  ],
  [[32, 40]],
]

const toldNet = offsetsNet(layout, { strides: [8, 16], perCell: [2, 1] })

export const ssdLayouts: readonly Case[] = [
  {
    name: 'SSD with priors inside',
    adapter: 'ssd',
    graph: ssdNet(layout),
    prepare: (value) => (value - 127) / 128,
    bgr: false,
    decode: ({ scores, boxes }) => {
      const corners = rowsOf(boxes!, 4)
      const { width, height } = size
      return rowsOf(scores!, C + 1).map(([, ...kinds], i) => {
        const [x1, y1, x2, y2] = corners[i] as [number, number, number, number]
        return { box: [x1 * width, y1 * height, x2 * width, y2 * height], scores: kinds }
      })
    },
    architecture: 'ssd',
    head: 'priors',
  },
  {
    name: 'Ultra-Light without post-processing',
    adapter: 'ssd',
    graph: ultraLightNet(layout),
    prepare: (value) => (value - 127) / 128,
    bgr: false,
    decode: ({ scores, boxes }) => {
      const { width, height } = size
      const priors = ultraLightSides.flatMap((sides, level) => {
        const stride = 8 << level
        const [columns, rows] = [Math.ceil(width / stride), Math.ceil(height / stride)]
        return cellsOf(width, height, stride).flatMap(([x, y]) =>
          sides.map((side) => [((x + 0.5) / columns) * width, ((y + 0.5) / rows) * height, side] as const),
        )
      })
      const offsets = rowsOf(boxes!, 4)
      return rowsOf(scores!, C + 1).map(([, ...kinds], i) => {
        const [x, y, side] = priors[i]!
        const [dx, dy, dw, dh] = offsets[i] as [number, number, number, number]
        const [w, h] = [Math.min(side, width), Math.min(side, height)]
        const box = centred(x + 0.1 * dx * w, y + 0.1 * dy * h, w * Math.exp(0.2 * dw), h * Math.exp(0.2 * dh))
        return { box, scores: kinds }
      })
    },
    architecture: 'ssd',
    head: 'priors',
  },
  {
    name: 'a MobileNet SSD without post-processing (pytorch-ssd)',
    adapter: 'ssd',
    graph: offsetsNet(layout, { strides: [16, 32, 64, 128, 256, 512], perCell: [6, 6, 6, 6, 6, 6] }),
    prepare: (value) => (value - 127) / 128,
    bgr: false,
    decode: offsetRows([16, 32, 64, 100, 150, 300], mobilenetSides, { clip: true, softmax: false }),
    architecture: 'ssd',
    head: 'priors',
  },
  {
    name: "VGG's SSD300 without post-processing (ssd.pytorch)",
    adapter: 'ssd',
    graph: offsetsNet(layout, { strides: [8, 16, 32, 64, 128, 256], perCell: [4, 6, 6, 6, 4, 4], flat: true, softmax: true }),
    prepare: (value, channel) => value - [123, 117, 104][channel]!,
    bgr: false,
    decode: offsetRows([8, 16, 32, 64, 100, 300], vggSides, { clip: true, softmax: true }),
    architecture: 'ssd',
    head: 'priors',
  },
  {
    name: "VGG's SSD300 (pytorch-ssd)",
    adapter: 'ssd',
    graph: offsetsNet(layout, {
      strides: [8, 16, 32, 64, 128, 256],
      perCell: [4, 6, 6, 6, 4, 4],
      softmax: true,
      priors: priorsOf([8, 16, 32, 64, 100, 300], vggSides, true).map(({ x, y, w, h }) => [
        x / size.width,
        y / size.height,
        w / size.width,
        h / size.height,
      ]),
    }),
    prepare: (value, channel) => value - [123, 117, 104][channel]!,
    bgr: false,
    decode: ({ loc, conf }) =>
      rowsOf(loc!, 4).map(([x1, y1, x2, y2], i) => ({
        box: [x1! * size.width, y1! * size.height, x2! * size.width, y2! * size.height],
        scores: [...conf!.subarray(i * (C + 1) + 1, (i + 1) * (C + 1))],
      })),
    architecture: 'ssd',
    head: 'priors',
  },
  {
    name: 'RetinaFace, with key points',
    adapter: 'ssd',
    graph: offsetsNet(layout, { strides: [8, 16, 32], perCell: [2, 2, 2], softmax: true, keyPoints: true }),
    prepare: (value, channel) => value - [123, 117, 104][channel]!,
    bgr: true,
    decode: offsetRows([8, 16, 32], retinaSides, { clip: false, softmax: true }),
    architecture: 'ssd',
    head: 'priors',
    resize: 'letterbox',
  },
  {
    name: 'an SSD without post-processing, of a grid that does not divide the picture',
    adapter: 'ssd',
    graph: offsetsNet(layout, { strides: [16, 64], perCell: [2, 1] }),
    prepare: (value) => (value - 127) / 128,
    bgr: false,
    options: { anchors: toldSides.flat(2) },
    decode: offsetRows([16, 64], toldSides, { clip: false, softmax: false, even: true }),
    architecture: 'ssd',
    head: 'priors',
  },
  {
    name: 'an SSD whole (torchvision)',
    adapter: 'ssd',
    graph: wholeTorchvision(toldNet, {
      mean: [0.4, 0.5, 0.6],
      deviation: [1 / 255, 1 / 255, 1 / 255],
      scores: 'conf',
      offsets: 'loc',
      anchors: priorsOf([8, 16], toldSides, false).map(({ x, y, w, h }) => [x - w / 2, y - h / 2, x + w / 2, y + h / 2]),
      grids: [192, 24],
      variances: [0.1, 0.2],
      byClass: true,
    }),
    whole: toldNet,
    prepare: (value, channel) => value - 255 * [0.4, 0.5, 0.6][channel]!,
    bgr: false,
    decode: offsetRows([8, 16], toldSides, { clip: false, softmax: false }),
    architecture: 'ssd',
    head: 'priors',
    resize: 'stretch',
  },
  {
    name: 'an SSD without post-processing whose priors are told',
    adapter: 'ssd',
    graph: toldNet,
    prepare: (value) => (value - 127) / 128,
    bgr: false,
    options: { anchors: toldSides.flat(2) },
    decode: offsetRows([8, 16], toldSides, { clip: false, softmax: false }),
    architecture: 'ssd',
    head: 'priors',
  },
]
