import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Known, place, thumbnailSide } from '../../hub/samples/near-duplicates.ts'

const dark = () => new Uint8Array(thumbnailSide ** 2).fill(30)
const sample = (thumbnail: Uint8Array, audit = false) => ({ id: 'a', camera: 'c', capturedAt: 0, audit, thumbnail })
const known: Known[] = [{ cluster: 7, split: 'held-out', thumbnail: dark() }]

describe('near-duplicates', () => {
  it('are what differs by noise only', () => {
    const noisy = dark().map((value, i) => value + (i % 3) - 1)
    assert.deepEqual(place(sample(noisy), { known, nextCluster: 8, heldOutShare: 0 }), { cluster: 7, split: 'held-out' })
  })

  it('are not two moments of a dark street between which somebody walked by', () => {
    const walked = dark()
    for (const cell of [100, 116]) walked[cell]! += 12
    assert.deepEqual(place(sample(walked), { known, nextCluster: 8, heldOutShare: 0 }), { cluster: 8, split: 'train' })
  })

  it('of a picture to learn from are held out when they are audit samples', () => {
    const trained: Known[] = [{ cluster: 3, split: 'train', thumbnail: dark() }]
    assert.deepEqual(place(sample(dark(), true), { known: trained, nextCluster: 8, heldOutShare: 0 }), {
      cluster: 3,
      split: 'held-out',
    })
  })
})
