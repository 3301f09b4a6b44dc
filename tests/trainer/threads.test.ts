/** `--threads`: what computes keeps to so many of the cores, and numbers that are none of theirs are refused before anything is begun. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { Type } from 'typebox'
import { Settings } from '../../protocol/http/fleet.ts'
import { Run } from '../../protocol/http/runs.ts'
import { Token } from '../../protocol/http/session.ts'
import { parseJson } from '../../protocol/parse.ts'
import { Random } from '../../trainer/detector/random.ts'
import { startTestHub } from '../support/hub.ts'
import { putLabelled } from '../support/labelled-sample.ts'
import { makeSample } from '../support/sample.ts'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
const recorder = new URL('../support/record-sessions.js', import.meta.url).href
const model = fileURLToPath(new URL('../../../trainer/base/demo-street.onnx', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'muninn-threads-'))
after(() => rmSync(folder, { recursive: true }))

before(async () => {
  for (const part of ['images', 'labels']) mkdirSync(join(folder, part))
  writeFileSync(join(folder, 'data.yaml'), 'names: [car]\n')
  for (let i = 0; i < 30; i++) {
    // Unlike each other, or none of them could be held out.
    const random = new Random(i)
    const data = Uint8Array.from({ length: 8 * 8 * 3 }, () => random.integer(256))
    await sharp(data, { raw: { width: 8, height: 8, channels: 3 } })
      .resize(64)
      .toFile(join(folder, 'images', `${i}.png`))
    writeFileSync(join(folder, 'labels', `${i}.txt`), '0 0.5 0.5 0.4 0.4\n')
  }
})

const Line = Type.Object({ by: Type.String(), session: Type.Optional(Type.Integer()) })

let commands = 0
/** A command on its way, and what it has started of threads and sessions up to now. */
function muninn(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const path = join(folder, `sessions-${commands++}.jsonl`)
  writeFileSync(path, '')
  const recording = { NODE_OPTIONS: `--import=${recorder}`, RECORD_SESSIONS: path }
  const child = spawn(process.execPath, [program, ...args], { env: { ...process.env, ...recording, ...env } })
  const code = new Promise<number | null>((resolve) => child.once('close', resolve))
  const said = Promise.all([text(child.stdout), text(child.stderr)])
  const ended = async () => {
    const [out, err] = await said
    return { code: await code, out, err }
  }
  const recorded = () => {
    const lines = readFileSync(path, 'utf8').trim().split('\n')
    const all = lines.map((line) => parseJson(Line, line, path))
    const started = (name: string) => all.filter(({ by, session }) => by === name && session === undefined).length
    return {
      sessions: all.flatMap(({ session }) => session ?? []),
      stepping: started('step-worker'),
      loading: started('loader-worker'),
    }
  }
  return { child, ended, recorded }
}

