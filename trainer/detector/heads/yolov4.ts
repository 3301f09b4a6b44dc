/**
 * YOLOv3 and v4 (Redmon and Farhadi 2018; Bochkovskiy et al. 2020): rows are [x, y, w, h, objectness logit, class logits] of an anchor; size =
 * exp(w, h) anchors, centre = cell + s sigmoid - (s - 1) / 2, where s is 1 or a little more, so that a centre reaches the cell's edge. Trained as
 * YOLOv5 is, which has their boxes otherwise.
 */
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import { assignByShapeOverlap } from '../anchor-assignment.ts'
import type { Specification } from '../specification.ts'
import { anchors, lossesOf } from './anchors.ts'
import { type Centres, columns, type HeadKind, limitedExp } from './head.ts'

/** How far a centre moves while its sigmoid goes from 0 to 1, [n, 1] in pixels. */
function reach(g: GraphBuilder, { strides, centreScales }: Specification, stride: Value): Value {
  if (!centreScales) return stride
  const ofGrid = (grid: number, i: number) => {
    const own = g.op('Cast', [g.op('Equal', [stride, g.constant(grid)])], { attributes: { to: 1 } })
    return g.scale(own, grid * centreScales[i]!)
  }
  return strides.map(ofGrid).reduce((sum, each) => g.add(sum, each))
}

function boxes(g: GraphBuilder, specification: Specification, rows: Value, { x, y, stride, sizes }: Centres): Value {
  const part = (i: number) => columns(g, rows, i, i + 1)
  const far = reach(g, specification, stride)
  const centre = (i: number, at: Value) => g.add(g.mul(g.sub(g.sigmoid(part(i)), g.constant(0.5)), far), at)
  const half = (i: number, size: Value) => g.mul(limitedExp(g, part(i)), g.scale(size, 0.5))
  const [cx, cy, w, h] = [centre(0, x), centre(1, y), half(2, sizes!.width), half(3, sizes!.height)]
  return g.concat([g.sub(cx, w), g.sub(cy, h), g.add(cx, w), g.add(cy, h)], rows.shape.length - 1)
}

export const yolov4: HeadKind = { ...anchors, assign: assignByShapeOverlap, boxes, losses: lossesOf(boxes) }
