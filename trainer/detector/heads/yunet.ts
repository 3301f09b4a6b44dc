/** YuNet (Wu et al. 2023): rows, boxes and losses as YOLOX's; score = sqrt(class x objectness). */
import { columns, type HeadKind } from './head.ts'
import { yolox } from './yolox.ts'

const lead = 5

export const yunet: HeadKind = {
  ...yolox,
  scores: (g, { classes }, rows) =>
    g.sqrt(g.mul(g.sigmoid(columns(g, rows, lead, lead + classes.length)), g.sigmoid(columns(g, rows, 4, 5)))),
}
