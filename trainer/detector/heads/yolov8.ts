/** YOLOv8 (Ultralytics, 2023): rows, boxes and scores as NanoDet's; losses and the choice of cells its own. */
import { candidatesWithin, nineOfEachGrid } from '../assignment.ts'
import { classLossWeight, classTargets, completeIou, crossEntropy, perPositive, qualityOf } from './box-loss.ts'
import { distribution, positiveBoxes } from './distribution.ts'
import { alignedTargets } from './dynamic.ts'
import { columns, type HeadKind } from './head.ts'

/** As published. */
const gains = { box: 7.5, distribution: 1.5, classes: 0.5 }

export const yolov8: HeadKind = {
  ...distribution,
  rate: 2.8e-3,
  oneHot: true,
  apart: true,
  assign: candidatesWithin,
  slots: nineOfEachGrid,
  /**
   * 7.5 (1 - complete IoU) and 1.5 x distribution focal loss (or what stands for it where there is no distribution) at the cells that answer for boxes, weighed by their target score, and 0.5 x binary
   * cross-entropy of all class scores with it; all over the sum of the targets.
   */
  losses: (input) => {
    const { g, specification, rows, chosen, oneHot, target, classIndex } = input
    const { predicted, dfl } = positiveBoxes(input)
    const overlap = completeIou(g, predicted, target)
    const score = g.sum(g.mul(g.sigmoid(chosen(0, specification.classes.length)), oneHot!), [1], true)
    const wanted = alignedTargets(input, { overlap: qualityOf(g, overlap, input.weight), score })
    const share = g.max(g.sum(wanted), g.constant(input.leastShare))
    const normalizer = g.div(g.constant(1), share)
    const logits = columns(g, rows, 0, specification.classes.length)
    const entropy = crossEntropy(g, logits, classTargets(g, logits, classIndex, wanted))
    const lost = g.add(g.scale(g.sub(g.constant(1), overlap), gains.box), g.scale(dfl, gains.distribution))
    return {
      box: perPositive(g, lost, wanted, normalizer),
      classes: g.scale(g.mul(g.sum(g.mul(entropy, classLossWeight(g, input))), normalizer), gains.classes),
      object: g.constant(0),
      share,
    }
  },
}
