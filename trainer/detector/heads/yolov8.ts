/** YOLOv8 (Ultralytics, 2023): rows, boxes and scores as NanoDet's; losses and the choice of cells its own. */
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import { candidatesWithin } from '../assignment.ts'
import { cellsOf } from '../cells.ts'
import { classLossWeight, classTargets, completeIou, crossEntropy, given, perPositive, qualityOf } from './box-loss.ts'
import { distribution, positiveBoxes } from './distribution.ts'
import { columns, type HeadKind, type LossInput } from './head.ts'

/** As published. */
const gains = { box: 7.5, distribution: 1.5, classes: 0.5 }
/** Cells that answer for a box, of those that could, and powers of score and overlap in their alignment (Feng et al. 2021, as YOLOv8 has them). */
const chosenCells = 10
const powers = { score: 0.5, overlap: 6 }
const candidatesPerPicture = 128

export const yolov8: HeadKind = {
  ...distribution,
  oneHot: true,
  apart: true,
  positives: candidatesPerPicture,
  assign: (truths, cells) => candidatesWithin(truths, cells, Math.max(1, Math.floor(candidatesPerPicture / truths.length))),
  /**
   * 7.5 (1 - complete IoU) and 1.5 x distribution focal loss at the cells that answer for boxes, weighed by their target score, and 0.5 x binary
   * cross-entropy of all class scores with it; all over the sum of the targets.
   */
  losses: (input) => {
    const { g, specification, rows, target, classIndex } = input
    const { predicted, dfl } = positiveBoxes(input)
    const overlap = completeIou(g, predicted, target)
    const wanted = alignedTargets(input, qualityOf(g, overlap, input.weight))
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

/**
 * Targets [P, 1] of task alignment: of a box's candidates the ten with the greatest score^0.5 overlap^6 answer for it, each by its alignment
 * over the greatest one, times the greatest overlap; the others by 0. No gradient flows through them.
 * @param overlap of candidates with their box [P, 1]; 0 for padding
 */
function alignedTargets(input: LossInput, overlap: Value): Value {
  const { g, specification, chosen, oneHot } = input
  const scores = g.sum(g.mul(g.sigmoid(chosen(0, specification.classes.length)), oneHot!), [1], true)
  const power = (value: Value, exponent: number) => g.op('Pow', [value, g.constant(exponent)])
  const alignment = given(g, g.mul(power(scores, powers.score), power(overlap, powers.overlap)), 'alignment')
  const siblings = sameBox(input)
  const turned = g.transpose(alignment, [1, 0])
  // [P, P]: which candidates of the same box are better.
  const better = g.mul(asNumber(g, g.op('Greater', [turned, alignment])), siblings)
  const answers = asNumber(g, g.op('Less', [g.sum(better, [1], true), g.constant(chosenCells)]))
  const greatest = (values: Value) =>
    g.op('ReduceMax', [g.mul(siblings, g.transpose(values, [1, 0]))], { attributes: { axes: [1], keepdims: 1 } })
  const share = g.div(alignment, g.add(greatest(alignment), g.constant(1e-9)))
  return given(g, g.mul(g.mul(share, greatest(g.mul(overlap, answers))), answers), 'aligned')
}

const asNumber = (g: GraphBuilder, flags: Value): Value => g.op('Cast', [flags], { attributes: { to: 1 } })

/** 1 where two positives have the same true box in the same picture [P, P]; 0 for padding. */
function sameBox({ g, specification, target, index, weight, centres: { width, height } }: LossInput): Value {
  const cells = cellsOf({ width, height, ...specification }).x.length
  const picture = g.op('Floor', [g.scale(g.add(asNumber(g, index), g.constant(0.5)), 1 / cells)])
  const keys = [0, 1, 2, 3].map((i) => columns(g, target, i, i + 1)).concat(picture)
  const away = keys.map((key) => g.op('Abs', [g.sub(key, g.transpose(key, [1, 0]))])).reduce((sum, each) => g.add(sum, each))
  return g.mul(asNumber(g, g.op('Less', [away, g.constant(1e-3)])), g.transpose(weight, [1, 0]))
}
