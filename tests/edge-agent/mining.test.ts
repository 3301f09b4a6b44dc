import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { auditChance, Spending } from '../../edge-agent/mining/budget.ts'
import { findLowConfidence, uncertainty } from '../../edge-agent/mining/low-confidence.ts'
import { type Candidate, Miner } from '../../edge-agent/mining/miner.ts'
import { findMotion } from '../../edge-agent/mining/motion.ts'
import { nearIdentical } from '../../edge-agent/mining/novelty.ts'
import type { Observation, Thumbnail } from '../../edge-agent/mining/observation.ts'
import { Tracker } from '../../edge-agent/mining/tracker.ts'
import type { MiningSettings } from '../../protocol/mining.ts'
import type { Detection } from '../../protocol/primitives.ts'

const settings: MiningSettings = {
  lowConfidence: { from: 0.15, to: 0.45 },
  auditShare: 0,
  motion: 0.02,
  novelty: 0.25,
  cooldownSeconds: 10,
  maxSamplesPerHour: 120,
  maxBytesPerHour: 50_000_000,
  jpegQuality: 88,
}
const box = (x: number, score: number, label = 'car'): Detection => ({ box: [x, 20, x + 30, 50], label, score })

/** A grey street with a bright patch of 4 x 4 cells at cell (x, 8), if any. */
function thumbnail(x: number | null = null, light = 100): Thumbnail {
  const grey = new Uint8Array(32 * 24).fill(light)
  if (x !== null) for (let row = 8; row < 12; row++) grey.fill(light + 80, row * 32 + x, row * 32 + x + 4)
  return { width: 32, height: 24, grey }
}

/** A unit vector in a direction of its own. */
const direction = (index: number) => Float32Array.from({ length: 16 }, (_, each) => (each === index ? 1 : 0))

const observe = (change: Partial<Observation> = {}): Observation => ({
  frame: 0,
  at: 0,
  width: 320,
  height: 240,
  motion: 0,
  thumbnail: null,
  model: 'm',
  detections: [],
  embedding: direction(0),
  thresholds: { car: 0.4 },
  ...change,
})

const picture = (bytes = 1000) => ({ jpeg: new Uint8Array(bytes), width: 320, height: 240 })

/** Runs frames through a miner as the agent does, every picture to be had. */
function mine(miner: Miner, frames: readonly Observation[], change: Partial<MiningSettings> = {}, bytes = 1000): Candidate[] {
  const asked = { ...settings, ...change }
  return frames.flatMap((observation) => {
    for (const candidate of miner.look(observation, asked)) candidate.picture = picture(bytes)
    return miner.release(observation.at, asked)
  })
}

const seeded = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}

describe('low confidence', () => {
  const cases: [string, Detection[], boolean][] = [
    ['nothing there', [], false],
    ['a sure one', [box(0, 0.9)], false],
    ['one hardly there', [box(0, 0.1)], false],
    ['one in the band', [box(0, 0.3)], true],
    ['one at its threshold', [box(0, 0.4)], true],
    ['what is left beside a sure one of the same object', [box(0, 0.9), box(4, 0.3)], false],
    ['a doubtful one of another class at the same place', [box(0, 0.9), box(4, 0.3, 'person')], true],
  ]
  for (const [what, detections, found] of cases) {
    it(`${found ? 'finds' : 'passes over'} ${what}`, () =>
      assert.equal(findLowConfidence(observe({ detections }), settings.lowConfidence) !== null, found))
  }

  it('widens the band to hold the threshold of a class', () => {
    const detections = [box(0, 0.6)]
    assert.equal(findLowConfidence(observe({ detections }), settings.lowConfidence), null)
    assert.ok(findLowConfidence(observe({ detections, thresholds: { car: 0.7 } }), settings.lowConfidence))
  })

  it('scores more doubt higher', () => {
    const score = (...detections: Detection[]) => findLowConfidence(observe({ detections }), settings.lowConfidence)!.score
    assert.ok(score(box(0, 0.4)) > score(box(0, 0.16)))
    assert.ok(score(box(0, 0.4), box(90, 0.4)) > score(box(0, 0.4)))
    assert.ok(Math.abs(uncertainty(0.4, 0.4) - 1) < 1e-9)
  })
})

