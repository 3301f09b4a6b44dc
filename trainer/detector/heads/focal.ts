/**
 * Anchors whose classes are sigmoids without a background, trained with the focal loss: RetinaNet (Lin et al. 2017) and EfficientDet (Tan et al.
 * 2020). Rows are [four offsets, class logits] of an anchor; offsets in its size, and logarithms of how much larger the box is.
 */
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import { assignByOverlapOrNot } from '../anchor-assignment.ts'
import { perPositive, sigmoidFocal, smoothL1 } from './box-loss.ts'
import { columns, type HeadKind } from './head.ts'
import { encoded, moved } from './priors.ts'

const lead = 4
const variances = [1, 1] as const

interface Form {
  /** Offsets are y, x, height, width instead of x, y, width, height. */
  readonly yFirst: boolean
  /** Up to this difference the loss of an offset is a square, of which it is straight from there on; and its slope there. */
  readonly bend: number
  readonly slope: number
}

const focal = ({ yFirst, bend, slope }: Form): HeadKind => {
  const offsets = (g: GraphBuilder, rows: Value): Value => {
    if (!yFirst) return columns(g, rows, 0, lead)
    const column = (i: number) => columns(g, rows, i, i + 1)
    return g.concat([column(1), column(0), column(3), column(2)], rows.shape.length - 1)
  }
  return {
    rate: 7e-4,
    classesAt: () => lead,
    otherColumns: () => lead,
    // Probability 0.01 (Lin et al. 2017, 4.1).
    newClassBias: -Math.log(99),
    oneHot: false,
    apart: true,
    perPicture: 384,
    assign: assignByOverlapOrNot,
    boxes: (g, _, rows, centres) => moved(g, variances, offsets(g, rows), centres),
    scores: (g, { classes }, rows) => g.sigmoid(columns(g, rows, lead, lead + classes.length)),
    losses: ({ g, specification, rows, chosen, centres, target, ...input }) => {
      const off = g.sub(offsets(g, chosen(0, lead)), encoded(g, variances, target, centres))
      const bent = g.scale(smoothL1(g, g.scale(off, 1 / bend)), bend * slope)
      const box = perPositive(g, g.sum(bent, [1], true), input.weight, input.normalizer)
      const logits = columns(g, rows, lead, lead + specification.classes.length)
      return { box, classes: sigmoidFocal(g, { ...input, logits }), object: g.scale(box, 0) }
    },
  }
}

/** Smooth L1 as its authors' code has it. */
export const retinanet = focal({ yFirst: false, bend: 1 / 9, slope: 1 })

/** 50 x the mean of four Huber losses of 0.1; its focal loss as RetinaNet's. */
export const efficientdet = focal({ yFirst: true, bend: 0.1, slope: (50 * 0.1) / 4 })
