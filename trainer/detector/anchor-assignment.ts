/** Which anchors answer for which true box, where cells have anchors: by overlap as SSD, by shape as YOLOv5 and YOLOv4. */
import { type Box, iou } from '../../protocol/boxes.ts'
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

const anchorBox = ({ x, y, sizes }: Cells, cell: number): Box => {
  const [w, h] = [sizes!.width[cell]! / 2, sizes!.height[cell]! / 2]
  return [x[cell]! - w, y[cell]! - h, x[cell]! + w, y[cell]! + h]
}

/** SSD's matching (Liu et al. 2016, 2.2): every anchor with a Jaccard overlap of at least 0.5, and the best one of each box. */
export function assignByOverlap(truths: readonly Box[], cells: Cells): Assignment[] {
  const count = cells.x.length
  const claims = truths.flatMap((box, truth) => {
    let best: Claim = { cell: 0, truth, merit: -1 }
    const enough: Claim[] = []
    for (let cell = 0; cell < count; cell++) {
      const merit = iou(anchorBox(cells, cell), box)
      if (merit > best.merit) best = { cell, truth, merit }
      if (merit >= 0.5) enough.push({ cell, truth, merit })
    }
    // The best one is the box's own whatever others claim it.
    return [...enough, { ...best, merit: 2 + best.merit }]
  })
  return settled(claims)
}

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
