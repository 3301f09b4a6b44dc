/** Forms of boxes that models give, brought to corners in input pixels. */
import type { GraphBuilder, Value } from '../graph/builder.ts'

/** [n, 4] centre x, centre y, width, height to x1 y1 x2 y2. */
export function centred(g: GraphBuilder, boxes: Value): Value {
  const centre = g.slice(boxes, [0], [2], [1])
  const half = g.scale(g.slice(boxes, [2], [4], [1]), 0.5)
  return g.concat([g.sub(centre, half), g.add(centre, half)], 1)
}

/** [n, 4] in shares of the picture's sides to pixels. */
export const scaledToPixels = (g: GraphBuilder, boxes: Value, width: number, height: number): Value =>
  g.mul(boxes, g.constant([width, height, width, height], [1, 4]))
