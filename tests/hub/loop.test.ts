import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Static, Type } from 'typebox'
import { Device, Enrolment, Overview, Rollout, RolloutSummary, Settings } from '../../protocol/http/fleet.ts'
import { type ImportModel, ModelVersion } from '../../protocol/http/models.ts'
import { inEnglish } from '../../protocol/sentences.ts'
import { deployedModel } from '../support/deployed-model.ts'
import { DevicePlayer } from '../support/device-player.ts'
import { startTestHub, type TestHub } from '../support/hub.ts'
import { putLabelled, sha256 } from '../support/labelled-sample.ts'
import { TrainerPlayer } from '../support/trainer-player.ts'

const before = deployedModel({ score: 0.5 })
const after = deployedModel({ score: 0.8 })

async function setUp(test: TestHub, change: Partial<Settings> = {}): Promise<void> {
  const settings = await test.ask(Settings, 'GET', '/api/settings')
  const gate = { ...settings.gate, minimumImages: 2 }
  const classes = [{ name: 'car', color: '#ff0000' }]
  await test.ask(Settings, 'PUT', '/api/settings', { ...settings, gate, classes, labelsPerRound: 3, autoDeploy: true, ...change })
  const meta: Static<typeof ImportModel> = {
    name: 'base',
    classes: ['car'],
    input: { width: 32, height: 32, resize: 'letterbox' },
    champion: true,
  }
  await test.ask(ModelVersion, 'POST', `/api/models?meta=${encodeURIComponent(JSON.stringify(meta))}`, before)
}

async function label(test: TestHub, from: number): Promise<void> {
  for (let i = 0; i < 3; i++) await putLabelled(test.hub, { name: `train ${from + i}` })
  for (let i = 0; i < 2; i++) await putLabelled(test.hub, { name: `held out ${from + i}`, split: 'held-out', audit: true })
}