describe('tracker', () => {
  /** Shows one moving car to a tracker; a null stands for a frame in which it is not found. */
  const gapsOf = (xs: (number | null)[], others: (index: number) => Detection[] = () => []) => {
    const tracker = new Tracker()
    return xs.flatMap((x, index) => tracker.update(index, index * 100, [...(x === null ? [] : [box(x, 0.8)]), ...others(index)]))
  }
  const cases: [string, (number | null)[], number[] | null][] = [
    ['one that is always there', [0, 5, 10, 15, 20], null],
    ['one missed once', [0, 5, 10, null, 20, 25], [3]],
    ['a fast one missed twice, expected further on', [0, 15, 30, null, null, 75], [3, 4]],
    ['one not yet established', [0, null, 10], null],
    ['one away too long', [0, 5, 10, null, null, null, null, null, null, 15], null],
    ['one that left and another elsewhere', [0, 5, 10, null, 200], null],
  ]
  for (const [what, xs, missed] of cases) {
    it(`${missed ? 'finds the gap of' : 'finds no gap for'} ${what}`, () => {
      const gaps = gapsOf(xs)
      assert.deepEqual(gaps.length ? gaps[0]!.missed : null, missed)
    })
  }

  it('takes an object behind another for hidden, not overlooked', () => {
    assert.deepEqual(
      gapsOf([0, 0, 0, null, 0], (index) => (index === 3 ? [box(2, 0.9, 'truck')] : [])),
      [],
    )
  })

  it('does not grow with objects that come and go', () => {
    const tracker = new Tracker()
    for (let frame = 0; frame < 1000; frame++) tracker.update(frame, frame * 100, [box((frame * 97) % 5000, 0.8)])
    assert.ok(tracker.size <= 7, `${tracker.size} tracks`)
  })
})

describe('motion without detection', () => {
  const find = (change: Partial<Observation>, before: Thumbnail | null = thumbnail(2)) =>
    findMotion(observe({ motion: 0.1, thumbnail: thumbnail(9), ...change }), {
      before,
      counted: change.detections?.length ?? 0,
      settings,
    })
  const around = (from: number, to: number): Detection => ({ box: [from * 10, 80, to * 10, 120], label: 'car', score: 0.2 })
  it('finds movement that no detection explains', () => assert.ok(find({})))
  it('passes over movement inside detections', () => assert.equal(find({ detections: [around(2, 6), around(9, 13)] }), null))
  it('passes over a frame in which hardly anything moved', () => assert.equal(find({ motion: 0.001 }), null))
  it('does not take a cloud for movement', () => assert.equal(find({ thumbnail: thumbnail(2, 60) }), null))
  it('without a thumbnail asks for a frame with no detection at all', () => {
    assert.ok(find({ thumbnail: null }, null))
    assert.equal(find({ thumbnail: null, detections: [around(0, 1)] }, null), null)
  })
})

describe('near-identical frames', () => {
  it('are those in which no cell changed, whatever the light did', () => {
    assert.equal(nearIdentical(observe({ thumbnail: thumbnail(3) }), observe({ thumbnail: thumbnail(3, 90) })), true)
    assert.equal(nearIdentical(observe({ thumbnail: thumbnail(3) }), observe({ thumbnail: thumbnail(4) })), false)
  })
  it('may differ by noise, and may not by a small dim thing in the dark', () => {
    const random = seeded(1)
    const noisy = () => {
      const { grey, ...size } = thumbnail(null, 20)
      return observe({ thumbnail: { ...size, grey: grey.map((value) => value + Math.round(random() * 6 - 3)) } })
    }
    assert.equal(nearIdentical(noisy(), noisy()), true)
    const dim = thumbnail(null, 20)
    dim.grey.fill(27, 300, 302)
    assert.equal(nearIdentical(observe({ thumbnail: thumbnail(null, 20) }), observe({ thumbnail: dim })), false)
  })
})

