/**
 * NanoDet, PicoDet and YOLOv8: rows are [class logits, left, top, right, bottom], each side the expectation of a softmax over distances of
 * 0, 1, 2, ... strides (generalized focal loss, Li et al. 2020). With one bin a side is that number of strides itself (YOLO26).
 */

import type { GraphBuilder, Value } from '../../graph/builder.ts'
import { elementCount } from '../../onnx/graph.ts'
import { candidatesWithin, nineOfEachGrid } from '../assignment.ts'
import type { Specification } from '../specification.ts'
import {
  chosenClassWeight,
  crossEntropy,
  given,
  logSoftmax,
  overlaps,
  perPositive,
  qualityFocal,
  qualityOf,
  qualityWeight,
  varifocal,
  varifocalWeight,
} from './box-loss.ts'
import { simOta } from './dynamic.ts'
import { boxesAround, type Centres, columns, type HeadKind, type LossInput } from './head.ts'

const binsOf = ({ bins }: Specification): number => bins!
const steps = (g: GraphBuilder, count: number, shape: readonly number[]) =>
  g.once(`steps ${count} ${shape.join(',')}`, () => g.constant([...Array(count).keys()], shape))

/** Distances in strides [.., 4] from [.., 4 bins]. */
function expectedDistances(g: GraphBuilder, bins: number, numbers: Value): Value {
  if (bins === 1) return numbers
  const lead = numbers.shape.slice(0, -1)
  const softmax = g.op('Softmax', [g.reshape(numbers, [elementCount(lead) * 4, bins])], { attributes: { axis: 1 } })
  return g.reshape(g.matMul(softmax, steps(g, bins, [bins, 1])), [...lead, 4])
}

/** Boxes from the distances' numbers alone, [.., 4 bins]. */
const distributionBoxes = (g: GraphBuilder, bins: number, numbers: Value, centres: Centres): Value =>
  boxesAround(g, g.mul(expectedDistances(g, bins, numbers), centres.stride), centres)

const boxes: HeadKind['boxes'] = (g, specification, rows, centres) => {
  const [bins, classes] = [binsOf(specification), specification.classes.length]
  return distributionBoxes(g, bins, columns(g, rows, classes, classes + 4 * bins), centres)
}

/**
 * Predicted boxes of the positives [P, 4], and their distribution focal loss [P, 1], the mean over their sides; where a side has no distribution,
 * how far it is off in shares of the picture (Ultralytics, 2026).
 */
export function positiveBoxes({ g, specification, chosen, centres, target }: LossInput): { predicted: Value; dfl: Value } {
  const [bins, classes] = [binsOf(specification), specification.classes.length]
  const numbers = chosen(classes, classes + 4 * bins)
  const positives = numbers.shape[0]!
  const side = (i: number) => columns(g, target, i, i + 1)
  const { x, y, stride } = centres
  const away = g.concat([g.sub(x, side(0)), g.sub(y, side(1)), g.sub(side(2), x), g.sub(side(3), y)], 1)
  if (bins === 1) {
    const { width, height } = centres
    const off = g.div(g.sub(g.mul(numbers, stride), away), g.constant([width, height, width, height], [1, 4]))
    return { predicted: distributionBoxes(g, bins, numbers, centres), dfl: g.mean(g.op('Abs', [off]), [1], true) }
  }
  // The distribution shall lie on the two whole distances beside the true one, each by its nearness: a triangle around it.
  const wanted = g.op('Clip', [g.div(away, stride), g.constant(0), g.constant(bins - 1.01)])
  const off = g.op('Abs', [g.sub(g.reshape(wanted, [positives * 4, 1]), steps(g, bins, [1, bins]))])
  const share = g.relu(g.sub(g.constant(1), off))
  const surprise = g.sum(g.mul(share, logSoftmax(g, g.reshape(numbers, [positives * 4, bins]), 'distribution')), [1])
  return {
    predicted: distributionBoxes(g, bins, numbers, centres),
    dfl: g.neg(g.mean(g.reshape(surprise, [positives, 4]), [1], true)),
  }
}

