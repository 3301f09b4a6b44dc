/** RTMDet (Lyu et al. 2022): rows as NanoDet's, with a distance itself for each side. */
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import { overlaps, perPositive, qualityFocal, qualityOf, qualityWeight } from './box-loss.ts'
import { classCostOf, nanodetPlus } from './distribution.ts'
import { simOta } from './dynamic.ts'
import { type Centres, columns, type HeadKind } from './head.ts'

/** From so many strides on a cell's distance from the centre of a box costs more than 1, ten times as much with each further one. */
const softRadius = 3

function centreCost(g: GraphBuilder, target: Value, { x, y, stride }: Centres): Value {
  const side = (i: number) => columns(g, target, i, i + 1)
  const away = (low: number, high: number, at: Value) => g.sub(g.scale(g.add(side(low), side(high)), 0.5), at)
  const [dx, dy] = [away(0, 2, x), away(1, 3, y)]
  const distance = g.div(g.sqrt(g.add(g.mul(dx, dx), g.mul(dy, dy))), stride)
  return g.exp(g.scale(g.sub(distance, g.constant(softRadius)), Math.LN10))
}

export const rtmdet: HeadKind = {
  ...nanodetPlus,
  apart: true,
  /** Dynamic soft labels: 2 x GIoU weighed by the overlap, quality focal loss of all cells, both over the sum of the overlaps. */
  losses: (input) => {
    const { g, specification, rows, chosen, centres, target, rowWeight, classWeight, classIndex } = input
    const classes = specification.classes.length
    const predicted = nanodetPlus.boxes(g, specification, chosen(0, classes + 4), centres)
    const { iou, giou } = overlaps(g, predicted, target)
    const classCost = g.add(classCostOf(input, iou, qualityWeight), centreCost(g, target, centres))
    const answers = simOta(input, { overlap: iou, classCost, summed: 13 })
    const quality = qualityOf(g, iou, answers)
    const share = g.max(g.sum(quality), g.constant(input.leastShare))
    const normalizer = g.div(g.constant(1), share)
    const logits = columns(g, rows, 0, classes)
    return {
      box: g.scale(perPositive(g, g.sub(g.constant(1), giou), quality, normalizer), 2),
      classes: qualityFocal(g, { logits, classIndex, quality, rowWeight, classWeight, normalizer }),
      object: g.constant(0),
      share,
    }
  },
}
