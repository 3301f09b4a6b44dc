/** Which cells answer for which true box: adaptive training sample selection (ATSS, Zhang et al., CVPR 2020), static, before the step. */
import type { Box } from '../../protocol/boxes.ts'
import type { Cells } from './cells.ts'

export interface Assignment {
  readonly cell: number
  /** Index of the true box. */
  readonly truth: number
  /** It neither answers for the box nor is it background: nothing is learnt there. */
  readonly unsure?: boolean
}

/** Candidates per grid, and side of the anchor square in strides, as published. */
const candidatesPerLevel = 9
const anchorStrides = 8

/**
 * Positives of one picture. Every true box gets at least one cell, however small it is: the published rule leaves out boxes that
 * hold no cell's centre, and licence plates at 8 px are such boxes.
 */
export function assign(truths: readonly Box[], cells: Cells): Assignment[] {
  const owner = new Map<number, { truth: number; overlap: number }>()
  const claim = (cell: number, truth: number, overlap: number) => {
    const before = owner.get(cell)
    if (!before || before.overlap < overlap) owner.set(cell, { truth, overlap })
  }
  for (const [truth, box] of truths.entries()) {
    const candidates = nearest(box, cells)
    const overlaps = candidates.map((cell) => anchorOverlap(box, cells, cell))
    const mean = overlaps.reduce((sum, value) => sum + value, 0) / overlaps.length
    const deviation = Math.sqrt(overlaps.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, overlaps.length - 1))
    let claimed = false
    for (const [i, cell] of candidates.entries()) {
      const [x, y] = [cells.x[cell]!, cells.y[cell]!]
      const inside = Math.min(x - box[0], y - box[1], box[2] - x, box[3] - y) > 0.01
      if (overlaps[i]! < mean + deviation || !inside) continue
      claim(cell, truth, overlaps[i]!)
      claimed = true
    }
    if (!claimed) {
      const best = overlaps.indexOf(Math.max(...overlaps))
      claim(candidates[best]!, truth, overlaps[best]! + 1e-6)
    }
  }
  return [...owner].map(([cell, { truth }]) => ({ cell, truth })).sort((a, b) => a.cell - b.cell)
}

/** Intersection over union of a box and a cell's anchor; written out, for it is taken 27 times a box. */
function anchorOverlap(box: Box, cells: Cells, cell: number): number {
  const half = (anchorStrides * cells.stride[cell]!) / 2
  const [x, y, x1, y1, x2, y2] = [cells.x[cell]!, cells.y[cell]!, box[0], box[1], box[2], box[3]]
  const width = Math.min(x2, x + half) - Math.max(x1, x - half)
  const height = Math.min(y2, y + half) - Math.max(y1, y - half)
  if (width <= 0 || height <= 0) return 0
  const shared = width * height
  return shared / ((x2 - x1) * (y2 - y1) + 4 * half * half - shared)
}

/** The nine cells of each grid whose centres are nearest to the box's centre; on a regular grid these lie in a small window. */
function nearest(box: Box, cells: Cells): number[] {
  const [cx, cy] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
  const all: number[] = []
  const distances: number[] = []
  for (let level = 0; level + 1 < cells.levels.length; level++) {
    const [start, end] = [cells.levels[level]!, cells.levels[level + 1]!]
    const stride = cells.stride[start]!
    const columns = columnsOf(cells, start, end)
    const rows = (end - start) / columns
    const [column, row] = [Math.floor(cx / stride), Math.floor(cy / stride)]
    const first = all.length
    for (let r = Math.max(0, row - 2); r <= Math.min(rows - 1, row + 2); r++) {
      for (let c = Math.max(0, column - 2); c <= Math.min(columns - 1, column + 2); c++) {
        const cell = start + r * columns + c
        const distance = (cells.x[cell]! - cx) ** 2 + (cells.y[cell]! - cy) ** 2
        // Kept in order; of equally near cells the first stays in front.
        let at = all.length
        while (at > first && distances[at - 1]! > distance) at--
        if (at - first === candidatesPerLevel) continue
        // Moved up by hand, the last of nine falling out: splice would make an array of what it takes away.
        for (let i = Math.min(all.length, first + candidatesPerLevel - 1); i > at; i--) {
          all[i] = all[i - 1]!
          distances[i] = distances[i - 1]!
        }
        all[at] = cell
        distances[at] = distance
      }
    }
  }
  return all
}

