import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { Type } from 'typebox'
import { leaseSeconds, maxAttempts } from '../../hub/runs/trainer-desk.ts'
import { type DatasetRecord, DatasetVersion } from '../../protocol/http/datasets.ts'
import { Settings } from '../../protocol/http/fleet.ts'
import { Task } from '../../protocol/http/labelling.ts'
import { ModelVersion } from '../../protocol/http/models.ts'
import { Logs, Metrics, Run } from '../../protocol/http/runs.ts'
import { Token } from '../../protocol/http/session.ts'
import type { RunLease } from '../../protocol/http/trainers.ts'
import { inEnglish, quote, say } from '../../protocol/sentences.ts'
import { notExhaustive } from '../../trainer/data/sample.ts'
import { HubApi } from '../../trainer/hub-client/hub-api.ts'
import { RunFiles } from '../../trainer/hub-client/run-files.ts'
import { deployedModel } from '../support/deployed-model.ts'
import { adminToken, startTestHub, type TestHub } from '../support/hub.ts'
import { putLabelled, sha256 } from '../support/labelled-sample.ts'
import { report, TrainerPlayer } from '../support/trainer-player.ts'

const model = deployedModel()
const Coded = Type.Object({ code: Type.String(), message: Type.String() })

async function withRun(t: { after(close: () => Promise<void>): void }): Promise<{ test: TestHub; run: Run }> {
  const test = await startTestHub(t)
  const settings = await test.ask(Settings, 'GET', '/api/settings')
  await test.ask(Settings, 'PUT', '/api/settings', {
    ...settings,
    autoTrain: false,
    classes: [{ name: 'car', color: '#00ff00' }],
  })
  await putLabelled(test.hub, { name: 'a' })
  await putLabelled(test.hub, { name: 'b', split: 'held-out' })
  return { test, run: await test.ask(Run, 'POST', '/api/runs', {}) }
}

const code = (answer: { body: unknown }) => (answer.body as Type.Static<typeof Coded>).code

