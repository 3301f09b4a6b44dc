/**
 * RetinaNet (Lin et al. 2017) as torchvision has it: lists of offsets x, y, width, height and of class logits, of its backbone and head without
 * post-processing, or inside of the whole; or probabilities, or the maps, where they do not come from the 1 x 1 filters of
 * EfficientDet's separable convolutions. RGB / 255 less ImageNet's mean, letterbox.
 */
import { anchorMaps, filterSide, type Grids } from './anchor-maps.ts'
import type { Foreign } from './foreign.ts'

/** To the nearest whole number, halves to the even one (torch.round). */
const rounded = (value: number) => {
  const low = Math.floor(value)
  return value - low === 0.5 ? low + (low % 2) : Math.round(value)
}

/** torchvision's: 32 px on the finest grid, three scales in whole pixels, shapes by height over width. */
function published(_: Foreign, { shapes }: Grids) {
  const anchors = shapes.map((_shape, level) => {
    const side = 32 << level
    const scales = [0, 1, 2].map((third) => Math.trunc(side * 2 ** (third / 3)))
    return [0.5, 1, 2].flatMap((ratio) => {
      const root = Math.sqrt(ratio)
      return scales.map((scale): [number, number] => [2 * rounded(scale / root / 2), 2 * rounded((scale * root) / 2)])
    })
  })
  return { name: "torchvision's RetinaNet", anchors }
}

export const retinanet = anchorMaps({
  family: 'RetinaNet',
  architecture: 'retinanet',
  head: 'retinanet',
  // From the corners of cells, which are whole pixels wide also where they do not divide the picture.
  placing: { cellOffset: 0, evenCells: true, wholeSteps: true },
  refuses: (foreign, kinds, form) =>
    form !== 'logits' && filterSide(foreign, kinds) === 1 ? "its maps come from 1 x 1 filters, as EfficientDet's do" : undefined,
  published,
  pictures: () => ({
    normalization: { channels: 'rgb', scale: 1 / 255, mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] },
    resize: 'letterbox',
  }),
  doubt: "offsets are read as RetinaNet's, x before y (EfficientDet's are y before x: --adapter efficientdet)",
})
