/** Which anchors answer for which true box, where cells have anchors: by overlap as SSD, by shape as YOLOv5 and YOLOv4. */
import type { Box } from '../../protocol/boxes.ts'
import type { Assignment } from './assignment.ts'
import type { Cells } from './cells.ts'

interface Claim extends Assignment {
  readonly merit: number
}

/** An anchor answers for one box: the one with the greatest merit. */
function settled(claims: readonly Claim[]): Assignment[] {
  const best = new Map<number, Claim>()
  for (const claim of claims)
    if ((best.get(claim.cell)?.merit ?? Number.NEGATIVE_INFINITY) < claim.merit) best.set(claim.cell, claim)
  return [...best.values()].map(({ cell, truth }) => ({ cell, truth })).sort((a, b) => a.cell - b.cell)
}

/** Intersection over union of a box and a cell's anchor; written out, for it is taken for each of ten thousands of anchors. */
function anchorOverlap({ x, y, sizes }: Cells, cell: number, [x1, y1, x2, y2]: Box): number {
  const [w, h] = [sizes!.width[cell]!, sizes!.height[cell]!]
  const [left, top] = [x[cell]! - w / 2, y[cell]! - h / 2]
  const across = Math.min(x2, left + w) - Math.max(x1, left)
  const down = Math.min(y2, top + h) - Math.max(y1, top)
  if (across <= 0 || down <= 0) return 0
  const shared = across * down
  return shared / ((x2 - x1) * (y2 - y1) + w * h - shared)
}

/** From this overlap on an anchor answers for a box. */
const enough = 0.5

/** Every anchor with enough overlap, and the best one of each box; with at least `doubtful`, one that answers for no box is unsure. */
const byOverlap =
  (doubtful: number) =>
  (truths: readonly Box[], cells: Cells): Assignment[] => {
    const unsure = new Map<number, number>()
    const claims = truths.flatMap((box, truth) => {
      let best: Claim = { cell: 0, truth, merit: -1 }
      const own: Claim[] = []
      for (let cell = 0; cell < cells.x.length; cell++) {
        const merit = anchorOverlap(cells, cell, box)
        if (merit > best.merit) best = { cell, truth, merit }
        if (merit >= enough) own.push({ cell, truth, merit })
        else if (merit >= doubtful) unsure.set(cell, truth)
      }
      // The best one is the box's own whatever others claim it.
      return [...own, { ...best, merit: 2 + best.merit }]
    })
    const answers = settled(claims)
    for (const { cell } of answers) unsure.delete(cell)
    return [...answers, ...[...unsure].map(([cell, truth]) => ({ cell, truth, unsure: true }))]
  }

/** SSD's matching (Liu et al. 2016, 2.2): by a Jaccard overlap of at least 0.5. */
export const assignByOverlap = byOverlap(enough)

/** RetinaNet's (Lin et al. 2017, 4): likewise, and from 0.4 to 0.5 an anchor is neither object nor background. */
export const assignByOverlapOrNot = byOverlap(0.4)

/**
 * YOLOv5's matching: every anchor whose shape is within a factor (four there), in the cell of the box's centre and in the two neighbours
 * that the centre is nearest to. A box that no anchor fits has the one of the nearest shape.
 */
export const assignByShape =
  (factor: number) =>
  (truths: readonly Box[], cells: Cells): Assignment[] => {
    const claims = truths.flatMap((box, truth): Claim[] => {
      const [width, height] = [box[2] - box[0], box[3] - box[1]]
      const [cx, cy] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
      const near: (Claim & { mismatch: number })[] = []
      for (let cell = 0; cell < cells.x.length; cell++) {
        const stride = cells.stride[cell]!
        const [dx, dy] = [Math.abs(cells.x[cell]! - cx) / stride, Math.abs(cells.y[cell]! - cy) / stride]
        // The cell's own square, and a neighbour's half: one axis may be off by up to a cell, never both.
        if (Math.max(dx, dy) > 1 || Math.min(dx, dy) > 0.5) continue
        const [w, h] = [cells.sizes!.width[cell]!, cells.sizes!.height[cell]!]
        const mismatch = Math.max(w / width, width / w, h / height, height / h)
        near.push({ cell, truth, mismatch, merit: -mismatch - Math.max(dx, dy) })
      }
      const fitting = near.filter(({ mismatch }) => mismatch < factor)
      if (fitting.length > 0) return fitting
      return near.sort((a, b) => b.merit - a.merit).slice(0, 1)
    })
    return settled(claims)
  }

/** From this overlap of their shapes on an anchor answers for a box (Darknet's iou_thresh of YOLOv4). */
const leastShapeOverlap = 0.213

/** Darknet's matching of YOLOv4: in the cell of the box's centre every anchor whose shape overlaps the box's enough, and the best one in any case. */
export function assignByShapeOverlap(truths: readonly Box[], cells: Cells): Assignment[] {
  const claims = truths.flatMap((box, truth): Claim[] => {
    const [width, height] = [box[2] - box[0], box[3] - box[1]]
    const [cx, cy] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
    const here: Claim[] = []
    for (let cell = 0; cell < cells.x.length; cell++) {
      const stride = cells.stride[cell]!
      if (Math.abs(cells.x[cell]! - cx) > stride / 2 || Math.abs(cells.y[cell]! - cy) > stride / 2) continue
      const [w, h] = [cells.sizes!.width[cell]!, cells.sizes!.height[cell]!]
      const shared = Math.min(w, width) * Math.min(h, height)
      here.push({ cell, truth, merit: shared / (w * h + width * height - shared) })
    }
    const fitting = here.filter(({ merit }) => merit > leastShapeOverlap)
    return fitting.length > 0 ? fitting : here.sort((a, b) => b.merit - a.merit).slice(0, 1)
  })
  return settled(claims)
}
