/** Which cells answer for which box, where that is fixed before the step. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  assignByOverlap,
  assignByOverlapOrNot,
  assignByShape,
  assignByShapeOverlap,
} from '../../trainer/detector/anchor-assignment.ts'
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

describe('anchors that answer for a box', () => {
  const cells = cellsOf({
    width: 64,
    height: 64,
    strides: [16],
    anchors: [
      [
        [10, 10],
        [30, 30],
        [64, 16],
      ],
    ],
  })
  const named = (found: readonly { cell: number; truth: number }[]) =>
    found.map(({ cell }) => `${cells.x[cell]},${cells.y[cell]} ${cells.sizes!.width[cell]}x${cells.sizes!.height[cell]}`).sort()
  // Its centre 27, 20 lies in the cell about 24, 24: nearest to the one on its right, about 40, and to the one above, about 8.
  const box = [16, 9, 38, 31] as const

  it('are those within a factor of its shape, in its own cell and the two nearest neighbours', () => {
    const around = ['24,24', '24,8', '40,24']
    assert.deepEqual(named(assignByShape(2)([box], cells)), around.map((at) => `${at} 30x30`).sort())
    assert.deepEqual(
      named(assignByShape(4)([box], cells)),
      around.flatMap((at) => [`${at} 10x10`, `${at} 30x30`, `${at} 64x16`]).sort(),
    )
  })

  it('are for YOLOv4 those that overlap its shape enough, in its own cell alone, and the best in any case', () => {
    // 22 x 22: overlaps of 0.207, 0.538 and 0.305.
    assert.deepEqual(named(assignByShapeOverlap([box], cells)), ['24,24 30x30', '24,24 64x16'])
    assert.deepEqual(named(assignByShapeOverlap([[22, 22, 26, 26]], cells)), ['24,24 10x10'])
  })
})

describe('anchors that overlap a box', () => {
  const cells = cellsOf({ width: 64, height: 16, strides: [16], anchors: [[[20, 16]]], evenCells: true })
  // Overlaps with the anchors about 8, 24, 40 and 56: 0.04, 0.6, 0.41 and 0.
  const box = [16, 0, 44, 16] as const

  it('answer for it with one half at least, as the best one does in any case', () => {
    assert.deepEqual(assignByOverlap([box], cells), [{ cell: 1, truth: 0 }])
    assert.deepEqual(assignByOverlap([[50, 4, 54, 8]], cells), [{ cell: 3, truth: 0 }])
  })

  it('are for RetinaNet neither its own nor background with nearly as much, unless they answer for another box', () => {
    assert.deepEqual(assignByOverlapOrNot([box], cells), [
      { cell: 1, truth: 0 },
      { cell: 2, truth: 0, unsure: true },
    ])
    assert.deepEqual(assignByOverlapOrNot([box, [30, 0, 50, 16]], cells), [
      { cell: 1, truth: 0 },
      { cell: 2, truth: 1 },
    ])
  })
})

describe('the cells of a grid that does not divide the picture', () => {
  it('share it evenly, or are as many whole pixels wide as they have room for', () => {
    const grid = { width: 320, height: 320, strides: [128], evenCells: true }
    const across = (options: object) => [...cellsOf({ ...grid, ...options }).x.subarray(0, 3)].map(Math.round)
    assert.deepEqual(across({}), [53, 160, 267])
    assert.deepEqual(across({ cellOffset: 0, wholeSteps: true }), [0, 106, 212])
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