describe('--threads', { timeout: 300_000 }, () => {
  const two = availableParallelism() < 2 && 'there is only one core'

  it('bounds all that a training computes with, and changes no number of its model', { skip: two }, async () => {
    const flags = ['--data', folder, '--base', 'none', '--size', '64', '--batch', '8', '--epochs', '2', '--device', 'cpu']
    const trained = async (threads: number) => {
      const out = join(folder, `out-${threads}`)
      const command = muninn(['train', ...flags, '--recipe', 'patience=4', '--out', out, '--threads', `${threads}`])
      const { code, out: said, err } = await command.ended()
      assert.equal(code, 0, err)
      assert.match(said, new RegExp(`trains on cpu \\(${threads} threads\\), as asked for`))
      assert.match(readFileSync(join(out, 'report.html'), 'utf8'), new RegExp(`--threads ${threads}`))
      const { sessions, ...workers } = command.recorded()
      assert.ok(sessions.length > 6, 'it has measured and quantised too')
      assert.deepEqual(workers, { stepping: threads, loading: threads })
      return { sessions, model: readFileSync(join(out, 'model.onnx')) }
    }
    const [one, both] = [await trained(1), await trained(2)]
    assert.deepEqual([...new Set(one.sessions)], [1])
    assert.deepEqual([...new Set(both.sessions)].sort(), [1, 2])
    assert.ok(one.model.equals(both.model))
  })

  it('bounds what measures and quantises', async () => {
    for (const command of ['evaluate', 'quantize']) {
      const files = command === 'evaluate' ? ['--model', model] : [model, '--force', '--out', join(folder, 'int8.onnx')]
      const running = muninn([command, ...files, '--data', folder, '--threads', '1'])
      const { code, err } = await running.ended()
      assert.equal(code, 0, err)
      assert.deepEqual([...new Set(running.recorded().sessions)], [1], command)
    }
  })

  it('bounds a trainer that works for a hub', async (t) => {
    const test = await startTestHub(t)
    const settings = await test.ask(Settings, 'GET', '/api/settings')
    await test.ask(Settings, 'PUT', '/api/settings', {
      ...settings,
      autoTrain: false,
      classes: [{ name: 'car', color: '#00ff00' }],
      training: { ...settings.training, epochs: 1, inputSize: 64, batch: 2 },
    })
    for (let i = 0; i < 8; i++) {
      const { jpeg, width, height } = await makeSample(i)
      await putLabelled(test.hub, { name: `${i}`, picture: { jpeg, width, height }, split: i < 6 ? 'train' : 'held-out' })
    }
    const { token } = await test.ask(Token, 'POST', '/api/tokens', { name: 'trainer', role: 'trainer' })
    const address = test.hub.app.server.address()
    assert.ok(typeof address === 'object' && address)
    const flags = ['--hub', `http://127.0.0.1:${address.port}`, '--data', join(folder, 'trainer'), '--device', 'cpu']
    const trainer = muninn(['trainer', ...flags, '--threads', '1'], { MUNINN_TOKEN: token! })
    t.after(() => trainer.child.kill('SIGKILL'))
    const { id } = await test.ask(Run, 'POST', '/api/runs', {})
    const run = () => test.ask(Run, 'GET', `/api/runs/${id}`)
    while (!['finished', 'failed'].includes((await run()).state)) await sleep(100)
    trainer.child.kill('SIGTERM')
    const { out } = await trainer.ended()
    assert.equal((await run()).state, 'finished', out)
    assert.match(out, /trains on cpu \(1 threads\)/)
    const { sessions, ...workers } = trainer.recorded()
    assert.deepEqual([...new Set(sessions)], [1])
    assert.deepEqual(workers, { stepping: 1, loading: 1 })
  })

  it('is a whole number from 1 to the cores', async () => {
    const flags = ['train', '--data', folder, '--out', join(folder, 'never'), '--threads']
    for (const wrong of ['0', '-1', '1.5', 'all', `${availableParallelism() + 1}`]) {
      const { code, err } = await muninn([...flags, wrong]).ended()
      const words = `muninn: --threads ${wrong}: a whole number from 1 to ${availableParallelism()}, the cores here, is wanted\n`
      assert.deepEqual([code, err], [2, words])
    }
  })

  it('is refused alike by whatever takes it, before anything is begun', async () => {
    const wanted = [
      ['trainer', '--hub', 'http://127.0.0.1:9', '--token', 'a-token', '--threads'],
      ['quantize', model, '--data', folder, '--out', join(folder, 'never.onnx'), '--threads'],
      ['evaluate', '--model', model, '--data', folder, '--threads'],
      ['up', '--data', join(folder, 'never'), '--trainer-threads'],
    ]
    for (const command of wanted) {
      const { code, err } = await muninn([...command, '0']).ended()
      assert.deepEqual([code, err.split(':')[1]], [2, ` ${command.at(-1)} 0`], err)
    }
    assert.ok(!readdirSync(folder).some((name) => name.startsWith('never')))
  })
})
