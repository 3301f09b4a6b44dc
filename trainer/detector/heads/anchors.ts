/**
 * YOLOv5 (Ultralytics, 2020): rows are [x, y, w, h, objectness logit, class logits] of an anchor; centre = cell + 2 sigmoid - 1/2, size =
 * (2 sigmoid)^2 anchors.
 */
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import { assignByShape } from '../anchor-assignment.ts'
import { chosenClassWeight, crossEntropy, given, objectWeight, overlaps, perPositive, qualityOf } from './box-loss.ts'
import { type Centres, columns, type HeadKind } from './head.ts'

const lead = 5

function boxes(g: GraphBuilder, _: unknown, rows: Value, { x, y, stride, sizes }: Centres): Value {
  const part = (i: number) => g.scale(g.sigmoid(columns(g, rows, i, i + 1)), 2)
  // From the cell's centre, which is half a stride right of its number: 2 sigmoid - 1.
  const centre = (i: number, at: Value) => g.add(g.mul(g.sub(part(i), g.constant(1)), stride), at)
  const half = (i: number, size: Value) => g.mul(g.mul(part(i), part(i)), g.scale(size, 0.5))
  const [cx, cy, w, h] = [centre(0, x), centre(1, y), half(2, sizes!.width), half(3, sizes!.height)]
  return g.concat([g.sub(cx, w), g.sub(cy, h), g.add(cx, w), g.add(cy, h)], rows.shape.length - 1)
}

export const anchors: HeadKind = {
  classesAt: () => lead,
  otherColumns: () => lead,
  newClassBias: -2,
  oneHot: true,
  assign: assignByShape,
  boxes,
  scores: (g, { classes }, rows) =>
    g.mul(g.sigmoid(columns(g, rows, lead, lead + classes.length)), g.sigmoid(columns(g, rows, 4, 5))),
  /** Boxes by GIoU, objectness with the IoU as target over all rows, classes at positives; balanced as YOLOX's. */
  losses: (input) => {
    const { g, specification, rows, chosen, centres, target, weight, normalizer, index, oneHot } = input
    const width = lead + specification.classes.length
    const { iou, giou } = overlaps(g, boxes(g, specification, chosen(0, lead), centres), target)
    const quality = qualityOf(g, iou, weight)
    const box = g.scale(perPositive(g, g.sub(g.constant(1), giou), weight, normalizer), 5)
    const hits = g.op('ScatterND', [g.filled([rows.shape[0]!, 1]), index, quality], { attributes: { reduction: 'add' } })
    const wanted = given(g, g.min(hits, g.constant(1)), 'object')
    const rowWeight = objectWeight(input, () => g.sigmoid(columns(g, rows, lead, width)))
    const object = g.mul(g.sum(g.mul(crossEntropy(g, columns(g, rows, 4, 5), wanted), rowWeight)), normalizer)
    const lookedFor = chosenClassWeight(input)
    const known = (values: Value) => (lookedFor ? g.mul(values, lookedFor) : values)
    const logits = chosen(lead, width)
    const classes = perPositive(g, g.sum(known(crossEntropy(g, logits, oneHot!)), [1], true), weight, normalizer)
    return { box, classes, object }
  },
}