function columnsOf(cells: Cells, start: number, end: number): number {
  let columns = 1
  while (start + columns < end && cells.y[start + columns] === cells.y[start]) columns++
  return columns
}

/**
 * The cells that task alignment chooses among: of the nine nearest of each grid those whose centre lies within the box, the nearest one
 * alone where none does.
 */
export function candidatesWithin(truths: readonly Box[], cells: Cells): Assignment[] {
  return truths.flatMap((box, truth) => {
    const near = nearest(box, cells)
    const inside = near.filter((cell) => {
      const [x, y] = [cells.x[cell]!, cells.y[cell]!]
      return Math.min(x - box[0], y - box[1], box[2] - x, box[3] - y) > 0.01
    })
    const distance = (cell: number) => {
      const [x, y] = [cells.x[cell]! - (box[0] + box[2]) / 2, cells.y[cell]! - (box[1] + box[3]) / 2]
      return Math.hypot(x, y) / cells.stride[cell]!
    }
    const chosen = inside.length > 0 ? inside : [near.reduce((best, cell) => (distance(cell) < distance(best) ? cell : best))]
    return chosen.map((cell) => ({ cell, truth }))
  })
}

/** Most that a box has of them, and of those of SimOTA. */
export const nineOfEachGrid = ({ strides }: { strides: readonly number[] }): number => 9 * strides.length

/** The cells that SimOTA chooses among, as YOLOX has it: of each grid those whose centre lies within 1.5 strides of the box's in both directions. */
export function candidatesAround(truths: readonly Box[], cells: Cells): Assignment[] {
  return truths.flatMap((box, truth) => {
    const found: Assignment[] = []
    for (let level = 0; level + 1 < cells.levels.length; level++) {
      const [start, end] = [cells.levels[level]!, cells.levels[level + 1]!]
      const stride = cells.stride[start]!
      const columns = columnsOf(cells, start, end)
      const rows = (end - start) / columns
      const at = (low: number, high: number, count: number) =>
        Math.min(count - 1, Math.max(0, Math.floor((low + high) / 2 / stride)))
      const [column, row] = [at(box[0], box[2], columns), at(box[1], box[3], rows)]
      for (let r = Math.max(0, row - 1); r <= Math.min(rows - 1, row + 1); r++)
        for (let c = Math.max(0, column - 1); c <= Math.min(columns - 1, column + 1); c++)
          found.push({ cell: start + r * columns + c, truth })
    }
    return found
  })
}

/**
 * FastestDet's matching, for one grid: the four cells whose corners lie about the box's centre, the one that it lies in and those right of and
 * below that. A cell answers for the box with the nearest centre.
 */
export function assignToCorners(truths: readonly Box[], cells: Cells): Assignment[] {
  const count = cells.x.length
  const columns = columnsOf(cells, 0, count)
  const stride = cells.stride[0]!
  const owner = new Map<number, { truth: number; distance: number }>()
  for (const [truth, box] of truths.entries()) {
    const [cx, cy] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
    const [column, row] = [Math.floor(cx / stride), Math.floor(cy / stride)]
    for (const [x, y] of [
      [column, row],
      [column + 1, row],
      [column, row + 1],
      [column + 1, row + 1],
    ] as const) {
      if (x < 0 || y < 0 || x >= columns || y >= count / columns) continue
      const cell = y * columns + x
      const distance = (x * stride - cx) ** 2 + (y * stride - cy) ** 2
      const before = owner.get(cell)
      if (!before || distance < before.distance) owner.set(cell, { truth, distance })
    }
  }
  return [...owner].map(([cell, { truth }]) => ({ cell, truth })).sort((a, b) => a.cell - b.cell)
}
