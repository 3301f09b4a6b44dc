import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, it } from 'node:test'
import { encode } from 'cborg'
import sharp from 'sharp'
import { Enrolment, Overview, Settings } from '../../protocol/http/fleet.ts'
import { LeasedTasks, SamplePage, SampleView, Task } from '../../protocol/http/labelling.ts'
import { upTopic } from '../../protocol/topics.ts'
import { DevicePlayer } from '../support/device-player.ts'
import { startTestHub, type TestHub } from '../support/hub.ts'
import { sha256 } from '../support/labelled-sample.ts'
import { makeSample } from '../support/sample.ts'

interface Closing {
  after(close: () => Promise<void>): void
}

async function withDevice(t: Closing, config = {}): Promise<{ test: TestHub; device: DevicePlayer; enrolment: Enrolment }> {
  const test = await startTestHub(t, config)
  const enrolment = await test.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-1' })
  const device = await DevicePlayer.connect(enrolment)
  t.after(() => device.stop())
  return { test, device, enrolment }
}

const metric = async (test: TestHub, line: string) => {
  const text = String((await test.request('GET', '/metrics')).body)
  return Number(
    text
      .split('\n')
      .find((each) => each.startsWith(`${line} `))
      ?.split(' ')[1] ?? 0,
  )
}

describe('ingest', () => {
  it('has a sample, its picture and its task on disk when it acknowledges', async (t) => {
    const { test, device } = await withDevice(t)
    const sample = await makeSample(1)
    await device.sendSample(sample)
    assert.equal(await device.answerTo(sample.id), true)
    const view = await test.ask(SampleView, 'GET', `/api/samples/${sample.id}`)
    assert.deepEqual(
      [view.device, view.taskState, view.reasons, view.detections],
      ['gate-1', 'open', sample.reasons, sample.detections],
    )
    const image = await test.request('GET', `/api/samples/${sample.id}/image`)
    assert.equal(sha256(image.bytes), sample.id)
    const small = await test.request('GET', `/api/samples/${sample.id}/image?width=64`)
    assert.equal((await sharp(small.bytes).metadata()).format, 'jpeg')
  })

  it('acknowledges a sample again that it has, and keeps it once', async (t) => {
    const { test, device } = await withDevice(t)
    const sample = await makeSample(1)
    for (let sent = 1; sent <= 3; sent++) {
      await device.sendSample(sample)
      await device.answers(sent)
    }
    assert.equal((await test.ask(SamplePage, 'GET', '/api/samples')).total, 1)
    assert.equal(await metric(test, 'muninn_samples_total{outcome="duplicate"}'), 2)
  })

  it('puts a sample together that came in parts, in any order', async (t) => {
    const { test, device } = await withDevice(t)
    const sample = await makeSample(2)
    const bytes = encode(sample)
    const size = Math.ceil(bytes.length / 3)
    for (const part of [2, 0, 1, 1]) {
      const piece = { v: 1, id: sample.id, part, parts: 3, bytes: bytes.subarray(part * size, (part + 1) * size) }
      await device.send(upTopic('gate-1', 'sample'), encode(piece))
    }
    assert.equal(await device.answerTo(sample.id), true)
    assert.equal((await test.ask(SamplePage, 'GET', '/api/samples')).total, 1)
  })

  it('holds audit samples out, and puts the same moment into one cluster', async (t) => {
    const { test, device } = await withDevice(t)
    const first = await makeSample(3)
    const again = await sharp(first.jpeg).jpeg({ quality: 60 }).toBuffer()
    const twin = { ...first, id: sha256(again), jpeg: new Uint8Array(again) }
    const other = await makeSample(4, { audit: true, reasons: ['audit'] })
    for (const sample of [first, twin, other]) {
      await device.sendSample(sample)
      assert.equal(await device.answerTo(sample.id), true)
    }
    const views = await Promise.all([first, twin, other].map(({ id }) => test.ask(SampleView, 'GET', `/api/samples/${id}`)))
    assert.equal(views[0]!.cluster, views[1]!.cluster)
    assert.equal(views[0]!.split, views[1]!.split)
    assert.notEqual(views[2]!.cluster, views[0]!.cluster)
    assert.equal(views[2]!.split, 'held-out')
  })

  it('asks last for labels that nothing will be learnt from', async (t) => {
    const { test, device } = await withDevice(t)
    const settings = await test.ask(Settings, 'GET', '/api/settings')
    await test.ask(Settings, 'PUT', '/api/settings', { ...settings, heldOutShare: 0.05 })
    // Which pictures are held out depends on their day: of this one neither.
    const capturedAt = Date.UTC(2026, 0, 5)
    const [first, other] = [await makeSample(3, { capturedAt, score: 0.9 }), await makeSample(4, { capturedAt, score: 0.2 })]
    const again = new Uint8Array(await sharp(first.jpeg).jpeg({ quality: 70 }).toBuffer())
    const audit = { ...first, id: sha256(again), jpeg: again, audit: true, score: 0.1 }
    for (const sample of [first, other, audit]) {
      await device.sendSample(sample)
      assert.equal(await device.answerTo(sample.id), true)
    }
    const { tasks } = await test.ask(LeasedTasks, 'POST', '/api/tasks/lease', { count: 3 })
    assert.deepEqual(
      tasks.map(({ sample, priority }) => [sample.id, sample.split, priority]),
      [
        [audit.id, 'held-out', 0.1],
        [other.id, 'train', 0.2],
        [first.id, 'train', -1],
      ],
    )
    const accepted = { verdict: 'accepted', annotations: [] }
    for (const { id, version } of tasks) await test.ask(Task, 'POST', `/api/tasks/${id}/submit`, { version, ...accepted })
    // The round waits for labels that a version will take.
    assert.equal((await test.ask(Overview, 'GET', '/api/overview')).queue.sinceSnapshot, 1)
  })

  const lies: [name: string, change: () => Promise<Parameters<typeof makeSample>[1]>, says: RegExp][] = [
    ['another picture than its id says', async () => ({ id: 'a'.repeat(64) }), /BAD_HASH/],
    ['another size than the picture has', async () => ({ width: 97 }), /BAD_PICTURE.*96 x 64/],
    ['no picture at all', async () => jpegOf(Buffer.from('hello')), /BAD_PICTURE.*not a JPEG/],
    ['a picture that is cut off', async () => jpegOf(Buffer.from((await makeSample(9)).jpeg.subarray(0, 200))), /BAD_PICTURE/],
    ['a picture of too many pixels', async () => ({ ...jpegOf(await bomb()), width: 4000, height: 3000 }), /BAD_PICTURE/],
    ['a score above one', async () => ({ score: 2 }), /INVALID_INPUT.*score/],
  ]
  const jpegOf = (bytes: Buffer) => ({ id: sha256(bytes), jpeg: new Uint8Array(bytes) })
  const bomb = () =>
    sharp({ create: { width: 4000, height: 3000, channels: 3, background: 'black' } })
      .jpeg()
      .toBuffer()
  for (const [name, change, says] of lies) {
    it(`refuses ${name}, tells the device why, and goes on`, async (t) => {
      const { test, device } = await withDevice(t, { maxPixels: 1_000_000 })
      const bad = await makeSample(5, await change())
      await device.sendSample(bad)
      assert.match(String(await device.answerTo(bad.id)), says)
      const good = await makeSample(6)
      await device.sendSample(good)
      assert.equal(await device.answerTo(good.id), true)
      assert.equal((await test.ask(SamplePage, 'GET', '/api/samples')).total, 1)
    })
  }

  it('counts what is no message at all, and goes on', async (t) => {
    const { test, device } = await withDevice(t)
    const sample = await makeSample(7)
    await device.send(upTopic('gate-1', 'sample'), encode(sample).subarray(0, 100))
    await device.send(upTopic('gate-1', 'sample'), encode([1, 2, 3]))
    await device.send(upTopic('gate-1', 'telemetry'), '{"v":1')
    await device.send(upTopic('gate-1', 'deployment'), '{"v":7}')
    await device.sendSample(sample)
    assert.equal(await device.answerTo(sample.id), true)
    assert.equal(await metric(test, 'muninn_refused_messages_total{kind="sample",code="INVALID_INPUT"}'), 2)
    assert.equal(await metric(test, 'muninn_refused_messages_total{kind="telemetry",code="INVALID_INPUT"}'), 1)
    assert.equal(await metric(test, 'muninn_refused_messages_total{kind="deployment",code="INVALID_INPUT"}'), 1)
  })
})

