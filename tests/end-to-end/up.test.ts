/** `muninn up` starts its trainer with what makes a training light: nothing else would show that it was lost but the memory, a tenth more. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { trainerEnvironment } from '../../trainer/environment.ts'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))

/** What a process was started with, as Linux tells it. */
const startedWith = (pid: number | string, what: 'cmdline' | 'environ') =>
  readFileSync(`/proc/${pid}/${what}`, 'utf8').split('\0')
const childrenOf = (pid: number) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')

describe('muninn up', { skip: process.platform !== 'linux' && 'only Linux shows it', timeout: 120_000 }, () => {
  it('gives its trainer the environment of one', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'muninn-up-'))
    const camera = join(folder, 'camera')
    mkdirSync(camera)
    await sharp({ create: { width: 64, height: 64, channels: 3, background: 'teal' } }).toFile(join(camera, '1.png'))
    const up = spawn(process.execPath, [program, 'up', '--data', join(folder, 'data'), '--camera', camera], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const gone = once(up, 'exit')
    t.after(async () => {
      up.kill('SIGTERM')
      await gone
      rmSync(folder, { recursive: true })
    })
    for await (const line of createInterface({ input: up.stdout })) if (line.includes('Muninn is running')) break
    const trainer = childrenOf(up.pid!).find((pid) => startedWith(pid, 'cmdline').includes('trainer'))
    assert.ok(trainer, 'it has a trainer')
    const environment = startedWith(trainer, 'environ')
    for (const [name, value] of Object.entries(trainerEnvironment)) assert.ok(environment.includes(`${name}=${value}`), name)
  })
})
