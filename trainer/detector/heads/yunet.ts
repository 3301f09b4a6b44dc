/** YuNet (Wu et al. 2023): rows, boxes and losses as YOLOX's, with EIoU for boxes; score = sqrt(class x objectness). Key points are not trained. */
import { extendedIouLoss } from './box-loss.ts'
import { columns, type HeadKind } from './head.ts'
import { decoupled, yolox } from './yolox.ts'

const lead = 5

export const yunet: HeadKind = {
  ...yolox,
  scores: (g, { classes }, rows) =>
    g.sqrt(g.mul(g.sigmoid(columns(g, rows, lead, lead + classes.length)), g.sigmoid(columns(g, rows, 4, 5)))),
  losses: decoupled(extendedIouLoss),
}
