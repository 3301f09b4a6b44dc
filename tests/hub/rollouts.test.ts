import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Type } from 'typebox'
import { DevicePage, Enrolment, Rollout, Settings } from '../../protocol/http/fleet.ts'
import { ModelVersion } from '../../protocol/http/models.ts'
import { deployedModel } from '../support/deployed-model.ts'
import { DevicePlayer } from '../support/device-player.ts'
import { startTestHub, type TestHub } from '../support/hub.ts'
import { sha256 } from '../support/labelled-sample.ts'

interface Closing {
  after(close: () => Promise<void>): void
}

const [first, second, third] = [deployedModel({ score: 0.1 }), deployedModel({ score: 0.2 }), deployedModel({ score: 0.3 })]
const override = 'tried by hand on the test stand'

async function importModel(test: TestHub, file: Uint8Array, champion: boolean): Promise<ModelVersion> {
  const meta = { name: 'street', classes: ['car'], input: { width: 32, height: 32, resize: 'letterbox' }, champion }
  return await test.ask(ModelVersion, 'POST', `/api/models?meta=${encodeURIComponent(JSON.stringify(meta))}`, file)
}

/** A hub with a champion, two candidates and devices that are connected, in the order of their names. */
async function withFleet(t: Closing, names: readonly string[]) {
  const test = await startTestHub(t)
  await importModel(test, first, true)
  await importModel(test, second, false)
  await importModel(test, third, false)
  const players: DevicePlayer[] = []
  for (const id of names) {
    const player = await DevicePlayer.connect(await test.ask(Enrolment, 'POST', '/api/devices', { id }))
    t.after(() => player.stop())
    players.push(player)
  }
  await until(test, async () => (await devices(test)).every(({ online }) => online))
  return { test, players }
}

const devices = async (test: TestHub) => (await test.ask(DevicePage, 'GET', '/api/devices')).devices
const roll = (test: TestHub, file: Uint8Array, change = {}) =>
  test.ask(Rollout, 'POST', '/api/rollouts', { model: sha256(file), override, ...change })
const act = (test: TestHub, { id }: Rollout, action: string) =>
  test.ask(Rollout, 'POST', `/api/rollouts/${id}/act`, { action, reason: 'as planned' })
const wants = (player: DevicePlayer, file: Uint8Array, deployment: number) =>
  player.wish((desired) => desired.deployment === deployment && (desired.model?.manifest.includes(sha256(file)) ?? false))

