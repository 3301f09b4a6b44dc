/** YOLOX (Ge et al. 2021). Rows are [x, y, w, h, objectness logit, class logits]; x and y from the cell's corner, in strides. */
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import { candidatesAround, nineOfEachGrid } from '../assignment.ts'
import { chosenClassWeight, crossEntropy, given, objectWeight, overlaps, perPositive, qualityOf } from './box-loss.ts'
import { simOta } from './dynamic.ts'
import { type Centres, columns, type HeadKind, limitedExp } from './head.ts'

const lead = 5

function boxes(g: GraphBuilder, _: unknown, rows: Value, { x, y, stride }: Centres): Value {
  const column = (i: number) => columns(g, rows, i, i + 1)
  // cx = (p0 + grid x) stride; the centre of a cell is half a stride right of its grid line.
  const half = g.scale(stride, 0.5)
  const cx = g.add(g.mul(column(0), stride), g.sub(x, half))
  const cy = g.add(g.mul(column(1), stride), g.sub(y, half))
  const w = g.mul(limitedExp(g, column(2)), half)
  const h = g.mul(limitedExp(g, column(3)), half)
  return g.concat([g.sub(cx, w), g.sub(cy, h), g.add(cx, w), g.add(cy, h)], rows.shape.length - 1)
}

/**
 * Of the candidates that SimOTA chooses: box losses weigh five times; objectness over all rows, classes at positives with the IoU as target;
 * all over their count.
 */
export const decoupled =
  (boxLoss: (g: GraphBuilder, predicted: Value, target: Value, iou: Value) => Value): HeadKind['losses'] =>
  (input) => {
    const { g, specification, rows, chosen, centres, target, weight, index, oneHot } = input
    const width = lead + specification.classes.length
    const predicted = boxes(g, specification, chosen(0, lead), centres)
    const { iou } = overlaps(g, predicted, target)
    const logits = chosen(lead, width)
    const lookedFor = chosenClassWeight(input)
    const known = (values: Value) => (lookedFor ? g.mul(values, lookedFor) : values)
    const classCost = g.sum(known(surprise(g, { object: chosen(4, lead), logits, oneHot: oneHot! })), [1], true)
    const answers = simOta(input, { overlap: iou, classCost })
    const share = g.max(g.sum(answers), g.constant(input.leastShare))
    const normalizer = g.div(g.constant(1), share)
    const rowWeight = objectWeight({ ...input, weight: answers }, () => g.sigmoid(columns(g, rows, lead, width)))
    const quality = qualityOf(g, iou, weight)
    const box = g.scale(perPositive(g, boxLoss(g, predicted, target, iou), answers, normalizer), 5)
    const hits = g.op('ScatterND', [g.filled([rows.shape[0]!, 1]), index, answers], { attributes: { reduction: 'add' } })
    const wanted = given(g, g.min(hits, g.constant(1)), 'object')
    const object = g.mul(g.sum(g.mul(crossEntropy(g, columns(g, rows, 4, lead), wanted), rowWeight)), normalizer)
    const classes = perPositive(g, known(crossEntropy(g, logits, g.mul(oneHot!, quality))), answers, normalizer)
    return { box, classes, object, share }
  }

/** Cross-entropy [P, C] of the root of class score x objectness with the true class. */
function surprise(g: GraphBuilder, { object, logits, oneHot }: { object: Value; logits: Value; oneHot: Value }): Value {
  const score = g.sqrt(g.mul(g.sigmoid(logits), g.sigmoid(object)))
  const of = (probability: Value) => g.neg(g.log(g.max(probability, g.constant(1e-9))))
  return g.add(g.mul(of(score), oneHot), g.mul(of(g.sub(g.constant(1), score)), g.sub(g.constant(1), oneHot)))
}

export const yolox: HeadKind = {
  rate: 7e-4,
  classesAt: () => lead,
  otherColumns: () => lead,
  newClassBias: -2,
  oneHot: true,
  apart: true,
  assign: candidatesAround,
  slots: nineOfEachGrid,
  boxes,
  scores: (g, { classes }, rows) =>
    g.mul(g.sigmoid(columns(g, rows, lead, lead + classes.length)), g.sigmoid(columns(g, rows, 4, 5))),
  losses: decoupled((g, _predicted, _target, iou) => g.sub(g.constant(1), g.mul(iou, iou))),
}