describe('trainer API', () => {
  it('is closed to people, and people’s side to trainers', async (t) => {
    const { test } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    assert.equal((await test.request('POST', '/api/trainer/lease', { trainer: 'x', device: '' })).status, 403)
    assert.equal((await trainer.request('POST', '/api/runs', {})).status, 403)
    assert.equal((await test.request('POST', '/api/trainer/lease', {}, { authorization: 'Bearer wrong' })).status, 401)
  })

  it('gives records and pictures of the dataset to the trainer', async (t) => {
    const { test } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    const { run } = (await trainer.lease())!
    const records = (await trainer.request('GET', `/api/datasets/${run.dataset.id}/records`)).body as Type.Static<
      typeof DatasetRecord
    >[]
    assert.equal(records.length, 2)
    const picture = await trainer.request('GET', `/api/blobs/${records[0]!.image}`)
    assert.equal(sha256(picture.bytes), records[0]!.image)
  })

  it('takes a dead trainer’s run again from its last checkpoint', async (t) => {
    const { test, run } = await withRun(t)
    const [dead, other] = [await TrainerPlayer.create(test, 'dead'), await TrainerPlayer.create(test, 'other')]
    const first = (await dead.lease())!
    assert.equal(first.checkpointStep, null)
    await dead.heartbeat(first, 4)
    for (const step of [2, 5])
      await dead.request(
        'PUT',
        `/api/trainer/runs/${run.id}/checkpoint?step=${step}`,
        Buffer.from(`weights ${step}`),
        first.lease,
      )
    await dead.heartbeat(first, 7)
    assert.equal(await other.lease(), null, 'the first trainer has it')

    test.clock.ahead += (leaseSeconds + 1) * 1000
    const second = (await other.lease())!
    assert.deepEqual([second.run.id, second.run.attempts, second.checkpointStep], [run.id, 2, 5])
    const checkpoint = await other.request('GET', `/api/trainer/runs/${run.id}/checkpoint`, undefined, second.lease)
    assert.equal(checkpoint.bytes.toString(), 'weights 5')
    const { points } = await test.ask(Metrics, 'GET', `/api/runs/${run.id}/metrics`)
    assert.deepEqual(
      points.map(({ step }) => step),
      [4],
      'steps after the checkpoint are made again',
    )
    await assert.rejects(dead.heartbeat(first, 8), /LEASE_LOST/)
    const late = await dead.request('PUT', `/api/trainer/runs/${run.id}/checkpoint?step=9`, Buffer.from('late'), first.lease)
    assert.equal(code(late), 'LEASE_LOST')
    await other.heartbeat(second, 6)
    assert.ok(!(await test.hub.blobs.has(sha256(Buffer.from('weights 2')))), 'only the last checkpoint is kept')
  })

  it('gives a trainer that was started again its own run at once, and nobody else', async (t) => {
    const { test, run } = await withRun(t)
    const [trainer, namesake] = [await TrainerPlayer.create(test), await TrainerPlayer.create(test)]
    const first = (await trainer.lease())!
    await trainer.request('PUT', `/api/trainer/runs/${run.id}/checkpoint?step=3`, Buffer.from('weights 3'), first.lease)
    const held = { run: run.id, lease: first.lease }
    // Not by the name, not by half of what the lease is.
    assert.equal(await namesake.lease(), null)
    assert.equal(await namesake.lease({ run: run.id, lease: 'guess' }), null)
    assert.equal(await namesake.lease({ run: run.id + 1, lease: first.lease }), null)
    await trainer.heartbeat(first, 4)

    const second = (await trainer.lease(held))!
    assert.deepEqual([second.run.id, second.run.attempts, second.checkpointStep], [run.id, 2, 3])
    assert.notEqual(second.lease, first.lease)
    // Should the first process still live, it has lost the run: one lease counts at any time.
    await assert.rejects(trainer.heartbeat(first, 5), /LEASE_LOST/)
    assert.equal(await trainer.lease(held), null, 'a lease is given back once')
    await trainer.heartbeat(second, 5)
    assert.equal((await finish(trainer, second)).status, 200)
    assert.equal(await trainer.lease({ run: run.id, lease: second.lease }), null, 'the run is over')
  })

  it('gives a run up that has killed its trainer so many times, however quickly that was back', async (t) => {
    const { test, run } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    let lease = (await trainer.lease())!
    for (let attempt = 2; attempt <= maxAttempts; attempt++) {
      lease = (await trainer.lease({ run: run.id, lease: lease.lease }))!
      assert.equal(lease.run.attempts, attempt)
    }
    assert.equal(await trainer.lease({ run: run.id, lease: lease.lease }), null)
    const failed = await test.ask(Run, 'GET', `/api/runs/${run.id}`)
    assert.deepEqual(failed.error, [say('run.restarted', { trainer: 'trainer-1' }), say('run.given-up', { count: maxAttempts })])
  })

  it('lets a trainer keep a run that nobody else took, though it was late', async (t) => {
    const { test } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    const lease = (await trainer.lease())!
    // A pass of the loop between the two lines below would rightly give the run back to the queue.
    await test.hub.loop.stop()
    test.clock.ahead += (leaseSeconds + 1) * 1000
    assert.equal(await trainer.heartbeat(lease, 1), false)
  })

  it('keeps a running run over a restart of the hub, however long it was away', async (t) => {
    const { test, run } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    const lease = (await trainer.lease())!
    test.clock.ahead += 10 * leaseSeconds * 1000
    const again = await test.restart()
    const other = await TrainerPlayer.create(again, 'other')
    assert.equal(await other.lease(), null)
    assert.equal((await again.ask(Run, 'GET', `/api/runs/${run.id}`)).state, 'running')
    assert.ok(lease)
  })

  it('gives a run up after so many dead trainers, and says so', async (t) => {
    const { test, run } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    for (let attempt = 1; attempt <= maxAttempts; attempt++) {
      assert.equal((await trainer.lease())?.run.attempts, attempt)
      test.clock.ahead += (leaseSeconds + 1) * 1000
    }
    assert.equal(await trainer.lease(), null)
    const failed = await test.ask(Run, 'GET', `/api/runs/${run.id}`)
    assert.equal(failed.state, 'failed')
    assert.match(inEnglish(failed.error!), /went silent\. Given up after 5 attempts/)
  })

  it('tries a failed run again only when that may help', async (t) => {
    const { test, run } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    const first = (await trainer.lease())!
    await trainer.request('POST', `/api/trainer/runs/${run.id}/fail`, { error: 'disk full', retry: true }, first.lease)
    const second = (await trainer.lease())!
    assert.equal(second.run.attempts, 2)
    await trainer.request('POST', `/api/trainer/runs/${run.id}/fail`, { error: 'no class has a box', retry: false }, second.lease)
    assert.equal(await trainer.lease(), null)
    assert.deepEqual((await test.ask(Run, 'GET', `/api/runs/${run.id}`)).error, quote('no class has a box'))
  })

  it('tells a running trainer that its run was cancelled', async (t) => {
    const { test, run } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    const lease = (await trainer.lease())!
    assert.equal(await trainer.heartbeat(lease, 1), false)
    assert.equal((await test.ask(Run, 'POST', `/api/runs/${run.id}/cancel`)).state, 'cancelled')
    assert.equal(await trainer.heartbeat(lease, 2), true)
    const said = await trainer.request(
      'POST',
      `/api/trainer/runs/${run.id}/fail`,
      { error: 'cancelled', retry: false },
      lease.lease,
    )
    assert.equal((said.body as Run).state, 'cancelled')
    assert.equal((await test.request('POST', `/api/runs/${run.id}/cancel`)).status, 409)
    assert.equal(await trainer.lease(), null)
  })

  it('takes the same heartbeat or finish twice without harm', async (t) => {
    const { test, run } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    const lease = (await trainer.lease())!
    await trainer.heartbeat(lease, 3)
    await trainer.heartbeat(lease, 3)
    assert.equal((await test.ask(Metrics, 'GET', `/api/runs/${run.id}/metrics`)).points.length, 1)
    const first = await finish(trainer, lease)
    const again = await finish(trainer, lease, { uploaded: true })
    assert.deepEqual([first.status, again.status], [200, 200])
    assert.deepEqual(again.body, first.body)
  })

  it('keeps the float file of an int8 model and gives it to the next run as its base', async (t) => {
    const { test, run } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    const first = (await trainer.lease())!
    assert.deepEqual([first.baseManifest, first.baseTrainingFile], [null, null])
    const float = deployedModel({ score: 0.8 })
    await trainer.request('PUT', `/api/trainer/runs/${run.id}/training-file`, Buffer.from(float), first.lease)
    const done = await finish(trainer, first, { change: { trainingFile: sha256(float) } })
    assert.equal(done.status, 200)
    const version = await test.ask(ModelVersion, 'GET', `/api/models/${sha256(model)}`)
    assert.deepEqual([version.manifest.file.sha256, version.trainingFile], [sha256(model), sha256(float)])

    await test.ask(Run, 'POST', '/api/runs', { base: sha256(model) })
    const next = (await trainer.lease())!
    assert.deepEqual([next.baseManifest?.file.sha256, next.baseTrainingFile], [sha256(model), sha256(float)])
    const given = await trainer.request('GET', `/api/models/${sha256(model)}/training-file`)
    assert.deepEqual(given.bytes, Buffer.from(float))
  })

  it('gives the model itself as the base where it can be trained', async (t) => {
    const { test } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    assert.equal((await finish(trainer, (await trainer.lease())!)).status, 200)
    await test.ask(Run, 'POST', '/api/runs', { base: sha256(model) })
    assert.equal((await trainer.lease())!.baseTrainingFile, sha256(model))
    const given = await trainer.request('GET', `/api/models/${sha256(model)}/training-file`)
    assert.deepEqual(given.bytes, Buffer.from(model))
  })

  for (const [what, change, says] of [
    ['a model that was not uploaded', { model: 'a'.repeat(64) }, 'BAD_HASH'],
    ['a training file that was not uploaded', { trainingFile: 'c'.repeat(64) }, 'BAD_HASH'],
    ['a report about another file', { report: report('b'.repeat(64), 0.5, null) }, 'INVALID_INPUT'],
    ['classes without one of the dataset’s', { classes: ['bus'] }, 'INVALID_INPUT'],
  ] as const) {
    it(`refuses ${what}`, async (t) => {
      const { test } = await withRun(t)
      const trainer = await TrainerPlayer.create(test)
      assert.equal(code(await finish(trainer, (await trainer.lease())!, { change })), says)
    })
  }

  it('refuses an upload that is no deployed model', async (t) => {
    const { test, run } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    const { lease } = (await trainer.lease())!
    assert.equal(
      code(await trainer.request('PUT', `/api/trainer/runs/${run.id}/model`, Buffer.from('weights'), lease)),
      'BAD_MODEL',
    )
    assert.equal(code(await trainer.request('PUT', `/api/trainer/runs/${run.id}/model`, Buffer.from('weights'))), 'INVALID_INPUT')
  })

  it('shows the page of a report to people, as of no origin and able to run nothing', async (t) => {
    const { test, run } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    const lease = (await trainer.lease())!
    assert.equal((await test.request('GET', `/api/runs/${run.id}/report.html`)).status, 404)
    const page = Buffer.from('<!doctype html><script>parent.stolen = 1</script>')
    assert.equal((await trainer.request('PUT', `/api/trainer/runs/${run.id}/report`, page, 'another lease')).status, 409)
    assert.equal((await trainer.request('PUT', `/api/trainer/runs/${run.id}/report`, page, lease.lease)).status, 200)
    const finished = (await finish(trainer, lease)).body as Run
    assert.equal(finished.page, true)
    const shown = await test.hub.app.inject({
      url: `/api/runs/${run.id}/report.html`,
      headers: { authorization: `Bearer ${adminToken}` },
    })
    assert.deepEqual([shown.statusCode, shown.rawPayload.equals(page)], [200, true])
    assert.equal(shown.headers['content-type'], 'text/html; charset=utf-8')
    assert.equal(shown.headers['x-content-type-options'], 'nosniff')
    assert.match(String(shown.headers['content-security-policy']), /^sandbox; default-src 'none';/)
    assert.equal((await test.hub.app.inject({ url: `/api/runs/${run.id}/report.html` })).statusCode, 401)
  })

  it('has no page for a run whose trainer made none', async (t) => {
    const { test } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    const { page } = (await finish(trainer, (await trainer.lease())!)).body as Run
    assert.equal(page, false)
  })

  it('shows log lines as they come', async (t) => {
    const { test, run } = await withRun(t)
    const trainer = await TrainerPlayer.create(test)
    await trainer.heartbeat((await trainer.lease())!, 1, ['one', 'two'])
    const all = await test.ask(Logs, 'GET', `/api/runs/${run.id}/logs`)
    assert.deepEqual(
      all.lines.slice(-2).map(({ text }) => text),
      ['one', 'two'],
    )
    const later = await test.ask(Logs, 'GET', `/api/runs/${run.id}/logs?after=${all.lines.at(-2)!.n}`)
    assert.deepEqual(
      later.lines.map(({ text }) => text),
      ['two'],
    )
  })
})

