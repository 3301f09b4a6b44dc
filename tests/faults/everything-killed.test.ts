/**
 * Agent, hub and broker (Mosquitto) as their own processes, each killed -9 at random instants while a camera shows: every sample that the
 * outbox ever held is in the database with its picture, once. A seed gives the order and the instants of the kills.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { randomOf } from '../../edge-agent/demo/random.ts'
import { parseEntryName } from '../../edge-agent/outbox/entry.ts'
import { DiskBlobs } from '../../hub/blobs/disk-blobs.ts'
import { DiskSpace } from '../../hub/blobs/disk-space.ts'
import { openDatabase } from '../../hub/database/database.ts'
import { Enrolment } from '../../protocol/http/fleet.ts'
import { parse } from '../../protocol/parse.ts'
import { temporaryFolder } from '../edge-agent/support/samples.ts'
import { sha256 } from '../support/labelled-sample.ts'
import { noMosquitto, startMosquitto } from '../support/mosquitto.ts'

const token = 'a-token-for-this-test'
const agentProgram = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
const hubProgram = fileURLToPath(new URL('../../hub/main.js', import.meta.url))
const seeds = [1, 2, 3]
/** More than are sent before the last kill, on a quick machine as well. */
const pictureCount = 1000
/** How many more samples the outbox must have been seen to hold before each kill, so that every kill has something to lose. */
const atStake = 5
const victims = ['agent', 'hub', 'broker'] as const

async function pictures(folder: string, random: () => number): Promise<void> {
  mkdirSync(folder)
  const [width, height] = [160, 120]
  for (let index = 0; index < pictureCount; index++) {
    const data = new Uint8Array(width * height * 3).fill(40)
    const [left, top] = [Math.floor(random() * 90), Math.floor(random() * 60)]
    const shade = 100 + Math.floor(random() * 150)
    for (let row = top; row < top + 60; row++) data.fill(shade, (row * width + left) * 3, (row * width + left + 70) * 3)
    await sharp(data, { raw: { width, height, channels: 3 } })
      .jpeg()
      .toFile(join(folder, `${String(index).padStart(4, '0')}.jpg`))
  }
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

async function play(t: TestContext, seed: number): Promise<void> {
  const random = randomOf(seed)
  const folder = temporaryFolder(t)
  const mosquitto = await startMosquitto(t)
  await pictures(join(folder, 'pictures'), random)
  let url = ''
  const startHub = async () => {
    const flags = ['--data', join(folder, 'hub'), '--port', '0', '--broker', mosquitto.url, '--log-level', 'error']
    const env = { ...process.env, MUNINN_BOOTSTRAP_TOKEN: token }
    const child = fork(hubProgram, flags, { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const [ready] = (await once(child, 'message')) as [{ url: string }]
    url = ready.url
    return child
  }
  const startAgent = () =>
    fork(agentProgram, ['agent', '--config', join(folder, 'agent.yaml'), '--log-level', 'error'], { stdio: 'inherit' })
  let hub = await startHub()
  let agent: ChildProcess | undefined
  t.after(async () => {
    await killed(hub)
    if (agent) await killed(agent)
  })
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const answer = await fetch(`${url}/api/devices`, { method: 'POST', headers, body: JSON.stringify({ id: 'gate-1' }) })
  const enrolment = parse(Enrolment, await answer.json(), 'enrolment')
  writeFileSync(
    join(folder, 'agent.yaml'),
    `
device: gate-1
hub: { url: "${mosquitto.url}", password: ${enrolment.password} }
publicKey: ${enrolment.publicKey}
dataFolder: agent
mining: { cooldownSeconds: 0, novelty: 0.01, maxSamplesPerHour: 100000 }
cameras:
  - { id: north, source: pictures, realTime: false, loop: true }
`,
  )
  const outbox = join(folder, 'agent', 'outbox')
  const kept = new Set<string>()
  const look = () => {
    const entries = (existsSync(outbox) ? readdirSync(outbox) : []).map(parseEntryName).filter((entry) => entry !== null)
    for (const { id } of entries) kept.add(id)
    return entries.length
  }
  const stored = async () => {
    const knex = openDatabase({ folder: join(folder, 'hub') })
    const rows: { id: string; task: number | null }[] = await knex('samples')
      .leftJoin('tasks', 'tasks.sample_id', 'samples.id')
      .select('samples.id', { task: 'tasks.id' })
    await knex.destroy()
    return rows
  }

  agent = startAgent()
  const order = victims.map((victim) => ({ victim, at: random() })).sort((a, b) => a.at - b.at)
  for (const { victim } of order) {
    const before = kept.size
    while (kept.size < before + atStake && before < pictureCount - 50) {
      look()
      await sleep(20)
    }
    await sleep(random() * 600)
    look()
    if (victim === 'agent') {
      await killed(agent)
      look()
      agent = startAgent()
    } else if (victim === 'hub') {
      await killed(hub)
      look()
      hub = await startHub()
    } else {
      await mosquitto.kill()
      await sleep(random() * 300)
      look()
      await mosquitto.restart()
    }
  }
  const missing = async () => {
    const there = new Set((await stored()).map(({ id }) => id))
    return [...kept].filter((id) => !there.has(id))
  }
  while ((await missing()).length > 0) await sleep(300)
  await killed(agent)
  await killed(hub)

  const rows = await stored()
  assert.equal(new Set(rows.map(({ id }) => id)).size, rows.length, 'no sample has two rows or two tasks')
  const blobs = new DiskBlobs({ folder: join(folder, 'hub', 'blobs'), space: new DiskSpace({ folder }) })
  for (const { id, task } of rows) {
    assert.notEqual(task, null, `sample ${id} has a task`)
    assert.equal(sha256(await blobs.get(id)), id, 'its picture is whole')
  }
}

describe('agent, hub and broker that are killed', { skip: noMosquitto }, () => {
  for (const seed of seeds)
    it(
      `lose no sample that an outbox held, and store none twice (seed ${seed})`,
      { timeout: 300_000 },
      async (t) => await play(t, seed),
    )
})
