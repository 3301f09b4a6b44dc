/**
 * FastestDet (dog-qiuqiu, 2022). Rows are [objectness logit, x, y, w, h, class logits]: centre cell + tanh in cells of one grid, size a
 * sigmoid of the input's, classes a softmax. Score = objectness^0.6 x best class^0.4, of that class alone.
 */
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import { assignToCorners } from '../assignment.ts'
import { cellsOf } from '../cells.ts'
import {
  chosenClassWeight,
  given,
  lookedForOnly,
  objectWeight,
  perPositive,
  scyllaIou,
  smoothL1,
  softmaxCrossEntropy,
} from './box-loss.ts'
import { type Centres, columns, type HeadKind } from './head.ts'

const lead = 5

function boxes(g: GraphBuilder, _: unknown, rows: Value, { x, y, stride, width, height }: Centres): Value {
  const column = (i: number) => columns(g, rows, i, i + 1)
  const half = g.scale(stride, 0.5)
  // A cell's number is half a stride left of its centre.
  const cx = g.add(g.mul(g.op('Tanh', [column(1)]), stride), g.sub(x, half))
  const cy = g.add(g.mul(g.op('Tanh', [column(2)]), stride), g.sub(y, half))
  const w = g.scale(g.sigmoid(column(3)), width / 2)
  const h = g.scale(g.sigmoid(column(4)), height / 2)
  return g.concat([g.sub(cx, w), g.sub(cy, h), g.add(cx, w), g.add(cy, h)], rows.shape.length - 1)
}

export const fastestdet: HeadKind = {
  rate: 2.8e-3,
  classesAt: () => lead,
  otherColumns: () => lead,
  // Beside trained classes of a softmax, whose logits lie around 0.
  newClassBias: -2,
  oneHot: true,
  boxes,
  scores: (g, { classes }, rows) => {
    const last = rows.shape.length - 1
    const kinds = g.op('Softmax', [columns(g, rows, lead, lead + classes.length)], { attributes: { axis: last } })
    const best = g.op('ReduceMax', [kinds], { attributes: { axes: [last], keepdims: 1 } })
    const isBest = g.op('Cast', [g.op('Equal', [kinds, best])], { attributes: { to: 1 } })
    const object = g.op('Pow', [g.sigmoid(columns(g, rows, 0, 1)), g.constant(0.6)])
    return g.mul(isBest, g.mul(object, g.op('Pow', [best, g.constant(0.4)])))
  },
  assign: assignToCorners,
  /**
   * As published: 8 x (1 - SIoU) and the softmax's cross-entropy at the positives that overlap more than their mean, and 16 x smooth L1 of the
   * objectness against their SIoU: a quarter of it from them, picture by picture, three quarters from all other cells.
   */
  losses: (input) => {
    const { g, specification, rows, chosen, centres, target, weight, index, oneHot } = input
    const width = lead + specification.classes.length
    const rowWeight = objectWeight(input, () => g.op('Softmax', [columns(g, rows, lead, width)], { attributes: { axis: 1 } }))
    const overlap = scyllaIou(g, boxes(g, specification, chosen(0, lead), centres), target)
    const atLeastOne = (count: Value) => g.div(g.constant(1), g.max(count, g.constant(1)))
    // As much as rounding below the mean: a single positive is its own mean.
    const mean = g.mul(g.sum(g.mul(overlap, weight)), atLeastOne(g.sum(weight)))
    const better = g.op('Cast', [g.op('Greater', [overlap, g.sub(mean, g.constant(1e-5))])], { attributes: { to: 1 } })
    const kept = g.mul(given(g, better, 'better'), weight)
    const perKept = atLeastOne(g.sum(kept))
    const spread = (values: Value) =>
      g.op('ScatterND', [g.filled([rows.shape[0]!, 1]), index, values], { attributes: { reduction: 'add' } })
    const wanted = spread(g.mul(given(g, overlap, 'overlap'), kept))
    const hits = spread(kept)
    const cells = cellsOf({ width: centres.width, height: centres.height, ...specification }).x.length
    const byPicture = g.reshape(hits, [-1, cells])
    const share = g.mul(byPicture, g.scale(atLeastOne(g.sum(byPicture, [1], true)), 0.25 * cells))
    const factor = g.add(share, g.scale(g.sub(g.constant(1), byPicture), 0.75))
    const object = smoothL1(g, g.sub(g.sigmoid(columns(g, rows, 0, 1)), wanted))
    const logits = lookedForOnly(g, chosen(lead, width), chosenClassWeight(input))
    return {
      box: g.scale(perPositive(g, g.sub(g.constant(1), overlap), kept, perKept), 8),
      classes: perPositive(g, softmaxCrossEntropy(g, logits, oneHot!, 'classes'), kept, perKept),
      object: g.scale(g.mean(g.mul(g.mul(object, g.reshape(factor, [-1, 1])), rowWeight)), 16),
    }
  },
}
