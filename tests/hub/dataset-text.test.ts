import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { datasetDigest, datasetText } from '../../hub/datasets/dataset-text.ts'
import { assertNoLeak, countDataset, withoutLeaks } from '../../hub/datasets/partition.ts'
import type { DatasetRecord } from '../../protocol/http/datasets.ts'

const record = (id: string, change: Partial<DatasetRecord> = {}): DatasetRecord => ({
  image: createHash('sha256').update(id).digest('hex'),
  width: 640,
  height: 480,
  camera: 'gate',
  capturedAt: 1000,
  audit: false,
  cluster: 1,
  split: 'train',
  annotations: [
    { label: 'car', box: [1, 2, 30, 40], source: 'person' },
    { label: 'car', box: [1, 2, 30, 39], source: 'model' },
    { label: 'bus', box: [5, 5, 9, 9], source: 'model' },
  ],
  ...change,
})
const classes = ['car', 'bus']
const nothingHeld = { clusters: new Set<number>(), lookalikes: new Set<string>() }

describe('dataset digest', () => {
  it('does not depend on the order of records, annotations or keys', () => {
    const a = record('a')
    const b = record('b')
    const { image, ...rest } = a
    const shuffled: DatasetRecord = { ...rest, annotations: a.annotations.toReversed(), image }
    assert.equal(datasetDigest({ classes, records: [a, b] }), datasetDigest({ classes, records: [b, shuffled] }))
  })

  for (const [what, change] of Object.entries({
    'a box': { annotations: [{ label: 'car', box: [1, 2, 30, 41], source: 'person' }] },
    'a class': { annotations: [{ label: 'bus', box: [1, 2, 30, 40], source: 'person' }] },
    'the split': { split: 'held-out' },
  } satisfies Record<string, Partial<DatasetRecord>>)) {
    it(`changes with ${what}`, () => {
      assert.notEqual(
        datasetDigest({ classes, records: [record('a')] }),
        datasetDigest({ classes, records: [record('a', change)] }),
      )
    })
  }

  it('changes with the list of classes, as its order is the order of the scores', () => {
    assert.notEqual(datasetDigest({ classes, records: [] }), datasetDigest({ classes: classes.toReversed(), records: [] }))
  })

  it('is the SHA-256 of the text that is kept', () => {
    const content = { classes, records: [record('a')] }
    assert.equal(datasetDigest(content), createHash('sha256').update(datasetText(content)).digest('hex'))
  })
})

describe('dataset partition', () => {
  it('never trains on an audit sample', () => {
    const { records, leftOut } = withoutLeaks([record('a', { audit: true }), record('b', { cluster: 2 })], nothingHeld)
    assert.equal(records.length, 1)
    assert.deepEqual(leftOut, { audit: 1, cluster: 0, lookalike: 0 })
  })

  it('never trains on a near-duplicate of a held-out sample, labelled or not', () => {
    const all = [
      record('a', { cluster: 1 }),
      record('b', { cluster: 1, split: 'held-out' }),
      record('c', { cluster: 2 }),
      record('d', { cluster: 3 }),
      record('e', { cluster: 4 }),
    ]
    const { records, leftOut } = withoutLeaks(all, { clusters: new Set([2]), lookalikes: new Set([all[4]!.image]) })
    assert.deepEqual(leftOut, { audit: 0, cluster: 2, lookalike: 1 })
    assert.deepEqual(new Set(records.map(({ image }) => image)), new Set([all[1]!.image, all[3]!.image]))
    assertNoLeak(records)
  })

  it('refuses to write a version with a leak', () => {
    assert.throws(() => assertNoLeak([record('a'), record('b', { split: 'held-out' })]), /looks like it and is held out/)
    assert.throws(() => assertNoLeak([record('a', { audit: true })]), /audit sample/)
  })

  it('counts pictures and boxes', () => {
    const counts = countDataset([record('a'), record('b', { split: 'held-out', annotations: [] })], classes)
    assert.deepEqual(counts, { train: 1, heldOut: 1, annotations: 3, perClass: { car: 2, bus: 1 } })
  })
})
