/** YOLOv8 (Ultralytics, 2023): rows, boxes and scores as NanoDet's, losses of its own. */
import { classLossWeight, classTargets, completeIou, crossEntropy, perPositive, qualityOf } from './box-loss.ts'
import { distribution, positiveBoxes } from './distribution.ts'
import { columns, type HeadKind } from './head.ts'

/** As published. */
const gains = { box: 7.5, distribution: 1.5, classes: 0.5 }

export const yolov8: HeadKind = {
  ...distribution,
  /**
   * 7.5 (1 - complete IoU) and 1.5 x distribution focal loss at positives, weighed by their target score, and 0.5 x binary cross-entropy of all
   * class scores with it; all over the sum of the targets. The target is the overlap; task alignment (Feng et al. 2021) would also scale it
   * by how the cells of one box compare.
   */
  losses: (input) => {
    const { g, specification, rows, target, weight, classIndex } = input
    const { predicted, dfl } = positiveBoxes(input)
    const overlap = completeIou(g, predicted, target)
    const wanted = qualityOf(g, overlap, weight)
    const normalizer = g.div(g.constant(1), g.max(g.sum(wanted), g.constant(1)))
    const logits = columns(g, rows, 0, specification.classes.length)
    const entropy = crossEntropy(g, logits, classTargets(g, logits, classIndex, wanted))
    const lost = g.add(g.scale(g.sub(g.constant(1), overlap), gains.box), g.scale(dfl, gains.distribution))
    return {
      box: perPositive(g, lost, wanted, normalizer),
      classes: g.scale(g.mul(g.sum(g.mul(entropy, classLossWeight(g, input))), normalizer), gains.classes),
      object: g.constant(0),
    }
  },
}
