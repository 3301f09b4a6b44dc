/** The built-in head. Rows are [l, t, r, b, class logits]: logarithms of the distances from the cell's centre, in strides (FCOS, Tian et al. 2019). */
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import { overlaps, perPositive, qualityFocal, qualityOf } from './box-loss.ts'
import { boxesAround, type Centres, columns, type HeadKind, limitedExp } from './head.ts'

const lead = 4

const boxes = (g: GraphBuilder, _: unknown, rows: Value, centres: Centres): Value =>
  boxesAround(g, g.mul(limitedExp(g, columns(g, rows, 0, 4)), centres.stride), centres)

export const distances: HeadKind = {
  rate: 5.6e-3,
  classesAt: () => lead,
  otherColumns: () => lead,
  // Probability 0.01 (Focal Loss, Lin et al. 2017).
  newClassBias: -Math.log(99),
  oneHot: false,
  apart: true,
  boxes,
  scores: (g, { classes }, rows) => g.sigmoid(columns(g, rows, lead, lead + classes.length)),
  /** Generalized focal loss (Li et al. 2020): quality focal loss with beta 2, and GIoU weighted by 2. */
  losses: ({ g, specification, rows, chosen, centres, target, weight, rowWeight, classWeight, normalizer, classIndex }) => {
    const { iou, giou } = overlaps(g, boxes(g, specification, chosen(0, lead), centres), target)
    const quality = qualityOf(g, iou, weight)
    const logits = columns(g, rows, lead, lead + specification.classes.length)
    const box = g.scale(perPositive(g, g.sub(g.constant(1), giou), weight, normalizer), 2)
    return {
      box,
      classes: qualityFocal(g, { logits, classIndex, quality, rowWeight, classWeight, normalizer }),
      object: g.scale(box, 0),
    }
  },
}
