/**
 * Replays a picture set as a camera through the running system (real device process, broker, hub, trainer); only the labeller is
 * the data set's ground truth, through the same HTTP API that the page uses. Round 1 learns from the first domain (the day clip),
 * round 2 from what was mined of the second (the night clip); both are measured on held-out frames that no camera ever showed.
 *
 *   npm run bench:loop -- --dataset ../shared/data/datasets/license-plate [--base demo|file.onnx] [--seeds 1,2,3] [--minutes 6] [--megabytes 20]
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { DevicePage, Rollout, Settings } from '../../protocol/http/fleet.ts'
import { QueueCounts, SamplePage } from '../../protocol/http/labelling.ts'
import { ModelVersion } from '../../protocol/http/models.ts'
import { Run } from '../../protocol/http/runs.ts'
import { inEnglish } from '../../protocol/sentences.ts'
import { describeDeployedModel } from '../../trainer/adapters/adopt-file.ts'
import { type Clip, cutInTime, readPictureSet, stageFolder } from '../support/picture-set.ts'
import { deaths, type HubProcess, startDevice, startHub, startTrainer, waitFor } from '../support/system.ts'
import { type LabelledPicture, TruthLabeller } from '../support/truth-labeller.ts'
import { type Measured, measure } from './measure.ts'

const { values } = parseArgs({
  options: {
    dataset: { type: 'string' },
    base: { type: 'string', default: 'demo' },
    seeds: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '6' },
    megabytes: { type: 'string', default: '20' },
    size: { type: 'string', default: '416' },
    keep: { type: 'boolean', default: false },
  },
})
if (!values.dataset) throw new Error('--dataset folder (with coco.json and images/) is needed')

/** Frames a camera shows, and held-out frames by domain. */
interface Plan {
  readonly classes: readonly string[]
  readonly first: readonly LabelledPicture[]
  readonly second: readonly LabelledPicture[]
  readonly heldOut: Readonly<Record<string, readonly LabelledPicture[]>>
}

/** Night clips are those called so; a set without any is one domain, and the second camera shows the later half of what is seen. */
function plan(folder: string): Plan {
  const { classes, clips } = readPictureSet(folder)
  const isNight = (clip: Clip) => /night/i.test(clip.name)
  const longest = (some: readonly Clip[]) => some.reduce((a, b) => (b.pictures.length > a.pictures.length ? b : a))
  const night = clips.filter(isNight)
  const day = clips.filter((clip) => !isNight(clip))
  if (night.length > 0 && day.length > 1) {
    const long = longest(day)
    const cut = cutInTime(longest(night).pictures)
    return {
      classes,
      first: long.pictures,
      second: cut.seen,
      heldOut: { day: day.filter((clip) => clip !== long).flatMap(({ pictures }) => pictures), night: cut.heldOut },
    }
  }
  const { seen, heldOut } = cutInTime(clips.flatMap(({ pictures }) => pictures))
  const half = Math.ceil(seen.length / 2)
  return { classes, first: seen.slice(0, half), second: seen.slice(half), heldOut: { all: heldOut } }
}

const started = Date.now()
const log = (words: string) => console.log(`${((Date.now() - started) / 60_000).toFixed(1).padStart(6)} min  ${words}`)

async function importBase(hub: HubProcess, path: string): Promise<string> {
  const { classes, input, architecture, thresholds } = await describeDeployedModel(path)
  const meta = encodeURIComponent(JSON.stringify({ name: basename(path, '.onnx'), classes, input, architecture, thresholds }))
  return (await hub.api.send('POST', `/api/models?meta=${meta}`, readFileSync(path), ModelVersion)).sha256
}

/** Shows these pictures to a device until it has looked at all and the hub has all that it chose. */
async function show(hub: HubProcess, folder: string, pictures: readonly LabelledPicture[], name: string): Promise<void> {
  const source = stageFolder(join(folder, name), pictures)
  const device = await startDevice(hub, folder, [{ source, loop: false, realTime: false }])
  await waitFor(
    hub.api,
    '/api/devices',
    DevicePage,
    ({ devices: [first] }) =>
      first?.status?.cameras.every(({ state, source }) => state === 'ended' && source.includes(name)) === true &&
      first.telemetry?.outbox.samples === 0 &&
      (first.telemetry.cameras[0]?.frames ?? 0) >= pictures.length,
    600,
  )
  await device.stop()
}

async function train(hub: HubProcess, body: object): Promise<Run> {
  const { id } = await hub.api.send('POST', '/api/runs', body, Run)
  return await waitFor(hub.api, `/api/runs/${id}`, Run, ({ state }) => ['finished', 'failed', 'cancelled'].includes(state), 7200)
}

