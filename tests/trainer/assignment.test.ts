/** Which cells answer for which box, where that is fixed before the step. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { assignToCorners, candidatesAround, candidatesWithin, nineOfEachGrid } from '../../trainer/detector/assignment.ts'
import { cellsOf } from '../../trainer/detector/cells.ts'

describe('the four cells about a centre', () => {
  const cells = cellsOf({ width: 64, height: 48, strides: [16] })

  it('are the one that it lies in, and those right of it and below', () => {
    // Centre 20, 20: column 1, row 1 of four columns.
    assert.deepEqual(
      assignToCorners([[10, 10, 30, 30]], cells),
      [5, 6, 9, 10].map((cell) => ({ cell, truth: 0 })),
    )
  })

  it('end at the edge of the grid', () => {
    assert.deepEqual(
      assignToCorners([[50, 36, 62, 46]], cells).map(({ cell }) => cell),
      [11],
    )
  })

  it('go to the box whose centre is nearest', () => {
    const found = assignToCorners(
      [
        [10, 10, 30, 30],
        [26, 10, 46, 30],
      ],
      cells,
    )
    assert.deepEqual(found, [
      { cell: 5, truth: 0 },
      { cell: 6, truth: 1 },
      { cell: 7, truth: 1 },
      { cell: 9, truth: 0 },
      { cell: 10, truth: 1 },
      { cell: 11, truth: 1 },
    ])
  })
})

describe('the candidates of a box', () => {
  const cells = cellsOf({ width: 64, height: 64, strides: [8, 16, 32] })
  const centre = (cell: number) => [cells.x[cell]!, cells.y[cell]!] as const

  it('lie within it, nine of a grid at most', () => {
    const box = [4, 4, 60, 60] as const
    const all = candidatesWithin([box], cells)
    assert.deepEqual(
      [0, 1, 2].map((level) => all.filter(({ cell }) => cell >= cells.levels[level]! && cell < cells.levels[level + 1]!).length),
      [9, 9, 4],
    )
    for (const { cell } of all) assert.ok(centre(cell).every((each) => each > 4 && each < 60))
  })

  it('are the nearest cell alone where a box holds no centre', () => {
    const found = candidatesWithin([[9, 9, 11, 11]], cells)
    assert.deepEqual(
      found.map(({ truth }) => truth),
      [0],
    )
    assert.ok(Math.hypot(...centre(found[0]!.cell).map((each) => each - 10)) < 8)
  })

  it('lie within 1.5 strides of its centre in both directions, or are fewer at the edge, for SimOTA', () => {
    const boxes = [
      [10, 20, 34, 52],
      [58, 60, 64, 64],
    ] as const
    const found = candidatesAround(boxes, cells)
    for (const [truth, box] of boxes.entries()) {
      const [x, y] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
      const wanted = [...cells.x.keys()].filter(
        (cell) => Math.max(Math.abs(cells.x[cell]! - x), Math.abs(cells.y[cell]! - y)) < 1.5 * cells.stride[cell]!,
      )
      assert.deepEqual(
        found.flatMap((each) => (each.truth === truth ? [each.cell] : [])),
        wanted,
      )
    }
    assert.ok(found.length < 2 * nineOfEachGrid({ strides: [8, 16, 32] }))
  })
})
