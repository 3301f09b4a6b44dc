/** A container or `taskset` may give a trainer some of the machine's cores only: threads for the others would be in each other's way. */
import assert from 'node:assert/strict'
import { execFile, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { setInterval as every } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import sharp from 'sharp'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
const model = fileURLToPath(new URL('../../../trainer/base/demo-street.onnx', import.meta.url))
const noTaskset = spawnSync('taskset', ['--version']).status === 0 ? false : 'no taskset is installed'
const single = availableParallelism() < 2 && 'there is only one core'

describe('a command with one of the cores', { timeout: 120_000, skip: noTaskset || single }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'muninn-cores-'))
  let core = ''
  before(async () => {
    core = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]!
    for (const part of ['images', 'labels']) mkdirSync(join(folder, part))
    writeFileSync(join(folder, 'data.yaml'), 'names: [car]\n')
    for (let i = 0; i < 40; i++) {
      const background = { r: i * 6, g: 90, b: 120 }
      await sharp({ create: { width: 64, height: 64, channels: 3, background } }).toFile(join(folder, 'images', `${i}.png`))
      writeFileSync(join(folder, 'labels', `${i}.txt`), '0 0.5 0.5 0.4 0.4\n')
    }
  })
  after(() => rmSync(folder, { recursive: true }))
  const onCore = (...args: string[]) => ['-c', core, process.execPath, program, ...args]

  it('takes the steps of a training on one thread', async () => {
    const flags = ['--size', '64', '--batch', '1', '--epochs', '1', '--device', 'cpu', '--base', 'none', '--no-quantize']
    const command = onCore('train', '--data', folder, '--out', join(folder, 'out'), ...flags)
    const { stdout } = await promisify(execFile)('taskset', command)
    assert.match(stdout, /trains on cpu \(1 threads\), as asked for/)
  })

  it('has no thread on another one while it measures', async () => {
    const child = spawn('taskset', onCore('evaluate', '--model', model, '--data', folder), {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const said = text(child.stdout)
    const allowed = new Set<string>()
    for await (const _ of every(5)) {
      if (child.exitCode !== null) break
      try {
        // Before taskset has become the program, its thread has all cores.
        if (!readFileSync(`/proc/${child.pid}/cmdline`, 'utf8').startsWith(process.execPath)) continue
        for (const id of readdirSync(`/proc/${child.pid}/task`))
          allowed.add(/^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync(`/proc/${child.pid}/task/${id}/status`, 'utf8'))![1]!)
      } catch {
        // It or a thread of it has ended.
      }
    }
    assert.match(await said, /AP50/)
    assert.deepEqual([...allowed], [core])
  })
})
