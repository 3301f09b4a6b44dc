import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { describe, it, type TestContext } from 'node:test'
import sharp from 'sharp'
import { Agent } from '../../edge-agent/agent.ts'
import { parseAgentConfig } from '../../edge-agent/read-config.ts'
import type { MiningSettings } from '../../protocol/mining.ts'
import type { Desired, Telemetry } from '../../protocol/topics.ts'
import { HubPlayer } from './support/hub-player.ts'
import { silent, temporaryFolder } from './support/samples.ts'
import { SpotCamera } from './support/spot-camera.ts'
import { publicKeyText, type Release, release, spotModel } from './support/spot-model.ts'

const mining: MiningSettings = {
  lowConfidence: { from: 0.15, to: 0.45 },
  auditShare: 0.01,
  motion: 0.02,
  novelty: 0.25,
  cooldownSeconds: 0.1,
  maxSamplesPerHour: 100_000,
  maxBytesPerHour: 50_000_000,
  jpegQuality: 88,
}

const configText = (hub: HubPlayer, folder: string, more = '') => `
device: ${hub.device}
hub: { url: "${hub.url}", password: ${hub.password} }
publicKey: ${publicKeyText}
dataFolder: ${folder}
threads: 1
cameras:
  - { id: north, source: demo://spots }
  - { id: south, source: demo://spots }
${more}`

async function system(t: TestContext) {
  const hub = new HubPlayer()
  await hub.start()
  const folder = temporaryFolder(t)
  const cameras: SpotCamera[] = []
  const make = () => {
    cameras.length = 0
    return new Agent({
      config: parseAgentConfig(configText(hub, folder), '/etc/agent.yaml'),
      version: 'test',
      log: silent,
      telemetryInterval: 100,
      openCamera: ({ id }) => {
        const camera = new SpotCamera(id)
        cameras.push(camera)
        return camera
      },
    })
  }
  const life = { agent: make() }
  t.after(async () => {
    await life.agent.stop()
    await hub.stop()
  })
  return { hub, cameras, life, make }
}

function ask(hub: HubPlayer, deployment: number, model: Release | null, change: Partial<Desired> = {}): void {
  if (model) {
    hub.publishFile(model.sha256, model.file)
    hub.publishFile(model.selfTestSha256, model.selfTest)
  }
  hub.send('desired', {
    v: 1,
    deployment,
    model: model?.signed ?? null,
    probationSeconds: 0.3,
    mining,
    at: Date.now(),
    ...change,
  })
}

