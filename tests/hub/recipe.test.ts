/** What a training does beyond its labels, from the settings of a project through a real trainer to what a run shows. */
import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from 'typebox'
import { Settings } from '../../protocol/http/fleet.ts'
import { ModelVersion } from '../../protocol/http/models.ts'
import { Logs, Run } from '../../protocol/http/runs.ts'
import { Token } from '../../protocol/http/session.ts'
import { HubApi } from '../../trainer/hub-client/hub-api.ts'
import { HubTrainer } from '../../trainer/hub-client/trainer.ts'
import { temporaryFolder } from '../edge-agent/support/samples.ts'
import { startTestHub, type TestHub } from '../support/hub.ts'
import { putLabelled } from '../support/labelled-sample.ts'
import { makeSample } from '../support/sample.ts'
import { TrainerPlayer } from '../support/trainer-player.ts'

const Coded = Type.Object({ code: Type.String(), message: Type.String() })

async function withTraining(test: TestHub, change: Partial<Settings['training']>): Promise<void> {
  const settings = await test.ask(Settings, 'GET', '/api/settings')
  await test.ask(Settings, 'PUT', '/api/settings', {
    ...settings,
    autoTrain: false,
    classes: [{ name: 'car', color: '#00ff00' }],
    training: { ...settings.training, ...change },
  })
}

describe('the training recipe of a project', { timeout: 300_000 }, () => {
  it('goes with every run, and one run may have another', async (t) => {
    const test = await startTestHub(t)
    await withTraining(test, { recipe: { copyPaste: 0.3 }, choose: 0.2 })
    await putLabelled(test.hub, { name: 'a' })
    const { id, settings } = await test.ask(Run, 'POST', '/api/runs', { settings: { seed: 7 } })
    await test.ask(Run, 'POST', `/api/runs/${id}/cancel`)
    assert.deepEqual([settings.recipe, settings.choose, settings.seed], [{ copyPaste: 0.3 }, 0.2, 7])
    const other = await test.ask(Run, 'POST', '/api/runs', { settings: { recipe: { mixup: 0.5 } } })
    assert.deepEqual([other.settings.recipe, other.settings.choose], [{ mixup: 0.5 }, 0.2])
    assert.deepEqual((await test.ask(Run, 'GET', `/api/runs/${other.id}`)).settings, other.settings)
  })

  it('is refused where it cannot be meant', async (t) => {
    const test = await startTestHub(t)
    await withTraining(test, {})
    await putLabelled(test.hub, { name: 'a' })
    const refused = async (settings: object) => {
      const { status, body } = await test.request('POST', '/api/runs', { settings })
      return [status, (body as Type.Static<typeof Coded>).message] as const
    }
    const [status, words] = await refused({ recipe: { mixup: 1.5 } })
    assert.equal(status, 400)
    assert.match(words, /recipe\/mixup/)
    assert.equal((await refused({ recipe: { mixUp: 0.5 } }))[0], 400)
    assert.equal((await refused({ sead: 7 }))[0], 400)
    assert.match((await refused({ teacher: 'a'.repeat(64) }))[1], /say from how many/)
    const unknown = await refused({ teacher: 'a'.repeat(64), unlabelled: 10 })
    assert.equal(unknown[0], 404)
    assert.match(unknown[1], /no model of this hub/)
  })

  it('takes pictures from the queue that may be learnt from, the newest, as the queue was when the run was made', async (t) => {
    const test = await startTestHub(t)
    await withTraining(test, { unlabelled: 3 })
    await putLabelled(test.hub, { name: 'labelled' })
    await putLabelled(test.hub, { name: 'held out', split: 'held-out', cluster: 5 })
    const put = async (name: string, change: object = {}) => {
      test.clock.ahead += 1000
      return await putLabelled(test.hub, { name, state: 'open', ...change })
    }
    await put('too old')
    const good = [await put('one'), await put('two'), await put('three')]
    await put('audit', { audit: true })
    await put('of a held-out cluster', { cluster: 5 })
    await put('open and held out', { split: 'held-out' })
    await put('rejected', { state: 'rejected' })
    const run = await test.ask(Run, 'POST', '/api/runs', {})
    await put('too late')
    const trainer = await TrainerPlayer.create(test)
    const lease = (await trainer.lease())!
    assert.equal(lease.run.id, run.id)
    assert.deepEqual(lease.unlabelled, good.toReversed())
  })

  it('is carried out by the trainer and shown by the run', async (t) => {
    const test = await startTestHub(t)
    await withTraining(test, {
      minutes: 0.3,
      epochs: 6,
      inputSize: 64,
      batch: 2,
      quantize: 'off',
      recipe: { copyPaste: 0.4, replay: 0.5 },
      unlabelled: 10,
    })
    const put = async (seed: number, change: object) => {
      const { jpeg, width, height } = await makeSample(seed)
      return await putLabelled(test.hub, { name: `${seed}`, picture: { jpeg, width, height }, ...change })
    }
    for (const seed of [1, 2, 3]) await put(seed, {})
    await put(4, { split: 'held-out' })
    for (const seed of [5, 6]) await put(seed, { state: 'open' })
    const { token } = await test.ask(Token, 'POST', '/api/tokens', { name: 'trainer', role: 'trainer' })
    const { port } = test.hub.app.server.address() as AddressInfo
    const api = new HubApi({ url: `http://127.0.0.1:${port}`, token: token! })
    const trainer = new HubTrainer({
      api,
      folder: temporaryFolder(t),
      name: 'trainer-1',
      machine: 'test',
      device: 'cpu',
      log: () => {},
    })
    trainer.start()
    t.after(() => trainer.stop())
    const finished = async (wanted: object = {}) => {
      const { id } = await test.ask(Run, 'POST', '/api/runs', wanted)
      for (;;) {
        const run = await test.ask(Run, 'GET', `/api/runs/${id}`)
        if (run.state !== 'queued' && run.state !== 'running') {
          assert.deepEqual([run.state, run.error], ['finished', null])
          const { lines } = await test.ask(Logs, 'GET', `/api/runs/${id}/logs`)
          return { run, said: lines.map(({ text }) => text).join('\n') }
        }
        await sleep(100)
      }
    }
    const first = await finished()
    assert.match(first.said, /2 pictures of the queue, without labels/)
    assert.match(first.said, /2 pictures without labels: the teacher is sure of/)
    assert.doesNotMatch(first.said, /are old/)
    assert.match(first.said, /from the street detector that comes with Muninn/)
    const page = String((await test.request('GET', `/api/runs/${first.run.id}/report.html`)).body)
    assert.match(page, /copyPaste/)
    assert.match(page, /0\.4/)

    // The next run goes on from that model: three of its four pictures are old. The model is the teacher now, too.
    await put(7, {})
    const { model } = first.run
    await test.ask(ModelVersion, 'GET', `/api/models/${model}`)
    const second = await finished({ base: model, settings: { teacher: model, unlabelled: 1 } })
    assert.match(second.said, /3 of 4 training pictures are old/)
    assert.doesNotMatch(second.said, /street detector/)
    assert.match(second.said, /1 pictures of the queue, without labels/)
    assert.equal(second.run.settings.teacher, model)
  })
})
