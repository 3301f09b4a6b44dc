/** The cells of a detector's grids: one prediction each (or one per anchor), finest grid first, row by row. */
import type { Specification } from './specification.ts'

export interface Cells {
  /** Centre in input pixels, by cell. */
  readonly x: Float32Array
  readonly y: Float32Array
  readonly stride: Float32Array
  /** Sizes in input pixels; only where cells have anchors, which are then cells of their own. */
  readonly sizes: { readonly width: Float32Array; readonly height: Float32Array } | null
  /** First cell of each grid, and the end of the last. */
  readonly levels: readonly number[]
}

/** Cells of grids with these strides over an input of width x height pixels. */
export function cellsOf({
  width,
  height,
  strides,
  anchors,
  cellOffset = 0.5,
  evenCells = false,
  wholeSteps = false,
  clampedCells = false,
}: { width: number; height: number } & Pick<
  Specification,
  'strides' | 'anchors' | 'cellOffset' | 'evenCells' | 'wholeSteps' | 'clampedCells'
>): Cells {
  const grids = strides.map((stride, level) => {
    const [columns, rows] = [Math.ceil(width / stride), Math.ceil(height / stride)]
    const even = [width / columns, height / rows].map((step) => (wholeSteps ? Math.floor(step) : step)) as [number, number]
    const [stepX, stepY] = evenCells ? even : [stride, stride]
    return { stride, columns, rows, stepX, stepY, sizes: anchors?.[level] ?? [null] }
  })
  const levels = [0]
  for (const { columns, rows, sizes } of grids) levels.push(levels.at(-1)! + columns * rows * sizes.length)
  const count = levels.at(-1)!
  const [x, y, stride] = [new Float32Array(count), new Float32Array(count), new Float32Array(count)]
  const sized = anchors ? { width: new Float32Array(count), height: new Float32Array(count) } : null
  let cell = 0
  for (const grid of grids) {
    for (let row = 0; row < grid.rows; row++) {
      for (let column = 0; column < grid.columns; column++) {
        for (const size of grid.sizes) {
          const [cx, cy] = [(column + cellOffset) * grid.stepX, (row + cellOffset) * grid.stepY]
          x[cell] = clampedCells ? Math.min(cx, width) : cx
          y[cell] = clampedCells ? Math.min(cy, height) : cy
          stride[cell] = grid.stride
          if (sized && size) {
            sized.width[cell] = size[0]
            sized.height[cell] = size[1]
          }
          cell++
        }
      }
    }
  }
  return { x, y, stride, sizes: sized, levels }
}