describe('agent', { timeout: 120_000 }, () => {
  it('sends frames without a model, takes a first model, and then sends what that one doubts', async (t) => {
    const { hub, cameras, life } = await system(t)
    ask(hub, 0, null)
    await life.agent.start()
    await hub.received(4)
    for (const sample of hub.samples.values()) {
      assert.equal(sample.model, null)
      assert.ok(sample.audit || sample.reasons.some((reason) => reason === 'cold-start' || reason === 'novelty'))
      assert.equal(createHash('sha256').update(sample.jpeg).digest('hex'), sample.id)
      const { width, height } = await sharp(sample.jpeg).metadata()
      assert.deepEqual([width, height], [sample.width, sample.height])
      assert.equal(sample.truth!.length, 1)
    }
    const model = await release()
    ask(hub, 1, model)
    assert.equal(
      (await hub.deployment(({ deployment, state }) => deployment === 1 && state === 'confirmed')).running,
      model.sha256,
    )
    while (hub.statuses.at(-1)!.model !== model.sha256) await once(hub, 'status')
    assert.equal(hub.statuses.at(-1)!.slot, 'a')
    // So dim that the model gives about 0.42; the padding around the picture is dimmer still.
    for (const camera of cameras) camera.brightness = 120
    for (;;) {
      const [sample] = await once(hub, 'sample')
      if (!sample.reasons.includes('low-confidence')) continue
      assert.equal(sample.model, model.sha256)
      const [found] = sample.detections
      assert.equal(found.label, 'spot')
      assert.ok(found.score > 0.15 && found.score < 0.45)
      for (const [index, at] of found.box.entries()) assert.ok(Math.abs(at - sample.truth[0].box[index]) <= 2)
      assert.equal(sample.embedding.byteLength, 64 * 4)
      break
    }
  })

  it('changes models without dropping a camera, and goes back when the new one fails', async (t) => {
    const { hub, cameras, life } = await system(t)
    const first = await release({ gain: 0.8 })
    ask(hub, 1, first)
    await life.agent.start()
    await hub.deployment(({ deployment, state }) => deployment === 1 && state === 'confirmed')
    const bad = await release({ file: spotModel({ failsAbove: 0.95 }), version: 2 })
    ask(hub, 2, bad, { probationSeconds: 60 })
    await hub.deployment(({ deployment, state }) => deployment === 2 && state === 'probation')
    for (const camera of cameras) camera.brightness = 255
    const report = await hub.deployment(({ deployment, state }) => deployment === 2 && state === 'rolled-back')
    assert.match(report.reason, /NaN/)
    assert.equal(report.running, first.sha256)
    while (hub.statuses.at(-1)!.model !== first.sha256) await once(hub, 'status')
    const [before] = await once(hub, 'telemetry')
    const grew = (now: Telemetry) => now.cameras.every(({ frames }, index) => frames > before.cameras[index].frames)
    let [after] = await once(hub, 'telemetry')
    while (!grew(after)) [after] = await once(hub, 'telemetry')
    assert.ok(after.cameras[0].inferenceMilliseconds > 0)
  })

  it('keeps its samples through a restart and a hub that is away', async (t) => {
    const { hub, life, make } = await system(t)
    await hub.stop()
    await life.agent.start()
    const deadline = Date.now() + 1500
    while (Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50))
    await life.agent.stop()
    assert.equal(hub.samples.size, 0)
    life.agent = make()
    await life.agent.start()
    await hub.start()
    await hub.received(1)
  })

  it('sends previews only while someone watches, and says goodbye when it stops', async (t) => {
    const { hub, life } = await system(t)
    await life.agent.start()
    let previews = 0
    hub.on('preview', () => previews++)
    await once(hub, 'telemetry')
    await once(hub, 'telemetry')
    assert.equal(previews, 0)
    hub.send('watch', { v: 1, seconds: 5 })
    const [preview] = await once(hub, 'preview')
    assert.equal((await sharp(preview.jpeg).metadata()).format, 'jpeg')
    await life.agent.stop()
    while (hub.statuses.at(-1)!.online) await once(hub, 'status')
  })
})

describe('agent.yaml', () => {
  const hub = { device: 'device-1', url: 'mqtt://127.0.0.1:1', password: 'secret' } as HubPlayer
  it('is read with its defaults, and paths from its own folder', () => {
    const config = parseAgentConfig(configText(hub, 'data'), '/etc/muninn/agent.yaml')
    assert.equal(config.dataFolder, '/etc/muninn/data')
    assert.equal(config.outbox.inFlight, 16)
    assert.equal(config.cameras[0]!.source, 'demo://spots')
    assert.ok(Object.isFrozen(config.cameras[0]))
  })
  const faults: [string, string, RegExp][] = [
    ['an unknown key', configText(hub, 'data', 'colour: red'), /agent\.yaml:\d+: .*colour/s],
    ['a wrong value, with its line', configText(hub, 'data').replace('threads: 1', 'threads: many'), /agent\.yaml:6: \/threads/],
    ['a missing field', configText(hub, 'data').replace(/publicKey.*\n/, ''), /publicKey/],
    ['broken YAML', 'device: [', /agent\.yaml:\d+: /],
    ['several faults at once', configText(hub, 'data', 'x: 1').replace('threads: 1', 'threads: -1'), /\(x\).*\/threads/s],
  ]
  for (const [what, text, words] of faults)
    it(`is refused for ${what}`, () => assert.throws(() => parseAgentConfig(text, 'agent.yaml'), words))
})
