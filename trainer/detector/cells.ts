/** The cells of a detector's grids: one prediction each, finest grid first, row by row. */

export interface Cells {
  /** Centre in input pixels, by cell. */
  readonly x: Float32Array
  readonly y: Float32Array
  readonly stride: Float32Array
  /** First cell of each grid, and the end of the last. */
  readonly levels: readonly number[]
}

/** Cells of grids with these strides over an input of width x height pixels (multiples of the greatest stride). */
export function cellsOf({ width, height, strides }: { width: number; height: number; strides: readonly number[] }): Cells {
  const sizes = strides.map((stride) => ({ stride, columns: Math.ceil(width / stride), rows: Math.ceil(height / stride) }))
  const levels = [0]
  for (const { columns, rows } of sizes) levels.push(levels.at(-1)! + columns * rows)
  const count = levels.at(-1)!
  const [x, y, stride] = [new Float32Array(count), new Float32Array(count), new Float32Array(count)]
  let cell = 0
  for (const size of sizes) {
    for (let row = 0; row < size.rows; row++) {
      for (let column = 0; column < size.columns; column++, cell++) {
        x[cell] = (column + 0.5) * size.stride
        y[cell] = (row + 0.5) * size.stride
        stride[cell] = size.stride
      }
    }
  }
  return { x, y, stride, levels }
}
