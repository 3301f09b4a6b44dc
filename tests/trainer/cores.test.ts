/** A container or `taskset` may give a trainer some of the machine's cores only: threads for the others would be in each other's way. */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import sharp from 'sharp'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
const noTaskset = spawnSync('taskset', ['--version']).status === 0 ? false : 'no taskset is installed'

describe('a trainer', { timeout: 120_000, skip: noTaskset || (availableParallelism() < 2 && 'there is only one core') }, () => {
  it('takes the steps on as many threads as it may use cores', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'muninn-cores-'))
    t.after(() => rmSync(folder, { recursive: true }))
    for (const part of ['images', 'labels']) mkdirSync(join(folder, part))
    writeFileSync(join(folder, 'data.yaml'), 'names: [box]\n')
    await sharp({ create: { width: 64, height: 64, channels: 3, background: 'teal' } }).toFile(join(folder, 'images', '1.png'))
    writeFileSync(join(folder, 'labels', '1.txt'), '0 0.5 0.5 0.4 0.4\n')
    const flags = ['--size', '64', '--batch', '1', '--epochs', '1', '--device', 'cpu', '--base', 'none']
    const [, core] = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))!
    const command = ['-c', core!, process.execPath, program, 'train', '--data', folder, '--out', join(folder, 'out'), ...flags]
    const { stdout } = await promisify(execFile)('taskset', command)
    assert.match(stdout, /trains on cpu \(1 threads\), as asked for/)
  })
})