describe('dataset versions', () => {
  it('are the same version while nothing changed, and a new one after', async (t) => {
    const { test } = await withRun(t)
    const one = await test.ask(DatasetVersion, 'POST', '/api/datasets')
    const two = await test.ask(DatasetVersion, 'POST', '/api/datasets')
    assert.equal(one.id, two.id)
    await putLabelled(test.hub, { name: 'c' })
    const three = await test.ask(DatasetVersion, 'POST', '/api/datasets')
    assert.notEqual(three.digest, one.digest)
    assert.deepEqual([three.train, three.heldOut, three.perClass.car], [2, 1, 3])
  })

  it('say which classes were added after a picture was labelled, down to what a trainer learns from', async (t) => {
    const { test } = await withRun(t)
    const before = await test.ask(DatasetVersion, 'POST', '/api/datasets')
    const classesNow = async (...names: string[]) => {
      const settings = await test.ask(Settings, 'GET', '/api/settings')
      const classes = names.map((name) => settings.classes.find((each) => each.name === name) ?? { name, color: '#ff0000' })
      return await test.ask(Settings, 'PUT', '/api/settings', { ...settings, classes })
    }
    test.clock.ahead += 60_000
    const { classes } = await classesNow('car', 'bus')
    assert.deepEqual(
      classes.map(({ since }) => since !== undefined && since >= test.hub.now() - 30_000),
      [false, true],
    )
    test.clock.ahead += 60_000
    await putLabelled(test.hub, { name: 'later', annotations: [{ box: [1, 1, 9, 9], label: 'bus', source: 'person' }] })
    const added = await test.ask(DatasetVersion, 'POST', '/api/datasets')
    const recordsOf = async ({ id }: { id: number }) => await test.hub.datasets.records(id)
    const partial = (records: readonly Type.Static<typeof DatasetRecord>[]) =>
      Object.fromEntries(records.map(({ image, notExhaustive }) => [image, notExhaustive]))
    const [a, b, later] = ['a', 'b', 'later'].map((name) => sha256(Buffer.from(`picture ${name}`))) as [string, string, string]
    const records = await recordsOf(added)
    assert.deepEqual(partial(records), { [a]: ['bus'], [b]: ['bus'], [later]: undefined })
    assert.deepEqual(Object.values(partial(await recordsOf(before))), [undefined, undefined])

    const { token } = await test.ask(Token, 'POST', '/api/tokens', { name: 'trainer', role: 'trainer' })
    const { port } = test.hub.app.server.address() as AddressInfo
    const files = new RunFiles({ api: new HubApi({ url: `http://127.0.0.1:${port}`, token: token! }), folder: test.folder })
    const signal = new AbortController().signal
    const samples = await files.samples(records, { classes: added.classes, signal, onFile: () => {} })
    const labelsOf = (image: string) => samples[records.findIndex((each) => each.image === image)]!.labels
    assert.deepEqual(labelsOf(a), [{ box: [1, 1, 20, 20], label: 0 }, notExhaustive(1)])
    assert.deepEqual(labelsOf(later), [{ box: [1, 1, 9, 9], label: 1 }])

    // Labelled again, now with both classes in sight.
    const task: { id: number } = await test.hub.knex('tasks').where({ sample_id: a }).first('id')
    const { version } = await test.ask(Task, 'POST', `/api/tasks/${task.id}/reopen`)
    await test.ask(Task, 'POST', `/api/tasks/${task.id}/submit`, { version, verdict: 'accepted', annotations: [] })
    const again = partial(await recordsOf(await test.ask(DatasetVersion, 'POST', '/api/datasets')))
    assert.deepEqual(again, { [a]: undefined, [b]: ['bus'], [later]: undefined })

    // Someone says that the earlier pictures were looked through for buses, too.
    const settings = await test.ask(Settings, 'GET', '/api/settings')
    const looked = settings.classes.map((each) => (each.name === 'bus' ? { ...each, since: 0 } : each))
    await test.ask(Settings, 'PUT', '/api/settings', { ...settings, classes: looked })
    const all = partial(await recordsOf(await test.ask(DatasetVersion, 'POST', '/api/datasets')))
    assert.deepEqual(all, { [a]: undefined, [b]: undefined, [later]: undefined })
  })

  it('say what is missing while nothing is labelled', async (t) => {
    const test = await startTestHub(t)
    const answer = await test.request('POST', '/api/datasets')
    assert.deepEqual([answer.status, code(answer)], [409, 'NOT_READY'])
  })
})

async function finish(trainer: TrainerPlayer, { run, lease }: RunLease, options: { uploaded?: boolean; change?: object } = {}) {
  if (!options.uploaded) await trainer.request('PUT', `/api/trainer/runs/${run.id}/model`, model, lease)
  const body = {
    report: report(sha256(model), 0.5, null),
    model: sha256(model),
    selfTest: null,
    input: { width: 32, height: 32, resize: 'letterbox' },
    classes: ['car'],
    thresholds: {},
    architecture: 'test',
    ...options.change,
  }
  return await trainer.request('POST', `/api/trainer/runs/${run.id}/finish`, body, lease)
}
