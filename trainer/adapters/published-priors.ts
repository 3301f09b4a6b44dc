/** Priors that SSDs were published with, and how their authors prepare pictures: for files that give offsets, and to tell whose file it is. */
import { type AdapterOptions, misfit, type Normalization } from './adapter.ts'

export interface PublishedPriors {
  readonly name: string
  readonly strides: readonly number[]
  /** Widths and heights in pixels by grid; none is larger than the picture where they are clipped. */
  readonly anchors: readonly (readonly (readonly [number, number])[])[]
  readonly clipped: boolean
  /** Cells share the picture evenly, instead of standing a stride apart. */
  readonly evenCells: boolean
  readonly clampedCells: boolean
  readonly normalization: Normalization
  readonly resize: 'stretch' | 'letterbox'
}

const squares = (sides: readonly number[]) => sides.map((side) => [side, side] as const)

/** Liu et al. 2016: a square of the least side, one of its mean with the next grid's, and the least one stretched either way. */
function stretched([least, next]: readonly [number, number], ratios: readonly number[]): (readonly [number, number])[] {
  return [
    ...squares([least, Math.sqrt(least * next)]),
    ...ratios.flatMap((ratio) => {
      const root = Math.sqrt(ratio)
      return [[least * root, least / root] as const, [least / root, least * root] as const]
    }),
  ]
}

/** (RGB - 127) / 128 */
const halved: Normalization = { channels: 'rgb', scale: 1, mean: [127, 127, 127], deviation: [128, 128, 128] }
const less = (channels: 'rgb' | 'bgr', mean: readonly number[]): Normalization => ({
  channels,
  scale: 1,
  mean,
  deviation: [1, 1, 1],
})

/** The commonest preparation, for priors that nobody published. */
export const usualNormalization = halved

export const published: readonly PublishedPriors[] = [
  {
    name: 'Ultra-Light',
    strides: [8, 16, 32, 64],
    anchors: [squares([10, 16, 24]), squares([32, 48]), squares([64, 96]), squares([128, 192, 256])],
    clipped: true,
    evenCells: true,
    clampedCells: false,
    normalization: halved,
    resize: 'stretch',
  },
  {
    // Pytorch_Retinaface (biubug6); of its key points nothing is made.
    name: 'RetinaFace',
    strides: [8, 16, 32],
    anchors: [squares([16, 32]), squares([64, 128]), squares([256, 512])],
    clipped: false,
    evenCells: false,
    clampedCells: false,
    normalization: less('bgr', [104, 117, 123]),
    resize: 'letterbox',
  },
  {
    // pytorch-ssd (qfgaohao), as jetson-inference trains it: MobileNet v1, v2 and v3.
    name: 'MobileNet SSD',
    strides: [16, 32, 64, 100, 150, 300],
    anchors: [
      [60, 105],
      [105, 150],
      [150, 195],
      [195, 240],
      [240, 285],
      [285, 330],
    ].map((sides) => stretched(sides as [number, number], [2, 3])),
    clipped: true,
    evenCells: false,
    clampedCells: true,
    normalization: halved,
    resize: 'stretch',
  },
  {
    // torchvision's ssdlite320_mobilenet_v3_large.
    name: "torchvision's SSDLite320",
    strides: [16, 32, 64, 107, 160, 320],
    anchors: [
      [64, 112],
      [112, 160],
      [160, 208],
      [208, 256],
      [256, 304],
      [304, 320],
    ].map((sides) => stretched(sides as [number, number], [2, 3])),
    clipped: true,
    evenCells: true,
    clampedCells: false,
    normalization: { channels: 'rgb', scale: 1, mean: [127.5, 127.5, 127.5], deviation: [127.5, 127.5, 127.5] },
    resize: 'stretch',
  },
  {
    // ssd.pytorch (amdegroot) and pytorch-ssd, trained on VOC.
    name: "VGG's SSD300",
    strides: [8, 16, 32, 64, 100, 300],
    anchors: [
      stretched([30, 60], [2]),
      stretched([60, 111], [2, 3]),
      stretched([111, 162], [2, 3]),
      stretched([162, 213], [2, 3]),
      stretched([213, 264], [2]),
      stretched([264, 315], [2]),
    ],
    clipped: true,
    evenCells: false,
    clampedCells: true,
    normalization: less('rgb', [123, 117, 104]),
    resize: 'stretch',
  },
]

interface Size {
  readonly width: number
  readonly height: number
}

/** Sizes of priors over a picture of this size. */
export const sizesOver = ({ anchors, clipped }: PublishedPriors, { width, height }: Size): [number, number][][] =>
  anchors.map((grid) => grid.map(([w, h]) => (clipped ? [Math.min(w, width), Math.min(h, height)] : [w, h])))

export interface GridShape {
  readonly columns: number
  readonly rows: number
  readonly perCell: number
}

/** Those whose grids these are. */
export const publishedOn = (grids: readonly GridShape[], { width, height }: Size): PublishedPriors | undefined =>
  published.find(
    ({ strides, anchors }) =>
      strides.length === grids.length &&
      grids.every(
        ({ columns, rows, perCell }, i) =>
          perCell === anchors[i]!.length &&
          columns === Math.ceil(width / strides[i]!) &&
          rows === Math.ceil(height / strides[i]!),
      ),
  )

/** Those that have priors of these sizes. */
export const publishedWith = (
  anchors: readonly (readonly (readonly [number, number])[])[],
  size: Size,
): PublishedPriors | undefined =>
  published.find((each) => {
    const wanted = sizesOver(each, size)
    const alike = wanted.length === anchors.length && wanted.every((grid, level) => grid.length === anchors[level]!.length)
    return alike && wanted.flat(2).every((side, i) => near(side, anchors.flat(2)[i]!))
  })

const near = (a: number, b: number) => Math.abs(a - b) < 0.02 + 1e-3 * Math.abs(b)

/** Priors as people told them, fine grid to coarse. @throws MuninnError BAD_MODEL when there are more or fewer than the grids have */
export function toldPriors(
  family: string,
  told: NonNullable<AdapterOptions['anchors']>,
  grids: readonly GridShape[],
): [number, number][][] {
  const count = grids.reduce((sum, { perCell }) => sum + perCell, 0)
  if (told.length !== 2 * count)
    throw misfit(
      family,
      `its cells have ${grids.map(({ perCell }) => perCell).join(', ')} anchors, and ${told.length / 2} widths and heights were given`,
    )
  let at = 0
  return grids.map(({ perCell }) => Array.from({ length: perCell }, () => [told[at++]!, told[at++]!]))
}
