/** The whole loop with everything real: frame, MQTT, queue, a browser that draws and accepts, training, gate, rollout, the device runs the new file. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { DevicePage, Overview, Settings } from '../../protocol/http/fleet.ts'
import { Demo, QueueCounts, SamplePage } from '../../protocol/http/labelling.ts'
import { ModelVersion } from '../../protocol/http/models.ts'
import { Run } from '../../protocol/http/runs.ts'
import { describeDeployedModel } from '../../trainer/adapters/adopt-file.ts'
import { noBrowser, startBrowser } from '../support/browser.ts'
import { noMosquitto, startMosquitto } from '../support/mosquitto.ts'
import { startDevice, startHub, startTrainer, waitFor } from '../support/system.ts'

const base = fileURLToPath(new URL('../../../trainer/base/demo-street.onnx', import.meta.url))

const brokers = [
  { name: 'the embedded broker', external: false, skip: false },
  { name: 'Mosquitto', external: true, skip: noMosquitto },
] as const

describe('the loop, end to end', { skip: noBrowser }, () => {
  for (const { name, external, skip } of brokers)
    it(
      `turns once over ${name}: a person labels in the page, a model is trained, proved, rolled out, and runs on the device`,
      {
        timeout: 480_000,
        skip,
      },
      (t) => turn(t, external),
    )
})

async function turn(t: TestContext, external: boolean): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'muninn-loop-'))
  // What is still being stopped may write a last file into it.
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 }))
  const flags = external ? ['--broker', (await startMosquitto(t)).url] : []
  const hub = await startHub(folder, ['--demo', ...flags])
  t.after(() => hub.child.stop())
  const { api } = hub
  const settings = await api.get('/api/settings', Settings)
  const { classes, input, architecture, thresholds } = await describeDeployedModel(base)
  await api.send(
    'PUT',
    '/api/settings',
    {
      ...settings,
      classes: classes.map((name) => ({ name, color: '#e8590c' })),
      labelsPerRound: 8,
      autoDeploy: true,
      heldOutShare: 0.4,
      // A minute of learning shows that the loop turns; how much it gains is measured by the benchmark.
      gate: { minimumGain: -1, tolerance: 1, maximumClassLoss: 1, minimumImages: 2, firstModelMinimum: 0 },
      training: { ...settings.training, minutes: 0.15, epochs: 2 },
      mining: { ...settings.mining, cooldownSeconds: 0.5, auditShare: 0.1, maxSamplesPerHour: 3600 },
      rollout: { canaries: 1, probationSeconds: 2 },
    },
    Settings,
  )
  const meta = encodeURIComponent(JSON.stringify({ name: 'base', classes, input, architecture, thresholds, champion: true }))
  const champion = await api.send('POST', `/api/models?meta=${meta}`, readFileSync(base), ModelVersion)
  const device = await startDevice(hub, folder, [{ source: 'demo://street?seed=2&day=0' }])
  t.after(() => device.stop())
  const trainer = await startTrainer(hub, folder)
  t.after(() => trainer.stop())

  await waitFor(api, '/api/devices', DevicePage, ({ devices: [first] }) => first?.status?.model === champion.sha256, 60)
  await waitFor(api, '/api/tasks/counts', QueueCounts, ({ open }) => open >= 2, 60)

  const page = await (await startBrowser(t)).newPage({ viewport: { width: 1400, height: 860 } })
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  await page.goto(hub.signInUrl)
  await page.getByText('Latest hard frames').waitFor()
  assert.ok(!page.url().includes('token'), 'the token is out of the address bar')
  await page.getByRole('link', { name: /Label/ }).first().click()
  const canvas = page.getByTestId('canvas')
  await canvas.waitFor()
  await page.getByText(/Boxes \(\d+\)/).waitFor()
  const boxes = async () => Number(/\((\d+)\)/.exec((await page.getByText(/Boxes \(\d+\)/).textContent()) ?? '')?.[1])
  const before = await boxes()
  const room = (await canvas.boundingBox())!
  // Shift draws even where the pointer is inside another box.
  await page.keyboard.down('Shift')
  await page.mouse.move(room.x + room.width * 0.46, room.y + room.height * 0.72)
  await page.mouse.down()
  await page.mouse.move(room.x + room.width * 0.5, room.y + room.height * 0.78, { steps: 5 })
  await page.mouse.move(room.x + room.width * 0.54, room.y + room.height * 0.82, { steps: 5 })
  await page.mouse.up()
  await page.keyboard.up('Shift')
  assert.equal(await boxes(), before + 1)
  await page.keyboard.press('Control+z')
  assert.equal(await boxes(), before)
  await page.keyboard.press('Control+Shift+z')
  assert.equal(await boxes(), before + 1)
  await page.keyboard.press('Enter')
  const accepted = await waitFor(api, '/api/samples?state=accepted&limit=5', SamplePage, ({ samples }) => samples.length >= 1, 30)
  const drawn = accepted.samples.flatMap(({ annotations }) => annotations ?? []).filter(({ source }) => source === 'person')
  assert.ok(drawn.length >= 1, "the person's own box is kept as such")

  // The other pictures are answered by the street's own truth, as the button on the overview does it.
  await api.send('POST', '/api/demo', { selfLabel: 'at-once' }, Demo)
  const done = await waitFor(
    api,
    '/api/overview',
    Overview,
    ({ rounds }) => rounds.some(({ state }) => state === 'done' || state === 'stopped'),
    300,
  )
  const round = done.rounds.find(({ state }) => state === 'done')
  assert.ok(round, `the round ended otherwise: ${JSON.stringify(done.rounds)}`)
  const run = await api.get(`/api/runs/${round.run}`, Run)
  assert.equal(run.gate?.passed, true)
  assert.ok(run.report && run.report.challenger.images >= 2)
  assert.ok(run.report.quantization, 'an int8 file was made and judged')
  const version = await api.get(`/api/models/${run.model}`, ModelVersion)
  assert.equal(version.trainingFile !== null, run.report.quantization.proposed, 'its float file is kept to train on')
  const {
    devices: [after],
  } = await waitFor(api, '/api/devices', DevicePage, ({ devices: [first] }) => first?.status?.model === run.model, 60)
  assert.equal(after?.deployment?.state, 'confirmed')
  assert.notEqual(run.model, champion.sha256)
  assert.ok(round.minutes !== null && round.mAP50After !== null)
  assert.deepEqual(faults, [])
}
