/** The inputs of a step that come from labels: what answers for which box, and what must not be learnt. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { candidatesAround, nineOfEachGrid } from '../../trainer/detector/assignment.ts'
import { cellsOf } from '../../trainer/detector/cells.ts'
import { roomFor } from '../../trainer/detector/heads/table.ts'
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

  it('learn nothing from what is neither object nor background', () => {
    const assign = () => [
      { cell: 3, truth: 0 },
      { cell: 5, truth: 0, unsure: true },
    ]
    const feeds = targetsOf([crowd.slice(0, 1)], { cells, classes: 1, oneHot: false, positives: 4, assign })
    assert.deepEqual([...feeds.weight!.data], [1, 0, 0, 0])
    assert.equal(feeds.index!.data[0], 3n)
    assert.deepEqual(
      [...(feeds.rowWeight!.data as Float32Array).entries()].filter(([, weight]) => weight !== 1),
      [[5, 0]],
    )
  })

  it('put the candidates of a box side by side, and name those that are the same cell', () => {
    const slots = nineOfEachGrid({ strides: [8, 16, 32] })
    const box = (x: number): Label => ({ box: [x, 20, x + 30, 50], label: 0 })
    // The first of the four boxes has no room.
    const pictures = [
      [box(10), box(30)],
      [box(40), box(60)],
    ]
    const positives = 3 * slots
    const feeds = targetsOf(pictures, { cells, classes: 1, oneHot: false, positives, assign: candidatesAround, slots })
    const index = Array.from(feeds.index!.data as BigInt64Array, Number)
    const weight = feeds.weight!.data as Float32Array
    const target = feeds.target!.data as Float32Array
    const candidates = [0, 1, 2].map((place) => {
      const places = Array.from({ length: slots }, (_, i) => place * slots + i).filter((i) => weight[i] === 1)
      assert.equal(new Set(places.map((i) => `${target.subarray(i * 4, i * 4 + 4)}`)).size, 1, 'of one box')
      return places.map((i) => index[i]!)
    })
    const alone = (label: Label) => candidatesAround([label.box], cells).map(({ cell }) => cell)
    assert.deepEqual(candidates[0], alone(box(30)))
    for (const [at, x] of [40, 60].entries())
      assert.deepEqual(
        candidates[1 + at],
        alone(box(x)).map((cell) => perPicture + cell),
      )
    const rivals = Array.from(feeds.rivals!.data as BigInt64Array, Number)
    for (const [i, row] of index.entries()) {
      const own = new Set(rivals.slice(i * 4, i * 4 + 4))
      assert.ok(own.has(i))
      const same = weight[i] === 1 ? index.flatMap((other, at) => (other === row && weight[at] === 1 ? [at] : [])) : [i]
      assert.deepEqual(
        [...own].sort((a, b) => a - b),
        same,
      )
    }
    assert.ok(
      rivals.some((other, i) => other !== Math.floor(i / 4)),
      'some cells are wanted by both',
    )
    // What the box without room would have had is not learnt as background.
    const left = alone(box(10)).filter((cell) => !alone(box(30)).includes(cell))
    assert.ok(left.length > 0)
    for (const cell of left) assert.equal((feeds.rowWeight!.data as Float32Array)[cell], 0)
  })

  it('have room for twice as many boxes as the fullest picture has, within limits', () => {
    const of = (...counts: number[]) => counts.map((length) => ({ labels: Array.from({ length }) }))
    assert.equal(roomFor(of(3, 12, 7)), 24)
    assert.equal(roomFor(of(0, 1)), 8)
    assert.equal(roomFor(of(200)), 64)
  })
})
