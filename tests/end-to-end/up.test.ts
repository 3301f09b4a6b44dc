/** `muninn up` starts its trainer with what makes a training light beside the other parts; nothing else would show soon that it was lost. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { trainerEnvironment } from '../../trainer/environment.ts'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))

/** What a process was started with, as Linux tells it. */
const startedWith = (pid: number | string, what: 'cmdline' | 'environ') =>
  readFileSync(`/proc/${pid}/${what}`, 'utf8').split('\0')
/** Of all its threads. */
const nicenessOf = (pid: number | string) => readdirSync(`/proc/${pid}/task`).map((id) => getPriority(Number(id)))
const childrenOf = (pid: number) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')

describe('muninn up', { skip: process.platform !== 'linux' && 'only Linux shows it', timeout: 120_000 }, () => {
  it('gives its trainer the environment of one, the cores it is told, and a lower priority than the others', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'muninn-up-'))
    const camera = join(folder, 'camera')
    mkdirSync(camera)
    await sharp({ create: { width: 64, height: 64, channels: 3, background: 'teal' } }).toFile(join(camera, '1.png'))
    const up = spawn(
      process.execPath,
      [program, 'up', '--data', join(folder, 'data'), '--camera', camera, '--trainer-threads', '1'],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    const gone = once(up, 'exit')
    t.after(async () => {
      up.kill('SIGTERM')
      await gone
      rmSync(folder, { recursive: true })
    })
    for await (const line of createInterface({ input: up.stdout })) if (line.includes('Muninn is running')) break
    const [hub, trainer, device] = ['hub', 'trainer', 'agent'].map((name) =>
      childrenOf(up.pid!).find((pid) => startedWith(pid, 'cmdline').includes(name)),
    )
    assert.ok(hub && trainer && device, 'it has all parts')
    const environment = startedWith(trainer, 'environ')
    for (const [name, value] of Object.entries(trainerEnvironment)) assert.ok(environment.includes(`${name}=${value}`), name)
    const log = join(folder, 'data', 'logs', 'trainer.log')
    while (!existsSync(log) || !readFileSync(log, 'utf8').includes('works for')) await sleep(50)
    assert.match(readFileSync(log, 'utf8'), /--threads 1$/m)
    assert.ok(nicenessOf(trainer).every((each) => each >= 10))
    for (const pid of [hub, device]) assert.ok(nicenessOf(pid).includes(getPriority()))
    if (!existsSync('/proc/self/autogroup')) return
    const sessions = [hub, trainer, device].map((pid) => readFileSync(`/proc/${pid}/autogroup`, 'utf8'))
    assert.deepEqual(
      sessions.map((each) => /nice \d+/.exec(each)![0]),
      ['nice 0', 'nice 10', 'nice 0'],
    )
  })
})