describe('topic rights', () => {
  it('let no device publish under another one’s name', async (t) => {
    const { test, device } = await withDevice(t)
    await test.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-2' })
    await device.send(upTopic('gate-2', 'status'), '{}')
    assert.equal(await metric(test, 'muninn_refused_actions_total{action="publish"}'), 1)
  })

  it('let nobody in with a wrong password, a removed device or none', async (t) => {
    const { test, enrolment } = await withDevice(t)
    await assert.rejects(DevicePlayer.connect({ ...enrolment, password: 'guess' }), /refused/)
    await assert.rejects(DevicePlayer.connect({ ...enrolment, device: 'gate-9' }), /refused/)
    await test.request('DELETE', '/api/devices/gate-1')
    await assert.rejects(DevicePlayer.connect(enrolment), /refused/)
    assert.equal(await metric(test, 'muninn_refused_actions_total{action="connect"}'), 3)
  })

  it('end a connection that announces a packet of 100 MB, before it is sent', async (t) => {
    const { test, device } = await withDevice(t)
    const { port } = new URL(test.hub.broker.url)
    const socket = connect(Number(port), '127.0.0.1')
    // PUBLISH with a remaining length of 104,857,600.
    socket.write(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x32]))
    await once(socket, 'close')
    assert.equal(await metric(test, 'muninn_refused_actions_total{action="packet"}'), 1)
    const sample = await makeSample(8)
    await device.sendSample(sample)
    assert.equal(await device.answerTo(sample.id), true)
  })

  it('give a device a new password and take the old one', async (t) => {
    const { test, enrolment } = await withDevice(t)
    const fresh = await test.ask(Enrolment, 'POST', '/api/devices/gate-1/rotate')
    await assert.rejects(DevicePlayer.connect(enrolment), /refused/)
    const device = await DevicePlayer.connect(fresh)
    await device.stop()
  })
})
