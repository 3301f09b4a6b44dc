/** The real trainer, killed -9 while it trains: its run is taken again and goes on from its last checkpoint to a model. */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Settings } from '../../protocol/http/fleet.ts'
import { ModelVersion } from '../../protocol/http/models.ts'
import { Logs, Metrics, Run } from '../../protocol/http/runs.ts'
import { Token } from '../../protocol/http/session.ts'
import { temporaryFolder } from '../edge-agent/support/samples.ts'
import { startTestHub } from '../support/hub.ts'
import { putLabelled } from '../support/labelled-sample.ts'
import { makeSample } from '../support/sample.ts'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))

describe('a trainer that is killed', { timeout: 300_000 }, () => {
  it('goes on from its last checkpoint when it is back, to the end', async (t) => {
    const test = await startTestHub(t)
    const settings = await test.ask(Settings, 'GET', '/api/settings')
    await test.ask(Settings, 'PUT', '/api/settings', {
      ...settings,
      autoTrain: false,
      classes: [{ name: 'car', color: '#00ff00' }],
      // More epochs than there is time for: the training lasts about as long on every machine, longer than its checkpoints are apart.
      training: { ...settings.training, minutes: 1, epochs: 10_000, inputSize: 64, batch: 2 },
    })
    for (let i = 0; i < 8; i++) {
      const { jpeg, width, height } = await makeSample(i)
      await putLabelled(test.hub, { name: `${i}`, picture: { jpeg, width, height }, split: i < 6 ? 'train' : 'held-out' })
    }
    const { token } = await test.ask(Token, 'POST', '/api/tokens', { name: 'trainer', role: 'trainer' })
    const address = test.hub.app.server.address()
    assert.ok(typeof address === 'object' && address)
    const folder = temporaryFolder(t)
    let trainer: ChildProcess | undefined
    t.after(() => trainer?.kill('SIGKILL'))
    const start = () => {
      const flags = ['trainer', '--hub', `http://127.0.0.1:${address.port}`, '--data', folder, '--name', 'trainer-1']
      trainer = fork(program, flags, {
        env: { ...process.env, MUNINN_TOKEN: token! },
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      })
      return trainer
    }
    const { id } = await test.ask(Run, 'POST', '/api/runs', {})
    const run = () => test.ask(Run, 'GET', `/api/runs/${id}`)
    const checkpoint = join(folder, 'runs', `${id}.checkpoint`)
    const dying = start()
    while (!existsSync(checkpoint)) await sleep(50)
    await sleep(Math.random() * 1500)
    dying.kill('SIGKILL')
    await once(dying, 'exit')
    assert.equal((await run()).state, 'running')
    // Its lease runs for another minute; it does not wait for that.
    const last = start()
    const began = Date.now()
    while ((await run()).attempts < 2) await sleep(50)
    const backAfter = Date.now() - began
    while (!['finished', 'failed'].includes((await run()).state)) await sleep(200)
    last.kill('SIGTERM')
    await once(last, 'exit')

    const done = await run()
    assert.deepEqual([done.state, done.attempts, done.error], ['finished', 2, null])
    assert.ok(backAfter < 30_000, `it had its run again after ${backAfter} ms`)
    t.diagnostic(`it had its run again after ${(backAfter / 1000).toFixed(1)} s`)
    const { lines } = await test.ask(Logs, 'GET', `/api/runs/${id}/logs`)
    const resumed = lines.map(({ text }) => /goes on at step (\d+) of \d+/.exec(text)?.[1]).filter((step) => step !== undefined)
    assert.equal(resumed.length, 1)
    assert.ok(Number(resumed[0]) > 0)
    const { points } = await test.ask(Metrics, 'GET', `/api/runs/${id}/metrics`)
    assert.equal(new Set(points.map(({ step }) => step)).size, points.length, 'each step is there once')
    const model = await test.ask(ModelVersion, 'GET', `/api/models/${done.model}`)
    assert.equal(model.run, id)
  })
})
