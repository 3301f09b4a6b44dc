/** A small grey picture of a frame, and how much moved between two of them. */
import type { Picture } from '../../protocol/letterbox.ts'
import type { Thumbnail } from '../mining/observation.ts'

const columns = 64
const rows = 48
/** Grey levels by which a cell must change to count as moving. */
const leastChange = 12

/** Means over cells, every few pixels: quick, and the noise of a sensor averages out. */
export function thumbnailOf({ width, height, data }: Picture): Thumbnail {
  const grey = new Uint8Array(columns * rows)
  for (let row = 0; row < rows; row++) {
    const [y0, y1] = [
      Math.floor((row * height) / rows),
      Math.max(Math.floor(((row + 1) * height) / rows), Math.floor((row * height) / rows) + 1),
    ]
    const stepY = Math.max(1, (y1 - y0) >> 2)
    for (let column = 0; column < columns; column++) {
      const [x0, x1] = [
        Math.floor((column * width) / columns),
        Math.max(Math.floor(((column + 1) * width) / columns), Math.floor((column * width) / columns) + 1),
      ]
      const stepX = Math.max(1, (x1 - x0) >> 2)
      let sum = 0
      let count = 0
      for (let y = y0; y < y1 && y < height; y += stepY) {
        for (let x = x0; x < x1 && x < width; x += stepX, count++) {
          const i = (y * width + x) * 3
          sum += data[i]! * 0.299 + data[i + 1]! * 0.587 + data[i + 2]! * 0.114
        }
      }
      grey[row * columns + column] = sum / Math.max(1, count)
    }
  }
  return { width: columns, height: rows, grey }
}

/** Share of cells that changed, 0..1, a change of the whole light taken off. */
export function motionBetween(before: Thumbnail, after: Thumbnail): number {
  const count = after.grey.length
  let light = 0
  for (let i = 0; i < count; i++) light += after.grey[i]! - before.grey[i]!
  light /= count
  let moved = 0
  for (let i = 0; i < count; i++) if (Math.abs(after.grey[i]! - before.grey[i]! - light) >= leastChange) moved++
  return moved / count
}