describe('miner', () => {
  const doubt = (index: number, change: Partial<Observation> = {}): Observation =>
    observe({ frame: index, at: index * 1000, thumbnail: thumbnail(index % 20), detections: [box(0, 0.3)], ...change })

  it('sends the first doubtful frame at once, then the best of each cooldown', () => {
    const scores = [0.3, 0.2, 0.4, 0.25, 0.2]
    const frames = [0, 1, 2, 3, 10].map((second, index) => doubt(second, { detections: [box(0, scores[index]!)] }))
    const sent = mine(new Miner({ random: () => 0.5 }), frames)
    assert.deepEqual(
      sent.map(({ observation }) => observation.at),
      [0, 2000],
    )
  })

  it('never sends two near-identical frames in a row', () => {
    const frames = Array.from({ length: 60 }, (_, index) => doubt(index, { thumbnail: thumbnail(5) }))
    assert.equal(mine(new Miner(), frames).length, 1)
  })

  it('keeps to the count of an hour, whichever hour is taken', () => {
    const miner = new Miner()
    const times = Array.from({ length: 7200 }, (_, index) => doubt(index)).flatMap((frame) =>
      mine(miner, [frame], { maxSamplesPerHour: 30, cooldownSeconds: 0 }).map(() => frame.at),
    )
    assert.ok(times.length >= 59 && times.length <= 60, `${times.length}`)
    for (const end of times) assert.ok(times.filter((at) => at > end - 3_600_000 && at <= end).length <= 30)
  })

  it('keeps to the bytes of an hour', () => {
    const frames = Array.from({ length: 100 }, (_, index) => doubt(index))
    assert.equal(mine(new Miner(), frames, { cooldownSeconds: 0, maxBytesPerHour: 10_500 }, 1000).length, 10)
  })

  it('chooses audit samples at random, also when all is well, and marks no other reason', () => {
    const frames = Array.from({ length: 2000 }, (_, index) =>
      observe({ frame: index, at: index * 30_000, thumbnail: thumbnail(index % 20), detections: [box(0, 0.9)] }),
    )
    const sent = mine(new Miner({ random: seeded(7) }), frames, { auditShare: 0.05 }).filter(({ audit }) => audit)
    assert.ok(sent.length > 60 && sent.length < 140, `${sent.length}`)
    for (const { reasons } of sent) assert.deepEqual(reasons, ['audit'])
  })

  it('gives audit samples no more than their part of the budget, spread evenly', () => {
    assert.equal(auditChance(0.002, 30, settings), (0.2 * 120) / (30 * 3600))
    assert.equal(auditChance(0.002, 1, settings), 0.002)
    assert.equal(auditChance(0.1, 30, { ...settings, cooldownSeconds: 0 }), 0.1)
  })

  it('looks back for the frame in which a track was lost', () => {
    const frames = [0, 5, 10, null, 20].map((x, index) =>
      observe({ frame: index, at: index * 100, thumbnail: thumbnail(index), detections: x === null ? [] : [box(x, 0.9)] }),
    )
    const miner = new Miner()
    mine(miner, frames.slice(0, 4))
    const sent = mine(miner, frames.slice(4))
    assert.deepEqual(
      sent.map(({ observation, reasons }) => [observation.frame, reasons]),
      [[3, ['track-gap']]],
    )
  })

  it('finds what is unlike all that was sent', () => {
    const frames = Array.from({ length: 30 }, (_, index) =>
      observe({ frame: index, at: index * 60_000, thumbnail: thumbnail(index % 27), embedding: direction(index < 20 ? 0 : 1) }),
    )
    const sent = mine(new Miner(), frames)
    assert.deepEqual(
      sent.map(({ observation, reasons }) => [observation.frame, reasons]),
      [
        [0, ['novelty']],
        [20, ['novelty']],
      ],
    )
  })

  it('without a model sends by motion, novelty and chance, spread over the hour', () => {
    const frames = Array.from({ length: 3600 }, (_, index) =>
      observe({
        frame: index,
        at: index * 1000,
        model: null,
        embedding: null,
        motion: index % 7 ? 0 : 0.2,
        thumbnail: thumbnail((index * 3) % 28),
      }),
    )
    const sent = mine(new Miner({ random: seeded(3) }), frames)
    assert.ok(sent.length > 60 && sent.length <= 120, `${sent.length}`)
    for (const { reasons } of sent) assert.ok(reasons.includes('cold-start') || reasons.includes('novelty'))
    const moving = sent.filter(({ observation }) => observation.motion > 0)
    assert.ok(moving.length > sent.length * 0.6, `${moving.length} of ${sent.length} show movement`)
  })

  it('chooses the same frames from the same seed', () => {
    const frames = Array.from({ length: 500 }, (_, index) => doubt(index, { motion: (index % 11) / 100 }))
    const run = (seed: number) =>
      mine(new Miner({ random: seeded(seed) }), frames, { auditShare: 0.02 }).map(({ observation, audit }) => [
        observation.frame,
        audit,
      ])
    assert.deepEqual(run(1), run(1))
    assert.notDeepEqual(run(1), run(2))
  })

  it('waits with a candidate until its picture is there, and forgets it when there is none', () => {
    const miner = new Miner()
    const [candidate] = miner.look(doubt(0), settings)
    assert.deepEqual(miner.release(0, settings), [])
    miner.giveUp(candidate!)
    assert.deepEqual(miner.release(0, settings, { flush: true }), [])
    assert.equal(miner.look(doubt(1), settings).length, 1)
  })
})

describe('spending', () => {
  it('forgets what is older than an hour', () => {
    const spending = new Spending()
    spending.spend(0, 100)
    const budget = { maxSamplesPerHour: 1, maxBytesPerHour: 1000 }
    assert.equal(spending.fits(3_599_999, 1, budget), false)
    assert.equal(spending.fits(3_600_000, 1, budget), true)
  })
})
