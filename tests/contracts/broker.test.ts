/** What the hub needs of a broker, over each kind of it: the embedded one and Mosquitto. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encode } from 'cborg'
import { DevicePage, Enrolment } from '../../protocol/http/fleet.ts'
import { SamplePage } from '../../protocol/http/labelling.ts'
import { ModelVersion } from '../../protocol/http/models.ts'
import { upTopic } from '../../protocol/topics.ts'
import { deployedModel } from '../support/deployed-model.ts'
import { DevicePlayer } from '../support/device-player.ts'
import { startTestHub, type TestHub } from '../support/hub.ts'
import { sha256 } from '../support/labelled-sample.ts'
import { noMosquitto, startMosquitto } from '../support/mosquitto.ts'
import { makeSample } from '../support/sample.ts'

interface Closing {
  after(close: () => Promise<void>): void
}

const brokers = [
  { name: 'the embedded broker', skip: false as const, config: async (_t: Closing) => ({}) },
  { name: 'Mosquitto', skip: noMosquitto, config: async (t: Closing) => ({ broker: (await startMosquitto(t)).url }) },
]

async function importModel(test: TestHub, file: Uint8Array) {
  const meta = { name: 'base', classes: ['car'], input: { width: 32, height: 32, resize: 'letterbox' }, champion: true }
  await test.ask(ModelVersion, 'POST', `/api/models?meta=${encodeURIComponent(JSON.stringify(meta))}`, file)
}

async function until(test: TestHub, holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) {
    await new Promise<void>((resolve) => {
      const done = () => {
        stop()
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(done, 200)
      const stop = test.hub.events.subscribe(done)
    })
  }
}

const device = async (test: TestHub) => (await test.ask(DevicePage, 'GET', '/api/devices')).devices[0]!

for (const { name, skip, config } of brokers) {
  describe(`over ${name}`, { skip, timeout: 60_000 }, () => {
    it('samples come in and are acknowledged', async (t) => {
      const test = await startTestHub(t, await config(t))
      const player = await DevicePlayer.connect(await test.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-1' }))
      t.after(() => player.stop())
      for (let i = 0; i < 10; i++) {
        const sample = await makeSample(i)
        await player.sendSample(sample)
        assert.equal(await player.answerTo(sample.id), true)
      }
      assert.equal((await test.ask(SamplePage, 'GET', '/api/samples')).total, 10)
    })

    it('a model reaches a device that connects later, and again after the hub was restarted', async (t) => {
      const first = await startTestHub(t, await config(t))
      const enrolment = await first.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-1' })
      const file = Buffer.concat([deployedModel(), largeField()])
      await importModel(first, file)
      const one = await DevicePlayer.connect(enrolment)
      assert.equal(sha256((await one.fetch(await one.wish(({ model }) => model !== null))).file), sha256(file))
      await one.stop()
      const again = await first.restart()
      const two = await DevicePlayer.connect(enrolment, again.hub.broker.url)
      t.after(() => two.stop())
      assert.equal(sha256((await two.fetch(await two.wish(({ model }) => model !== null))).file), sha256(file))
    })

    it('a device is online while it is there, and offline after its last will', async (t) => {
      const test = await startTestHub(t, await config(t))
      const player = await DevicePlayer.connect(await test.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-1' }))
      await until(test, async () => (await device(test)).online)
      player.kill()
      await until(test, async () => !(await device(test)).online)
    })
  })
}

describe('over Mosquitto that is killed', { skip: noMosquitto, timeout: 120_000 }, () => {
  it('what it had retained is published again, and what it does not know is refused', async (t) => {
    const mosquitto = await startMosquitto(t)
    const test = await startTestHub(t, { broker: mosquitto.url })
    const enrolment = await test.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-1' })
    const file = Buffer.concat([deployedModel(), largeField()])
    await importModel(test, file)
    assert.equal((await test.request('GET', '/readyz')).status, 200)
    await mosquitto.kill()
    await until(test, async () => (await test.request('GET', '/readyz')).status === 503)
    await mosquitto.restart()
    await until(test, async () => (await test.request('GET', '/readyz')).status === 200)
    const player = await DevicePlayer.connect(enrolment)
    t.after(() => player.stop())
    assert.equal(sha256((await player.fetch(await player.wish(({ model }) => model !== null))).file), sha256(file))

    // Mosquitto without an ACL lets anyone say anything; the hub takes it from its own devices only.
    const stranger = await makeSample(1)
    await player.send(upTopic('nobody', 'sample'), encode(stranger))
    await player.send(upTopic('gate-1', 'sample'), Buffer.alloc(100 * 1024 * 1024))
    const sample = await makeSample(2)
    await player.sendSample(sample)
    assert.equal(await player.answerTo(sample.id), true)
    assert.equal((await test.ask(SamplePage, 'GET', '/api/samples')).total, 1)
    const metrics = String((await test.request('GET', '/metrics')).body)
    assert.match(metrics, /muninn_refused_messages_total\{kind="sample",code="NO_TOPIC_RIGHT"\} 1/)
    assert.match(metrics, /muninn_refused_messages_total\{kind="sample",code="TOO_LARGE"\} 1/)
  })
})

/** Makes the file longer than one piece: an ONNX field that nobody reads (ModelProto.doc_string, 6). */
function largeField(): Uint8Array {
  const length = 300_000
  return Buffer.concat([
    Uint8Array.from([6 * 8 + 2, (length & 127) | 128, ((length >> 7) & 127) | 128, length >> 14]),
    Buffer.alloc(length, 'x'),
  ])
}
