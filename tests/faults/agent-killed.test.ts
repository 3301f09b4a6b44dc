/** The real agent, killed -9 again and again while its camera shows and the hub's answers come and go: no sample it kept is lost. */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { parseEntryName } from '../../edge-agent/outbox/entry.ts'
import type { Status } from '../../protocol/topics.ts'
import { HubPlayer } from '../edge-agent/support/hub-player.ts'
import { temporaryFolder } from '../edge-agent/support/samples.ts'
import { publicKeyText } from '../edge-agent/support/spot-model.ts'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
const lives = 8

/** Pictures that differ, so that each is a sample of its own. */
async function pictures(folder: string, count: number): Promise<void> {
  mkdirSync(folder)
  for (let index = 0; index < count; index++) {
    const [width, height] = [160, 120]
    const data = new Uint8Array(width * height * 3).fill(40)
    for (let row = 0; row < 60; row++)
      data.fill(150 + (index % 100), (row * width + (index % 80)) * 3, (row * width + (index % 80) + 60) * 3)
    const path = join(folder, `${String(index).padStart(4, '0')}.jpg`)
    await sharp(data, { raw: { width, height, channels: 3 } })
      .jpeg()
      .toFile(path)
  }
}

describe('an agent that is killed', { timeout: 180_000 }, () => {
  it('delivers every sample that its outbox ever held', async (t) => {
    const folder = temporaryFolder(t)
    const hub = new HubPlayer()
    await hub.start()
    t.after(() => hub.stop())
    await pictures(join(folder, 'pictures'), 400)
    const config = `
device: ${hub.device}
hub: { url: "${hub.url}", password: ${hub.password} }
publicKey: ${publicKeyText}
dataFolder: data
mining: { cooldownSeconds: 0, novelty: 0.01, maxSamplesPerHour: 100000 }
cameras:
  - { id: north, source: pictures, realTime: false, loop: true }
`
    writeFileSync(join(folder, 'agent.yaml'), config)
    let child: ChildProcess | undefined
    t.after(() => child?.kill('SIGKILL'))
    const outbox = join(folder, 'data', 'outbox')
    const held = () =>
      (existsSync(outbox) ? readdirSync(outbox) : [])
        .map(parseEntryName)
        .filter((entry) => entry !== null)
        .map(({ id }) => id)
    const kept = new Set<string>()

    for (let life = 0; life < lives; life++) {
      // Some lives get no answer at all, others for every third sample only.
      hub.answer = ({ id }) => (life % 3 === 0 || (life % 3 === 1 && Number.parseInt(id[0]!, 16) % 3 > 0) ? 'silence' : 'ack')
      child = fork(program, ['agent', '--config', join(folder, 'agent.yaml'), '--log-level', 'error'], { stdio: 'inherit' })
      await once(hub, 'sample')
      await new Promise((resolve) => setTimeout(resolve, 200 + ((life * 137) % 900)))
      child.kill('SIGKILL')
      await once(child, 'exit')
      for (const id of held()) kept.add(id)
    }
    assert.ok(kept.size > 8, `only ${kept.size} samples were kept`)

    hub.answer = () => 'ack'
    // A film that ends: what comes anew for ever would be sent before what is worth less.
    writeFileSync(join(folder, 'agent.yaml'), config.replace('loop: true', 'loop: false'))
    child = fork(program, ['agent', '--config', join(folder, 'agent.yaml'), '--log-level', 'error'], { stdio: 'inherit' })
    // All may have arrived in an earlier life; a process that has not yet begun to listen for signals dies of SIGTERM.
    // The killed one's last will may still come, so it must say that it is online.
    for (let online = false; !online; ) [{ online }] = (await once(hub, 'status')) as [Status]
    while ([...kept].some((id) => !hub.samples.has(id))) await once(hub, 'sample')
    child.kill('SIGTERM')
    const [code, signal] = await once(child, 'exit')
    assert.deepEqual({ code, signal }, { code: 0, signal: null })
    // What came anew in the last moments may wait; nothing of it is torn.
    for (const name of readdirSync(outbox)) assert.ok(parseEntryName(name), `${name} is not a whole sample`)
  })
})