async function until(test: TestHub, holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 15_000
  while (!(await holds())) {
    if (Date.now() > end) throw new Error('not within 15 s')
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

const stateIs = (test: TestHub, { id }: Rollout, state: Rollout['state']) =>
  until(test, async () => (await test.ask(Rollout, 'GET', `/api/rollouts/${id}`)).state === state)

describe('rollouts', () => {
  it('need a reason for a model that never passed the gate', async (t) => {
    const { test } = await withFleet(t, [])
    const answer = await test.request('POST', '/api/rollouts', { model: sha256(second) })
    assert.equal(answer.status, 409)
    assert.match(JSON.stringify(answer.body), /never at the gate/)
    assert.equal((await roll(test, second)).state, 'finished')
  })

  it('go wave by wave, with the canaries a person chose first', async (t) => {
    const { test, players } = await withFleet(t, ['a', 'b', 'c'])
    const rollout = await roll(test, second, { canaries: ['b'] })
    assert.deepEqual(
      rollout.waves.map((wave) => wave.devices.map(({ device }) => device)),
      [['b'], ['a', 'c']],
    )
    await players[1]!.report(await wants(players[1]!, second, 2), 'confirmed')
    for (const player of [players[0]!, players[2]!]) await player.report(await wants(player, second, 2), 'confirmed')
    await stateIs(test, rollout, 'finished')
    const models = await test.ask(Type.Array(ModelVersion), 'GET', '/api/models')
    assert.deepEqual(
      models.map(({ role }) => role),
      ['candidate', 'champion', 'retired'],
    )
  })

  it('count the devices of a large wave and name the first of them, those that said no before all others', async (t) => {
    const { test } = await withFleet(t, ['a'])
    for (let i = 0; i < 60; i++) await test.ask(Enrolment, 'POST', '/api/devices', { id: `d-${i}` })
    const rollout = await roll(test, second, { canaries: ['a'] })
    await test.hub.loop.stop()
    await test.hub.knex('rollout_devices').where({ device_id: 'd-9' }).update({ state: 'refused', reason: 'no room on the disk' })
    await test.hub.knex('rollout_devices').where({ device_id: 'd-8' }).update({ state: 'confirmed' })
    const { waves } = await test.ask(Rollout, 'GET', `/api/rollouts/${rollout.id}`)
    assert.deepEqual(waves[1]!.states, { confirmed: 1, refused: 1, waiting: 58 })
    assert.equal(waves[1]!.devices.length, 40)
    assert.deepEqual(waves[1]!.devices[0], { device: 'd-9', state: 'refused', reason: 'no room on the disk' })
    assert.ok(!waves[1]!.devices.some(({ device }) => device === 'd-8'))
  })

  it('ask a device that failed again, with a new number, when resumed', async (t) => {
    const { test, players } = await withFleet(t, ['a'])
    const rollout = await roll(test, second)
    await players[0]!.report(await wants(players[0]!, second, 2), 'refused', 'no room on the disk')
    await stateIs(test, rollout, 'paused')
    await act(test, rollout, 'resume')
    await players[0]!.report(await wants(players[0]!, second, 3), 'confirmed')
    await stateIs(test, rollout, 'finished')
  })

  it('go back everywhere after they were finished', async (t) => {
    const { test, players } = await withFleet(t, ['a'])
    const rollout = await roll(test, second)
    await players[0]!.report(await wants(players[0]!, second, 2), 'confirmed')
    await stateIs(test, rollout, 'finished')
    await act(test, rollout, 'rollback')
    await wants(players[0]!, first, 3)
    const champion = (await test.ask(Type.Array(ModelVersion), 'GET', '/api/models')).find(({ role }) => role === 'champion')
    assert.equal(champion?.sha256, sha256(first))
  })

  it('do not start while another one runs, and take the place of a paused one', async (t) => {
    const { test, players } = await withFleet(t, ['a'])
    const one = await roll(test, second)
    assert.equal((await test.request('POST', '/api/rollouts', { model: sha256(third), override })).status, 409)
    await act(test, one, 'pause')
    const two = await roll(test, third)
    assert.equal((await test.ask(Rollout, 'GET', `/api/rollouts/${one.id}`)).state, 'rolled-back')
    // Back to the first model (3), then on to the third (4).
    await players[0]!.report(await wants(players[0]!, third, 4), 'confirmed')
    await stateIs(test, two, 'finished')
  })

  it('give a device that is added meanwhile the champion, and the new one when they finish', async (t) => {
    const { test, players } = await withFleet(t, ['a'])
    const rollout = await roll(test, second)
    const late = await DevicePlayer.connect(await test.ask(Enrolment, 'POST', '/api/devices', { id: 'late' }))
    t.after(() => late.stop())
    await wants(late, first, 1)
    await players[0]!.report(await wants(players[0]!, second, 2), 'confirmed')
    await stateIs(test, rollout, 'finished')
    await wants(late, second, 2)
  })

  it('ignore what a device says of an earlier wish', async (t) => {
    const { test, players } = await withFleet(t, ['a'])
    const before = await wants(players[0]!, first, 1)
    const rollout = await roll(test, second)
    await players[0]!.report(before, 'rolled-back', 'an old story')
    await until(test, async () => (await devices(test))[0]!.deployment?.state === 'rolled-back')
    assert.equal((await test.ask(Rollout, 'GET', `/api/rollouts/${rollout.id}`)).state, 'running')
  })

  it('go on where they were after the hub was restarted', async (t) => {
    const { test, players } = await withFleet(t, ['a', 'b'])
    const rollout = await roll(test, second)
    await players[0]!.report(await wants(players[0]!, second, 2), 'confirmed')
    await until(test, async () => (await test.ask(Rollout, 'GET', `/api/rollouts/${rollout.id}`)).wave === 1)
    const enrolment = await test.ask(Enrolment, 'POST', '/api/devices/b/rotate')
    const again = await test.restart()
    const player = await DevicePlayer.connect(enrolment, again.hub.broker.url)
    t.after(() => player.stop())
    await player.report(await wants(player, second, 2), 'confirmed')
    await stateIs(again, rollout, 'finished')
  })
})

describe('wishes', () => {
  it('tell devices at once when settings of mining change, without a new deployment', async (t) => {
    const { test, players } = await withFleet(t, ['a'])
    const settings = await test.ask(Settings, 'GET', '/api/settings')
    await test.ask(Settings, 'PUT', '/api/settings', { ...settings, mining: { ...settings.mining, auditShare: 0.5 } })
    const wish = await players[0]!.wish(({ mining }) => mining.auditShare === 0.5)
    assert.equal(wish.deployment, 1)
  })

  it('leave no piece at the broker of a model that nobody should run', async (t) => {
    const { test, players } = await withFleet(t, ['a'])
    const rollout = await roll(test, second)
    await players[0]!.report(await wants(players[0]!, second, 2), 'confirmed')
    await stateIs(test, rollout, 'finished')
    await until(test, async () => (await test.hub.models.publishedFiles()).every(({ sha256: hash }) => hash === sha256(second)))
  })
})
