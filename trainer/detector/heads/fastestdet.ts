/**
 * FastestDet (dog-qiuqiu, 2022). Rows are [objectness logit, x, y, w, h, class logits]: centre cell + tanh in cells of one grid, size a
 * sigmoid of the input's, classes a softmax. Score = objectness^0.6 x best class^0.4, of that class alone.
 */
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import {
  chosenClassWeight,
  given,
  lookedForOnly,
  objectWeight,
  overlaps,
  perPositive,
  qualityOf,
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
  /**
   * As published: 8 x (1 - IoU, here its generalised form), 16 x smooth L1 of the objectness against the IoU, a quarter of it from the
   * positives and three from all other cells, and the softmax's cross-entropy.
   */
  losses: (input) => {
    const { g, specification, rows, chosen, centres, target, weight, normalizer, index, oneHot } = input
    const width = lead + specification.classes.length
    const rowWeight = objectWeight(input, () => g.op('Softmax', [columns(g, rows, lead, width)], { attributes: { axis: 1 } }))
    const lead5 = chosen(0, lead)
    const { iou, giou } = overlaps(g, boxes(g, specification, lead5, centres), target)
    const quality = qualityOf(g, iou, weight)
    const box = g.scale(perPositive(g, g.sub(g.constant(1), giou), weight, normalizer), 8)
    const hit = g.op('ScatterND', [g.filled([rows.shape[0]!, 1]), index, weight], { attributes: { reduction: 'add' } })
    const others = g.mul(given(g, g.sub(g.constant(1), g.min(hit, g.constant(1))), 'others'), rowWeight)
    const positive = perPositive(g, smoothL1(g, g.sub(g.sigmoid(columns(g, lead5, 0, 1)), quality)), weight, normalizer)
    const negative = g.div(
      g.sum(g.mul(smoothL1(g, g.sigmoid(columns(g, rows, 0, 1))), others)),
      given(g, g.max(g.sum(others), g.constant(1)), 'cells'),
    )
    const object = g.scale(g.add(g.scale(positive, 0.25), g.scale(negative, 0.75)), 16)
    const logits = lookedForOnly(g, chosen(lead, width), chosenClassWeight(input))
    const classes = perPositive(g, softmaxCrossEntropy(g, logits, oneHot!, 'classes'), weight, normalizer)
    return { box, classes, object }
  },
}

/** Of differences that a sigmoid keeps within 1: half of the square. */
const smoothL1 = (g: GraphBuilder, difference: Value): Value => g.scale(g.mul(difference, difference), 0.5)
