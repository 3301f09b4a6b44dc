import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Type } from 'typebox'
import { NearDuplicateIndex } from '../../hub/samples/near-duplicate-index.ts'
import { areNearDuplicates, type Known, place, thumbnailSide } from '../../hub/samples/near-duplicates.ts'
import { DatasetRecord, DatasetVersion } from '../../protocol/http/datasets.ts'
import { Overview, Settings } from '../../protocol/http/fleet.ts'
import { startTestHub } from '../support/hub.ts'
import { putLabelled } from '../support/labelled-sample.ts'

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

/** The same numbers at each run (Mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** A fixed camera: one background, light that wanders, noise, now and then something that passes. */
function* street(random: () => number): Generator<Uint8Array> {
  const background = Uint8Array.from({ length: thumbnailSide ** 2 }, () => 40 + random() * 120)
  for (let light = 0; ; light += (random() - 0.5) * 3) {
    const passes = random() < 0.3 ? Math.floor(random() * 250) : -9
    yield background.map((cell, i) => {
      const object = i >= passes && i < passes + 3 ? 40 * random() : 0
      return Math.round(Math.min(255, Math.max(0, cell + light + object + (random() - 0.5) * 6.5)))
    })
  }
}

/** The first so many pictures of an endless camera. */
function take<T>(count: number, from: Iterable<T>): T[] {
  const taken: T[] = []
  for (const each of from) {
    if (taken.length === count) break
    taken.push(each)
  }
  return taken
}

describe('an index of near-duplicates', () => {
  it('finds just what comparing with every picture finds', () => {
    const random = seeded(1)
    const [held, others] = [take(300, street(random)), [...take(150, street(seeded(1))), ...take(150, street(seeded(2)))]]
    // As far from others as a near-duplicate may be, and just beyond.
    for (const [cell, by] of [
      [0, 6],
      [255, -6],
      [17, 7],
      [100, -7],
    ] as const)
      others.push(held[9]!.map((value, i) => (i === cell ? value + by : value)))
    others.push(held[9]!.map((value) => value + 3))
    others.push(held[9]!.map((value) => value + 4))
    const index = new NearDuplicateIndex()
    for (const [i, thumbnail] of held.entries()) index.add(`${i}`, thumbnail)
    let found = 0
    for (const thumbnail of others) {
      const id = index.find(thumbnail)
      assert.equal(
        id !== undefined,
        held.some((each) => areNearDuplicates(thumbnail, each)),
      )
      if (id === undefined) continue
      assert.ok(areNearDuplicates(thumbnail, held[Number(id)]!))
      found++
    }
    assert.ok(found > 20 && found < others.length - 20, `${found} of ${others.length}`)
  })

  it('takes one of another size for a near-duplicate of nothing', () => {
    const index = new NearDuplicateIndex()
    index.add('a', dark())
    index.add('b', new Uint8Array(4))
    assert.equal(index.find(new Uint8Array(4)), undefined)
    assert.equal(index.find(dark()), 'a')
  })
})

describe('a dataset version', () => {
  it('trains on no picture that looks like one held out, labelled or not, and says how many it left out', async (t) => {
    const test = await startTestHub(t)
    const settings = await test.ask(Settings, 'GET', '/api/settings')
    const classes = [{ name: 'car', color: '#00ff00' }]
    await test.ask(Settings, 'PUT', '/api/settings', { ...settings, classes, autoTrain: false })
    // As ingest places them: each goes to the cluster it is most like, though it may be like others.
    const latest: Known[] = []
    const thumbnails = new Map<string, Uint8Array>()
    const unlabelled: string[] = []
    let clusters = 0
    for (const [i, thumbnail] of take(400, street(seeded(3))).entries()) {
      const audit = i % 20 === 0
      const { cluster, split } = place(
        { id: `${i}`, camera: 'camera-1', capturedAt: 0, audit, thumbnail },
        { known: latest, nextCluster: clusters + 1, heldOutShare: 0.25 },
      )
      clusters = Math.max(clusters, cluster)
      latest.unshift({ cluster, split, thumbnail })
      const id = await putLabelled(test.hub, { name: `${i}`, split, cluster, audit, thumbnail })
      thumbnails.set(id, thumbnail)
      if (split === 'held-out' && i % 3 === 0) unlabelled.push(id)
    }
    await test.hub.knex('tasks').whereIn('sample_id', unlabelled).update({ state: 'open' })
    const version = await test.ask(DatasetVersion, 'POST', '/api/datasets')
    const records = await test.ask(Type.Array(DatasetRecord), 'GET', `/api/datasets/${version.id}/records`)
    const [train, held] = (['train', 'held-out'] as const).map((part) => records.filter(({ split }) => split === part))
    const all = [...held!.map(({ image }) => image), ...unlabelled]
    for (const { image } of train!)
      for (const other of all) assert.ok(!areNearDuplicates(thumbnails.get(image)!, thumbnails.get(other)!), `${image} ${other}`)
    const { audit, cluster, lookalike } = version.leftOut
    assert.ok(lookalike > 0 && train!.length > 20, JSON.stringify([version.leftOut, train!.length]))
    assert.equal(train!.length + held!.length + audit + cluster + lookalike, 400 - unlabelled.length)
    t.diagnostic(`of 400: ${train!.length} to learn from, ${all.length} held out, left out ${JSON.stringify(version.leftOut)}`)
  })

  it('of the same content is taken again: the labels up to then count for no second round', async (t) => {
    const test = await startTestHub(t)
    await test.hub.loop.stop()
    await putLabelled(test.hub, { name: 'held', split: 'held-out', thumbnail: dark() })
    await putLabelled(test.hub, { name: 'a', thumbnail: dark().fill(90) })
    const first = await test.ask(DatasetVersion, 'POST', '/api/datasets')
    test.clock.ahead += 1000
    await putLabelled(test.hub, { name: 'b', thumbnail: dark().fill(31) })
    test.clock.ahead += 1000
    const again = await test.ask(DatasetVersion, 'POST', '/api/datasets')
    assert.deepEqual([again.id, again.leftOut.lookalike, first.leftOut.lookalike], [first.id, 1, 0])
    assert.equal((await test.ask(Overview, 'GET', '/api/overview')).queue.sinceSnapshot, 0)
  })
})

describe('pictures without labels', () => {
  it('are not learnt from where they look like one held out', async (t) => {
    const test = await startTestHub(t)
    await putLabelled(test.hub, { name: 'held', split: 'held-out', state: 'open', thumbnail: dark() })
    await putLabelled(test.hub, { name: 'alike', state: 'open', thumbnail: dark().fill(31) })
    const other = await putLabelled(test.hub, { name: 'other', state: 'open', thumbnail: dark().fill(90) })
    assert.deepEqual(await test.hub.datasets.unlabelled(5), [other])
  })
})
