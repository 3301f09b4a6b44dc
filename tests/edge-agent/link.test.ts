import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it, type TestContext } from 'node:test'
import { backoff } from '../../edge-agent/link/backoff.ts'
import { Link } from '../../edge-agent/link/link.ts'
import { cutIntoParts, Uploader } from '../../edge-agent/link/uploader.ts'
import { Outbox } from '../../edge-agent/outbox/outbox.ts'
import type { Desired, Status } from '../../protocol/topics.ts'
import { downTopic } from '../../protocol/topics.ts'
import { HubPlayer } from './support/hub-player.ts'
import { sampleOf, silent, temporaryFolder } from './support/samples.ts'

const status = (): Status => ({ v: 1, online: true, version: 'test', cameras: [], model: null, slot: null, at: Date.now() })

async function device(
  t: TestContext,
  hub: HubPlayer,
  options: { maxMessageBytes?: number; inFlight?: number; resendAfter?: number } = {},
) {
  const outbox = new Outbox({ folder: temporaryFolder(t), maxBytes: 100_000_000, maxSamples: 10_000 })
  const desired: Desired[] = []
  const link: Link = new Link({
    device: hub.device,
    url: hub.url,
    password: hub.password,
    log: silent,
    status,
    firstDelay: 20,
    handlers: {
      ack: (ack) => uploader.acknowledge(ack),
      desired: (message) => void desired.push(message),
      watch: () => {},
    },
  })
  const uploader = new Uploader({
    outbox,
    inFlight: options.inFlight ?? 4,
    maxMessageBytes: options.maxMessageBytes ?? 1_000_000,
    log: silent,
    publish: (payload) => link.publishEncoded('sample', payload),
    ...(options.resendAfter && { resendAfter: options.resendAfter }),
  })
  link.on('connected', () => uploader.connected())
  link.on('disconnected', () => uploader.disconnected())
  await outbox.start()
  uploader.start()
  t.after(async () => {
    uploader.stop()
    await link.stop()
    await outbox.stop()
  })
  return { outbox, link, uploader, desired }
}

async function startedHub(t: TestContext): Promise<HubPlayer> {
  const hub = new HubPlayer()
  await hub.start()
  t.after(() => hub.stop())
  return hub
}

async function emptied(outbox: Outbox): Promise<void> {
  while (outbox.counts.samples > 0) await new Promise((resolve) => setTimeout(resolve, 5))
}

