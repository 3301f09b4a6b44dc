/** The real agent against the real hub over real MQTT: what each says, the other takes. Only the camera draws its pictures itself. */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent } from '../../edge-agent/agent.ts'
import { parseAgentConfig } from '../../edge-agent/read-config.ts'
import { Device, DevicePage, Enrolment, Settings } from '../../protocol/http/fleet.ts'
import { SamplePage } from '../../protocol/http/labelling.ts'
import { ModelVersion } from '../../protocol/http/models.ts'
import { downTopic } from '../../protocol/topics.ts'
import { silent, temporaryFolder } from '../edge-agent/support/samples.ts'
import { SpotCamera } from '../edge-agent/support/spot-camera.ts'
import { labels, release, side, spotModel } from '../edge-agent/support/spot-model.ts'
import { startTestHub, type TestHub } from '../support/hub.ts'

async function until<T>(ask: () => Promise<T>, done: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask()
    if (done(answer)) return answer
    await sleep(50)
  }
}

async function enrolledAgent(t: TestContext, test: TestHub) {
  const enrolment = await test.ask(Enrolment, 'POST', '/api/devices', { id: 'crossing-7' })
  const folder = temporaryFolder(t)
  const given = enrolment.config.replace(/source: .*/, 'source: demo://spots').replace(/dataFolder: .*/, `dataFolder: ${folder}`)
  const config = parseAgentConfig(given, `${folder}/agent.yaml`)
  const camera = new SpotCamera(config.cameras[0]!.id)
  const agent = new Agent({ config, version: 'test', log: silent, telemetryInterval: 200, openCamera: () => camera })
  t.after(() => agent.stop())
  return { agent, camera }
}

describe('agent and hub', { timeout: 120_000 }, () => {
  it('agree on samples, acks, models, deployments, status, telemetry and previews', async (t) => {
    const test = await startTestHub(t)
    const settings = await test.ask(Settings, 'GET', '/api/settings')
    await test.ask(Settings, 'PUT', '/api/settings', {
      ...settings,
      classes: labels.map((name) => ({ name, color: '#e8590c' })),
      autoTrain: false,
      mining: { ...settings.mining, cooldownSeconds: 0.2, maxSamplesPerHour: 10_000, auditShare: 0.05 },
      rollout: { canaries: 1, probationSeconds: 1 },
    })
    const { agent } = await enrolledAgent(t, test)
    await agent.start()

    const devices = async () => (await test.ask(DevicePage, 'GET', '/api/devices')).devices
    const [online] = await until(
      devices,
      ([device]) => device?.online === true && (device.telemetry?.cameras[0]?.frames ?? 0) > 0,
    )
    assert.equal(online!.status!.cameras[0]!.state, 'live')

    const meta = {
      name: 'spots',
      classes: labels,
      input: { width: side, height: side, resize: 'letterbox' },
      architecture: 'spot',
      thresholds: {},
      champion: true,
    }
    const model = await test.ask(
      ModelVersion,
      'POST',
      `/api/models?meta=${encodeURIComponent(JSON.stringify(meta))}`,
      spotModel(),
    )
    const [running] = await until(devices, ([device]) => device?.deployment?.state === 'confirmed')
    assert.equal(running!.deployment!.running, model.sha256)
    assert.equal(running!.status!.model, model.sha256)

    const samples = () => test.ask(SamplePage, 'GET', '/api/samples')
    const page = await until(samples, ({ samples }) => samples.some((sample) => sample.model === model.sha256))
    assert.ok(
      page.samples.some((sample) => sample.model === null),
      'those of the cold start are there too',
    )
    // Nothing more is mined: a camera that is quicker than a busy machine's hub would keep the outbox filled for ever.
    const now = await test.ask(Settings, 'GET', '/api/settings')
    await test.ask(Settings, 'PUT', '/api/settings', { ...now, mining: { ...now.mining, maxSamplesPerHour: 0, auditShare: 0 } })
    await until(devices, ([device]) => device?.telemetry?.outbox.samples === 0 && device.telemetry.outbox.refused === 0)

    const previews = () => test.request('GET', '/api/devices/crossing-7/previews/camera-1')
    await test.request('GET', '/api/devices/crossing-7/previews')
    assert.equal((await until(previews, ({ status }) => status === 200)).bytes.subarray(0, 2).toString('hex'), 'ffd8')

    await agent.stop()
    await until(devices, ([device]) => device?.online === false)
  })

  it('refuse a model that another key signed: told, counted, and the cameras go on with the one that runs', async (t) => {
    const test = await startTestHub(t)
    const settings = await test.ask(Settings, 'GET', '/api/settings')
    const mining = { ...settings.mining, cooldownSeconds: 0.2, maxSamplesPerHour: 10_000, auditShare: 0.05 }
    await test.ask(Settings, 'PUT', '/api/settings', { ...settings, mining, rollout: { canaries: 1, probationSeconds: 0 } })
    const { agent } = await enrolledAgent(t, test)
    await agent.start()
    const input = { width: side, height: side, resize: 'letterbox' }
    const meta = { name: 'spots', classes: labels, input, architecture: 'spot', thresholds: {}, champion: true }
    const url = `/api/models?meta=${encodeURIComponent(JSON.stringify(meta))}`
    const model = await test.ask(ModelVersion, 'POST', url, spotModel())
    const device = () => test.ask(Device, 'GET', '/api/devices/crossing-7')
    const { deployment: good } = await until(device, ({ deployment }) => deployment?.state === 'confirmed')

    // Whoever took the broker over, or wrote into its retained messages, has another key than the hub's.
    const forged = await release({ gain: 0.8 })
    const wish = { v: 1, deployment: good!.deployment + 1, model: forged.signed, probationSeconds: 0, mining, at: Date.now() }
    await test.hub.broker.publish(downTopic('crossing-7', 'desired'), JSON.stringify(wish), { retain: true, qos: 1 })
    const refused = await until(device, ({ deployment }) => deployment?.deployment === wish.deployment)
    const after = await until(device, ({ deployment }) => deployment?.state === 'refused')
    assert.match(after.deployment!.reason, /not signed by the hub/)
    assert.deepEqual([after.deployment!.running, after.status!.model], [model.sha256, model.sha256])
    const frames = ({ telemetry }: Device) => telemetry?.cameras[0]?.frames ?? 0
    const later = await until(device, (now) => frames(now) > frames(refused) + 5)
    assert.deepEqual([later.online, later.telemetry!.model], [true, model.sha256])
    const metrics = String((await test.request('GET', '/metrics')).body)
    assert.match(metrics, /^muninn_deployments_total\{state="refused"\} 1$/m)
    assert.match(metrics, /^muninn_deployments_total\{state="confirmed"\} 1$/m)
  })
})