/**
 * Generalised focal loss (Li et al. 2020): 2 x GIoU and 1/4 x distribution focal loss, each positive weighed by the best score it has, and for
 * classes the quality focal loss of NanoDet or the varifocal one of PicoDet, with the overlap as target.
 * @param choose which candidates answer for their box, 1 or 0 [P, 1]; all when left out
 * @param least what the weights sum up to at least: NanoDet takes care that unsure positives do not weigh more than one sure one
 */
const generalisedFocal =
  (classLoss: typeof qualityFocal, least: number, choose?: (input: LossInput, iou: Value) => Value): HeadKind['losses'] =>
  (input) => {
    const { g, specification, rows, chosen, target, rowWeight, classWeight, classIndex } = input
    const classes = specification.classes.length
    const { predicted, dfl } = positiveBoxes(input)
    const { iou, giou } = overlaps(g, predicted, target)
    const weight = choose?.(input, iou) ?? input.weight
    const share = choose && g.max(g.sum(weight), g.constant(input.leastShare))
    const normalizer = share ? g.div(g.constant(1), share) : input.normalizer
    const best = g.op('ReduceMax', [g.sigmoid(chosen(0, classes))], { attributes: { axes: [1], keepdims: 1 } })
    const sure = g.mul(given(g, best, 'sure'), weight)
    const perSure = g.div(g.constant(1), g.max(g.sum(sure), g.constant(least)))
    const overlap = g.scale(g.sub(g.constant(1), giou), 2)
    return {
      box: perPositive(g, g.add(overlap, g.scale(dfl, 0.25)), sure, perSure),
      classes: classLoss(g, {
        logits: columns(g, rows, 0, classes),
        classIndex,
        quality: qualityOf(g, iou, weight),
        rowWeight,
        classWeight,
        normalizer,
      }),
      object: g.constant(0),
      ...(share && { share }),
    }
  }

/**
 * NanoDet-Plus (RangiLyu 2021): dynamic soft labels, SimOTA whose cost of classes is the quality focal loss that a candidate would have. Its
 * assisting head, which chooses while the model's own knows nothing, is not in exported files: what is trained here knows something.
 */
const softLabels = (input: LossInput, iou: Value): Value =>
  simOta(input, { overlap: iou, classCost: classCostOf(input, iou, qualityWeight), summed: 13 })

/** PicoDet (Yu et al. 2021): SimOTA whose cost of classes is the varifocal loss that a candidate would have; overlaps cost six times. */
const varifocalSimOta = (input: LossInput, iou: Value): Value =>
  simOta(input, { overlap: iou, classCost: classCostOf(input, iou, varifocalWeight), overlapCost: 6 })

/** What the class logits of each candidate would cost if it answered for its box, [P, 1]. */
export function classCostOf(input: LossInput, iou: Value, weightOf: typeof qualityWeight): Value {
  const { g, specification, chosen, oneHot } = input
  const logits = chosen(0, specification.classes.length)
  const wanted = g.mul(oneHot!, iou)
  const lookedFor = chosenClassWeight(input)
  const cost = g.mul(crossEntropy(g, logits, wanted), weightOf(g, logits, wanted))
  return g.sum(lookedFor ? g.mul(cost, lookedFor) : cost, [1], true)
}

/** NanoDet. */
export const distribution: HeadKind = {
  rate: 1.4e-3,
  classesAt: () => 0,
  otherColumns: (specification) => 4 * binsOf(specification),
  newClassBias: -Math.log(99),
  oneHot: false,
  boxes,
  scores: (g, { classes }, rows) => g.sigmoid(columns(g, rows, 0, classes.length)),
  losses: generalisedFocal(qualityFocal, 1),
}

export const nanodetPlus: HeadKind = {
  ...distribution,
  oneHot: true,
  assign: candidatesWithin,
  slots: nineOfEachGrid,
  losses: generalisedFocal(qualityFocal, 1, softLabels),
}

export const picodet: HeadKind = { ...nanodetPlus, losses: generalisedFocal(varifocal, 1e-3, varifocalSimOta) }
