/** The hub is killed at random instants while samples come in: what it acknowledged is there, and nothing is there twice. */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { DiskBlobs } from '../../hub/blobs/disk-blobs.ts'
import { DiskSpace } from '../../hub/blobs/disk-space.ts'
import { openDatabase } from '../../hub/database/database.ts'
import { Enrolment } from '../../protocol/http/fleet.ts'
import { parse } from '../../protocol/parse.ts'
import type { Sample } from '../../protocol/topics.ts'
import { DevicePlayer } from '../support/device-player.ts'
import { sha256 } from '../support/labelled-sample.ts'
import { makeSample } from '../support/sample.ts'

const token = 'a-token-for-this-test'
const program = fileURLToPath(new URL('../../hub/main.js', import.meta.url))
const kills = 4
const count = 120

interface Running {
  readonly child: ChildProcess
  readonly url: string
  readonly mqttUrl: string
}

async function start(folder: string): Promise<Running> {
  const child = fork(program, ['--data', folder, '--port', '0', '--mqtt-port', '0', '--log-level', 'error'], {
    env: { ...process.env, MUNINN_BOOTSTRAP_TOKEN: token },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const [ready] = (await once(child, 'message')) as [{ url: string; mqttUrl: string }]
  return { child, ...ready }
}

async function kill({ child }: Running): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

describe('a hub that is killed', { timeout: 120_000 }, () => {
  it('has every sample that it acknowledged, once', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'muninn-kill-'))
    let hub = await start(folder)
    t.after(async () => {
      if (hub.child.exitCode === null && hub.child.signalCode === null) await kill(hub)
      rmSync(folder, { recursive: true, force: true })
    })
    const answer = await fetch(`${hub.url}/api/devices`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ id: 'gate-1' }),
    })
    const enrolment = parse(Enrolment, await answer.json(), 'enrolment')

    const unanswered = new Map<string, Sample>()
    for (let i = 0; i < count; i++) {
      const sample = await makeSample(i)
      unanswered.set(sample.id, sample)
    }
    const acknowledged = new Set<string>()
    for (let life = 0; unanswered.size > 0; life++) {
      const device = await DevicePlayer.connect(enrolment, hub.mqttUrl)
      const dead = life < kills ? sleep(30 + Math.random() * 300).then(() => kill(hub)) : null
      await Promise.race([sendAll(device, unanswered, dead === null), ...(dead ? [dead] : [])])
      await dead
      await device.stop()
      for (const { ids } of device.acks) {
        for (const id of ids) {
          acknowledged.add(id)
          unanswered.delete(id)
        }
      }
      assert.deepEqual(
        device.acks.flatMap(({ refused }) => refused),
        [],
      )
      if (dead) {
        await assertStored(folder, acknowledged)
        hub = await start(folder)
      }
    }
    await kill(hub)
    assert.equal(await assertStored(folder, acknowledged), count)
  })
})

/** Sends everything, several at a time as a device does; with `untilAnswered` it waits for every answer. */
async function sendAll(device: DevicePlayer, samples: ReadonlyMap<string, Sample>, untilAnswered: boolean): Promise<void> {
  const waiting = [...samples.values()]
  const worker = async () => {
    for (let sample = waiting.pop(); sample; sample = waiting.pop()) await device.sendSample(sample)
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  if (untilAnswered) for (const id of samples.keys()) await device.answerTo(id)
}

/** Reads the folder of a hub that is not running. @returns how many samples it has */
async function assertStored(folder: string, acknowledged: ReadonlySet<string>): Promise<number> {
  const knex = openDatabase({ folder })
  const blobs = new DiskBlobs({ folder: join(folder, 'blobs'), space: new DiskSpace({ folder }) })
  const rows: { id: string; task: number | null }[] = await knex('samples')
    .leftJoin('tasks', 'tasks.sample_id', 'samples.id')
    .select('samples.id', { task: 'tasks.id' })
  await knex.destroy()
  const stored = new Set(rows.map(({ id }) => id))
  assert.equal(stored.size, rows.length, 'no sample has two rows or two tasks')
  for (const { id, task } of rows) {
    assert.notEqual(task, null, `sample ${id} has a task`)
    assert.equal(sha256(await blobs.get(id)), id, 'its picture is whole')
  }
  for (const id of acknowledged) assert.ok(stored.has(id), `acknowledged sample ${id} is there`)
  return rows.length
}