async function deploy(hub: HubProcess, folder: string, model: string, gated: boolean): Promise<void> {
  const { id } = await hub.api.send(
    'POST',
    '/api/rollouts',
    { model, ...(gated ? {} : { override: 'measured although the gate said no' }) },
    Rollout,
  )
  const device = await startDevice(hub, folder, [{ source: join(folder, 'day') }])
  await waitFor(hub.api, `/api/rollouts/${id}`, Rollout, ({ state }) => state === 'finished', 300)
  await device.stop()
}

async function oneSeed(seed: number): Promise<Record<string, unknown>[]> {
  const folder = mkdtempSync(join(tmpdir(), 'muninn-loop-'))
  const { classes, first, second, heldOut } = plan(resolve(values.dataset!))
  const hub = await startHub(folder)
  const trainer = await startTrainer(hub, folder)
  const rows: Record<string, unknown>[] = []
  try {
    const settings = await hub.api.get('/api/settings', Settings)
    await hub.api.send(
      'PUT',
      '/api/settings',
      {
        ...settings,
        classes: classes.map((name) => ({ name, color: '#e8590c' })),
        autoTrain: false,
        heldOutShare: 0.2,
        training: { ...settings.training, minutes: Number(values.minutes), inputSize: Number(values.size), seed },
        // A folder is played faster than time, so budgets are per run here, not per hour.
        mining: {
          ...settings.mining,
          cooldownSeconds: 0,
          auditShare: 0.1,
          novelty: 0.05,
          maxSamplesPerHour: 1000,
          maxBytesPerHour: Number(values.megabytes) * 1e6,
        },
        rollout: { canaries: 1, probationSeconds: 2 },
      },
      Settings,
    )
    const base = values.base === 'demo' ? resolve('trainer/base/demo-street.onnx') : resolve(values.base)
    const baseModel = await importBase(hub, base)
    const labeller = new TruthLabeller({ api: hub.api })
    await labeller.learn([...first, ...second])

    for (const [round, pictures] of [first, second].entries()) {
      const from = Date.now()
      const name = round === 0 ? 'day' : 'second'
      const labelsBefore = labeller.labels
      log(`seed ${seed} round ${round + 1}: the camera shows ${pictures.length} frames`)
      await show(hub, folder, pictures, name)
      await labeller.answerAll()
      const { total } = await hub.api.get('/api/samples?limit=1', SamplePage)
      const page = await hub.api.get('/api/samples?limit=200', SamplePage)
      log(`${total} samples, ${labeller.labels - labelsBefore} labelled (${labeller.boxes} boxes so far)`)
      const run = await train(hub, round === 0 ? { base: baseModel } : {})
      if (!run.model) throw new Error(`run ${run.id} ${run.state}: ${inEnglish(run.error ?? [])}`)
      log(
        `trained on ${run.dataset.train}, held out by the hub ${run.dataset.heldOut}; gate ${run.gate?.passed ? 'passed' : 'failed'}: ${inEnglish(run.gate?.reasons ?? [])}`,
      )
      await deploy(hub, folder, run.model, run.gate?.passed === true)
      const file = join(folder, `round-${round + 1}.onnx`)
      writeFileSync(file, new Uint8Array(await (await hub.api.request('GET', `/api/models/${run.model}/file`)).arrayBuffer()))
      const results: Record<string, Measured> = {}
      for (const [domain, held] of Object.entries(heldOut)) results[domain] = await measure(file, held, classes)
      rows.push({
        seed,
        round: round + 1,
        frames: pictures.length,
        samples: total,
        bytes: page.samples.reduce((sum, { bytes }) => sum + bytes, 0),
        labels: labeller.labels - labelsBefore,
        ...Object.fromEntries(
          Object.entries(results).flatMap(([domain, { mAP50, mAP5095 }]) => [
            [`${domain} mAP50`, mAP50],
            [`${domain} mAP50-95`, mAP5095],
          ]),
        ),
        minutes: ((Date.now() - from) / 60_000).toFixed(1),
      })
      console.table(rows.slice(-1))
    }
    const counts = await hub.api.get('/api/tasks/counts', QueueCounts)
    log(`queue at the end: ${JSON.stringify(counts)}; unexpected deaths: ${deaths.length}`)
  } finally {
    await trainer.stop()
    await hub.child.stop()
    await sleep(100)
    if (!values.keep) rmSync(folder, { recursive: true, force: true })
    else log(`kept ${folder}`)
  }
  return rows
}

console.log(`${cpus().length} cores, ${cpus()[0]?.model}; node ${process.version}; base ${values.base}`)
const all: Record<string, unknown>[] = []
for (const seed of values.seeds.split(',').map(Number)) all.push(...(await oneSeed(seed)))
console.table(all)