describe('link', { timeout: 60_000 }, () => {
  it('delivers what waited in the outbox and forgets it only when the hub acknowledges', async (t) => {
    const hub = await startedHub(t)
    const { outbox, link } = await device(t, hub)
    hub.answer = () => 'silence'
    const made = Array.from({ length: 3 }, () => sampleOf())
    for (const { sample, encoded } of made) assert.equal(await outbox.add(sample, encoded), true)
    link.start()
    while (hub.arrivals.size < 3) await once(hub, 'sample')
    assert.equal(outbox.counts.samples, 3)
    hub.send('ack', { v: 1, ids: made.map(({ sample }) => sample.id), refused: [] })
    await emptied(outbox)
    assert.equal(outbox.counts.refused, 0)
  })

  it('never has more samples on the way than the window', async (t) => {
    const hub = await startedHub(t)
    const { outbox, link, uploader } = await device(t, hub, { inFlight: 2 })
    hub.answer = () => 'silence'
    for (let index = 0; index < 6; index++) {
      const { sample, encoded } = sampleOf({ score: index / 10 })
      await outbox.add(sample, encoded)
    }
    link.start()
    while (hub.arrivals.size < 2) await once(hub, 'sample')
    assert.equal(uploader.inFlight, 2)
    hub.answer = () => 'ack'
    hub.send('ack', { v: 1, ids: [...hub.arrivals.keys()], refused: [] })
    await emptied(outbox)
    assert.equal(hub.arrivals.size, 6)
  })

  it('sends what is added while it sends, each once', async (t) => {
    const hub = await startedHub(t)
    const { outbox, link } = await device(t, hub, { inFlight: 3 })
    link.start()
    await once(link, 'connected')
    for (let index = 0; index < 100; index++) {
      const { sample, encoded } = sampleOf({ score: Math.random(), audit: index % 5 === 0 })
      await outbox.add(sample, encoded)
    }
    await emptied(outbox)
    assert.equal(hub.samples.size, 100)
    assert.deepEqual([...new Set(hub.arrivals.values())], [1])
  })

  it('sends again after the line broke, until each sample is acknowledged', async (t) => {
    const hub = await startedHub(t)
    const { outbox, link } = await device(t, hub)
    let cuts = 0
    hub.answer = ({ id }) => {
      if (cuts < 5 && hub.arrivals.get(id) === 1) {
        cuts++
        setImmediate(() => hub.cut())
        return 'silence'
      }
      return 'ack'
    }
    for (let index = 0; index < 20; index++) {
      const { sample, encoded } = sampleOf()
      await outbox.add(sample, encoded)
    }
    link.start()
    await emptied(outbox)
    assert.equal(hub.samples.size, 20)
    assert.ok(cuts >= 1)
  })

  it('sends again when the broker took a sample and no ack came in time', async (t) => {
    const hub = await startedHub(t)
    const { outbox, link } = await device(t, hub, { resendAfter: 50 })
    hub.answer = ({ id }) => (hub.arrivals.get(id)! < 3 ? 'silence' : 'ack')
    const { sample, encoded } = sampleOf()
    await outbox.add(sample, encoded)
    link.start()
    await emptied(outbox)
    assert.equal(hub.arrivals.get(sample.id), 3)
  })

  it('forgets what the hub refuses, and counts it', async (t) => {
    const hub = await startedHub(t)
    const { outbox, link } = await device(t, hub)
    hub.answer = () => 'refuse'
    const { sample, encoded } = sampleOf()
    await outbox.add(sample, encoded)
    link.start()
    await emptied(outbox)
    assert.equal(outbox.counts.refused, 1)
  })

  it('drops a damaged file instead of sending it for ever', async (t) => {
    const hub = await startedHub(t)
    const { outbox, link } = await device(t, hub)
    const { sample, encoded } = sampleOf()
    await outbox.add(sample, encoded.subarray(0, 500))
    const good = sampleOf({ score: 0.1 })
    await outbox.add(good.sample, good.encoded)
    link.start()
    await emptied(outbox)
    assert.deepEqual([...hub.samples.keys()], [good.sample.id])
    assert.equal(outbox.counts.refused, 1)
  })

  it('cuts a sample that is larger than one message may be', async (t) => {
    const hub = await startedHub(t)
    const { outbox, link } = await device(t, hub, { maxMessageBytes: 16_384 })
    const { sample, encoded } = sampleOf({ bytes: 200_000 })
    await outbox.add(sample, encoded)
    link.start()
    await emptied(outbox)
    assert.deepEqual(hub.samples.get(sample.id)!.jpeg, sample.jpeg)
  })

  it('says that it is online, and lets the broker say when it is not', async (t) => {
    const hub = await startedHub(t)
    const { link } = await device(t, hub)
    link.start()
    const [online] = await once(hub, 'status')
    assert.equal(online.online, true)
    const gone = once(hub, 'status')
    hub.cut()
    assert.equal((await gone)[0].online, false)
    await once(link, 'connected')
    await link.stop()
    while (hub.statuses.at(-1)!.online) await once(hub, 'status')
  })

  it('takes the desired state, and refuses what is malformed without falling over', async (t) => {
    const hub = await startedHub(t)
    const { link, desired } = await device(t, hub)
    link.start()
    await once(link, 'connected')
    hub.sendRaw(downTopic(hub.device, 'desired'), Buffer.from('{"v":'), false)
    hub.sendRaw(downTopic(hub.device, 'desired'), Buffer.from('{"v":1,"deployment":-1}'), false)
    hub.sendRaw(downTopic(hub.device, 'ack'), Buffer.from([0xff, 0x00]), false)
    hub.send('desired', { v: 1, deployment: 7, model: null, probationSeconds: 5, mining: miningDefaults, at: 1 })
    while (desired.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.deepEqual(
      desired.map(({ deployment }) => deployment),
      [7],
    )
  })
})

const miningDefaults = {
  lowConfidence: { from: 0.15, to: 0.45 },
  auditShare: 0.002,
  motion: 0.02,
  novelty: 0.25,
  cooldownSeconds: 10,
  maxSamplesPerHour: 120,
  maxBytesPerHour: 50_000_000,
  jpegQuality: 88,
}

describe('parts of a sample', () => {
  it('joined give the sample again, and each fits into one message', () => {
    const { sample, encoded } = sampleOf({ bytes: 100_000 })
    const parts = cutIntoParts(sample.id, encoded, 16_384)
    assert.deepEqual(Buffer.concat(parts.map(({ bytes }) => bytes)), Buffer.from(encoded))
    for (const part of parts) assert.ok(part.bytes.byteLength <= 16_384 - 1024 && part.parts === parts.length)
  })
})

describe('backoff', () => {
  it('doubles up to its limit and is half random', () => {
    assert.deepEqual(
      [0, 1, 2, 20].map((attempt) => backoff(attempt, () => 1)),
      [500, 1000, 2000, 30_000],
    )
    assert.equal(
      backoff(1, () => 0),
      500,
    )
  })
})