/** Asks again whenever the hub says that something changed. */
async function until<T>(test: TestHub, ask: () => Promise<T | null | undefined>): Promise<T> {
  const end = Date.now() + 15_000
  for (;;) {
    const answer = await ask()
    if (answer) return answer
    if (Date.now() > end)
      throw new Error(`not within 15 s; overview: ${JSON.stringify((await test.request('GET', '/api/overview')).body)}`)
    await new Promise<void>((resolve) => {
      const done = () => {
        stop()
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(done, 500)
      const stop = test.hub.events.subscribe(done)
    })
  }
}

const round = async (test: TestHub, number: number) =>
  (await test.ask(Overview, 'GET', '/api/overview')).rounds.find((each) => each.number === number)!

describe('loop', () => {
  it('goes round: labels, run, gate, rollout, confirmed by the device', async (t) => {
    const test = await startTestHub(t)
    await setUp(test)
    const trainer = await TrainerPlayer.create(test)
    const enrolment = await test.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-1' })
    const device = await DevicePlayer.connect(enrolment)
    t.after(() => device.stop())

    const first = await device.wish(({ model }) => model !== null)
    assert.equal(sha256((await device.fetch(first)).file), sha256(before))
    await device.report(first, 'confirmed')
    assert.equal(await trainer.lease(), null)

    await label(test, 0)
    const lease = await until(test, () => trainer.lease())
    assert.equal(lease.run.dataset.train, 3)
    assert.equal(lease.run.dataset.heldOut, 2)
    assert.equal(lease.run.base, sha256(before))
    assert.equal(lease.championManifest?.name, 'base')
    assert.equal((await round(test, 1)).state, 'training')
    await trainer.heartbeat(lease, 1, ['hello'])
    const run = await trainer.finish(lease, after, { mAP50: 0.7, before: 0.4 })
    assert.equal(run.gate?.passed, true, inEnglish(run.gate?.reasons ?? []))

    const wish = await device.wish(({ deployment }) => deployment > first.deployment)
    const { manifest, file } = await device.fetch(wish)
    assert.equal(sha256(file), sha256(after))
    assert.deepEqual([manifest.version, manifest.thresholds.car, manifest.metrics.mAP50], [2, 0.35, 0.7])
    await device.report(wish, 'probation')
    await device.report(wish, 'confirmed')

    const done = await until(test, async () => {
      const found = await round(test, 1)
      return found.state === 'done' ? found : null
    })
    assert.deepEqual([done.mAP50Before, done.mAP50After, done.labels, done.samples], [0.4, 0.7, 3, 5])
    assert.ok(done.minutes !== null && done.minutes < 1)
    const overview = await test.ask(Overview, 'GET', '/api/overview')
    assert.equal(overview.champion?.sha256, sha256(after))
    assert.equal(overview.rounds[0]?.number, 2)
    assert.equal(overview.queue.sinceSnapshot, 0)
    const models = await test.ask(Type.Array(ModelVersion), 'GET', '/api/models')
    assert.deepEqual(
      models.map(({ role }) => role),
      ['champion', 'retired'],
    )
    assert.equal(models[0]?.devices, 1)
  })

  it('waits for the manager without automatic deployment, and stops a round at a failed gate', async (t) => {
    const test = await startTestHub(t)
    await setUp(test, { autoDeploy: false })
    const trainer = await TrainerPlayer.create(test)
    await label(test, 0)
    const worse = await until(test, () => trainer.lease())
    const run = await trainer.finish(worse, after, { mAP50: 0.2, before: 0.4 })
    assert.equal(run.gate?.passed, false)
    const stopped = await until(test, async () => ((await round(test, 1)).state === 'stopped' ? await round(test, 1) : null))
    assert.match(inEnglish(stopped.note), /gate/)
    const refused = await test.request('POST', '/api/rollouts', { model: sha256(after) })
    assert.equal(refused.status, 409)
    assert.match(JSON.stringify(refused.body), /did not pass the gate/)

    await label(test, 10)
    const better = await until(test, () => trainer.lease())
    const third = deployedModel({ score: 0.9 })
    await trainer.finish(better, third, { mAP50: 0.8, before: 0.4 })
    await until(test, async () => ((await round(test, 2)).state === 'waiting' ? true : null))
    const rollout = await test.ask(Rollout, 'POST', '/api/rollouts', { model: sha256(third) })
    assert.equal(rollout.state, 'finished', 'there is no device to wait for')
    await until(test, async () => ((await round(test, 2)).state === 'done' ? true : null))
  })

  it('pauses a rollout when the canary rolls back, and goes back everywhere when told', async (t) => {
    const test = await startTestHub(t)
    await setUp(test)
    const trainer = await TrainerPlayer.create(test)
    const [one, two] = [
      await DevicePlayer.connect(await test.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-1' })),
      await DevicePlayer.connect(await test.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-2' })),
    ]
    t.after(() => Promise.all([one.stop(), two.stop()]))
    await until(test, async () => ((await test.ask(Overview, 'GET', '/api/overview')).devices.online === 2 ? true : null))
    await label(test, 0)
    await trainer.finish(await until(test, () => trainer.lease()), after, { mAP50: 0.7, before: 0.4 })
    const canary = await one.wish(({ deployment }) => deployment === 2)
    await one.report(canary, 'rolled-back', 'scores are not numbers')
    const paused = await until(test, async () =>
      (await test.ask(Type.Array(RolloutSummary), 'GET', '/api/rollouts')).find(({ state }) => state === 'paused'),
    )
    assert.match(inEnglish(paused.reason), /gate-1 rolled back: scores are not numbers/)
    const { waves } = await test.ask(Rollout, 'GET', `/api/rollouts/${paused.id}`)
    assert.deepEqual(
      waves.map(({ states }) => states),
      [{ 'rolled-back': 1 }, { waiting: 1 }],
    )
    assert.equal(waves[1]!.devices[0]!.device, 'gate-2')
    assert.equal((await test.ask(Device, 'GET', '/api/devices/gate-2')).desired, sha256(before))

    const back = await test.ask(Rollout, 'POST', `/api/rollouts/${paused.id}/act`, {
      action: 'rollback',
      reason: 'it sees nothing',
    })
    assert.equal(back.state, 'rolled-back')
    const again = await one.wish(({ deployment }) => deployment === 3)
    assert.equal((await one.fetch(again)).manifest.file.sha256, sha256(before))
    await until(test, async () => ((await round(test, 1)).state === 'stopped' ? true : null))
  })

  it('tells devices again what they should run after the hub was restarted', async (t) => {
    const first = await startTestHub(t)
    await setUp(first)
    const enrolment = await first.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-1' })
    const test = await first.restart()
    const device = await DevicePlayer.connect(enrolment, test.hub.broker.url)
    t.after(() => device.stop())
    const wish = await device.wish(({ model }) => model !== null)
    assert.equal(sha256((await device.fetch(wish)).file), sha256(before))
  })

  it('knows from its last will that a device is gone', async (t) => {
    const test = await startTestHub(t)
    const device = await DevicePlayer.connect(await test.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-1' }))
    await until(test, async () => ((await test.ask(Device, 'GET', '/api/devices/gate-1')).online ? true : null))
    device.kill()
    await until(test, async () => ((await test.ask(Device, 'GET', '/api/devices/gate-1')).online ? null : true))
  })
})
