/** The inputs of a step that come from labels: what answers for which box, and what must not be learnt. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { cellsOf } from '../../trainer/detector/cells.ts'
import { type Label, targetsOf } from '../../trainer/detector/targets.ts'

const cells = cellsOf({ width: 128, height: 128, strides: [8, 16, 32] })
const perPicture = cells.x.length
/** Sixteen boxes side by side. */
const crowd: Label[] = Array.from({ length: 16 }, (_, i) => {
  const [x, y] = [(i % 4) * 32, Math.floor(i / 4) * 32]
  return { box: [x + 2, y + 2, x + 30, y + 30], label: 0 }
})

describe('targets', () => {
  it('take some of every picture where there are too many, and learn no background from the others', () => {
    const options = { cells, classes: 1, oneHot: false }
    const pictures = [crowd, crowd]
    const whole = targetsOf(pictures, { ...options, positives: 2000 })
    const rowsOf = (feeds: typeof whole) =>
      Array.from(feeds.index!.data as BigInt64Array, Number).filter((_, i) => (feeds.weight!.data as Float32Array)[i] === 1)
    const all = rowsOf(whole)
    assert.ok(all.length > 40, `${all.length} cells answer`)
    assert.ok((whole.rowWeight!.data as Float32Array).every((weight) => weight === 1))

    const positives = 20
    const few = targetsOf(pictures, { ...options, positives })
    const kept = new Set(rowsOf(few))
    assert.equal(kept.size, positives)
    assert.equal([...kept].filter((row) => row < perPicture).length, positives / 2, 'of each picture as many')
    assert.equal(Number(few.normalizer!.data[0]), Math.fround(1 / positives))
    const weights = few.rowWeight!.data as Float32Array
    const answering = new Set(all)
    for (const [row, weight] of weights.entries())
      assert.equal(weight, answering.has(row) && !kept.has(row) ? 0 : 1, `row ${row}`)
  })
})
