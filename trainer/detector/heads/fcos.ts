/**
 * FCOS (Tian et al. 2019, as torchvision has it): rows are [l, t, r, b, centre-ness logit, class logits]; distances from a cell's point to the sides
 * of the box in strides, none below 0. A score is the root of class x centre-ness.
 */
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import { crossEntropy, overlaps, perPositive, sigmoidFocal } from './box-loss.ts'
import { boxesAround, type Centres, columns, type HeadKind } from './head.ts'

const lead = 5

const boxes = (g: GraphBuilder, _: unknown, rows: Value, centres: Centres): Value =>
  boxesAround(g, g.mul(g.relu(columns(g, rows, 0, 4)), centres.stride), centres)

/** How near to a box's middle a point lies: 1 there, 0 at its edge and outside. */
function centreness(g: GraphBuilder, target: Value, { x, y }: Centres): Value {
  const side = (i: number) => columns(g, target, i, i + 1)
  const share = (low: Value, high: Value) =>
    g.max(g.div(g.min(low, high), g.max(g.max(low, high), g.constant(1e-6))), g.constant(0))
  return g.sqrt(g.mul(share(g.sub(x, side(0)), g.sub(side(2), x)), share(g.sub(y, side(1)), g.sub(side(3), y))))
}

export const fcos: HeadKind = {
  rate: 7e-4,
  classesAt: () => lead,
  otherColumns: () => lead,
  // Probability 0.01 (Focal Loss, Lin et al. 2017).
  newClassBias: -Math.log(99),
  oneHot: false,
  apart: true,
  boxes,
  scores: (g, { classes }, rows) =>
    g.sqrt(g.mul(g.sigmoid(columns(g, rows, lead, lead + classes.length)), g.sigmoid(columns(g, rows, 4, lead)))),
  /** GIoU, focal loss of all classes, and the cross-entropy of centre-ness at positives. */
  losses: ({ g, specification, rows, chosen, centres, target, ...input }) => {
    const { weight, normalizer } = input
    const { giou } = overlaps(g, boxes(g, specification, chosen(0, lead), centres), target)
    const logits = columns(g, rows, lead, lead + specification.classes.length)
    return {
      box: perPositive(g, g.sub(g.constant(1), giou), weight, normalizer),
      classes: sigmoidFocal(g, { ...input, logits }),
      object: perPositive(g, crossEntropy(g, chosen(4, lead), centreness(g, target, centres)), weight, normalizer),
    }
  },
}
