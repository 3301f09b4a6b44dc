/** Works off one leased run: fetch, train, judge, upload; tells the hub all the while, and stops when the hub says so. */
import { existsSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Type } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import type { RunReport } from '../../protocol/http/reports.ts'
import { type LogLine, type MetricPoint, Run, type RunProgress } from '../../protocol/http/runs.ts'
import { HeartbeatAnswer, type RunLease } from '../../protocol/http/trainers.ts'
import { FileReference } from '../../protocol/manifest.ts'
import { inEnglish, type Said, say } from '../../protocol/sentences.ts'
import { streetBase } from '../base/street.ts'
import type { LabelledSample } from '../data/sample.ts'
import type { DeviceChoice } from '../engine/devices/choose-device.ts'
import { precisionOf, score } from '../evaluation/compare.ts'
import { measureModel } from '../evaluation/measure.ts'
import { writeAside } from '../files/write-aside.ts'
import { trainBeyondLabels } from '../loop/beyond-labels.ts'
import type { TrainOptions } from '../loop/train.ts'
import { judgeQuantization } from '../quantization/judge.ts'
import { quantize } from '../quantization/quantize.ts'
import type { HubApi } from './hub-api.ts'
import { compare, judge } from './report.ts'
import { runPage } from './report-page.ts'
import { fetchRunData } from './run-data.ts'
import { RunFiles } from './run-files.ts'
import { makeSelfTest } from './self-test.ts'

const heartbeatMilliseconds = 2000
/** Held-out pictures that a model in training is measured on for the live curve: a look, no choice is made by it. */
const glance = 40
/** The hub keeps a checkpoint too, so that another trainer can go on; rarer, for it is tens of megabytes. */
const uploadSeconds = 60

/** Why a run ended before its time, other than by a fault. */
class Ended extends Error {}

export class RunWorker {
  readonly #api: HubApi
  readonly #folder: string
  readonly #lease: RunLease
  readonly #machine: string
  readonly #device: DeviceChoice
  readonly #threads: number | undefined
  readonly #log: (words: string) => void
  readonly #stop = new AbortController()
  #progress: RunProgress = { phase: 'fetching', step: 0, steps: 0, etaSeconds: null, imagesPerSecond: null }
  #points: MetricPoint[] = []
  /** All of them, for the report. */
  readonly #curves: MetricPoint[] = []
  #lines: LogLine[] = []
  #lastAnswer = Date.now()

  constructor(options: {
    api: HubApi
    folder: string
    lease: RunLease
    machine: string
    device: DeviceChoice
    threads?: number
    log: (words: string) => void
  }) {
    this.#api = options.api
    this.#folder = options.folder
    this.#lease = options.lease
    this.#machine = options.machine
    this.#device = options.device
    this.#threads = options.threads
    this.#log = options.log
  }

  /** Stops soon; the lease runs out and the run is taken again, from its last checkpoint. */
  abandon(): void {
    this.#stop.abort(new Ended('the trainer is stopping'))
  }

  async work(): Promise<void> {
    const { run } = this.#lease
    const timer = setInterval(() => {
      this.#heartbeat().catch(() => {})
    }, heartbeatMilliseconds)
    try {
      await this.#work()
    } catch (error) {
      const reason: unknown = this.#stop.signal.aborted ? this.#stop.signal.reason : error
      if (reason instanceof Ended) {
        this.#log(`run ${run.id}: ${reason.message}`)
        return
      }
      if (reason instanceof MuninnError && reason.code === 'LEASE_LOST') {
        this.#log(`run ${run.id}: the lease is lost; another trainer has it`)
        return
      }
      const words = reason instanceof Error ? reason.message : String(reason)
      this.#log(`run ${run.id} failed: ${words}`)
      const retry = !(reason instanceof MuninnError) || reason.code === 'UNAVAILABLE'
      await this.#heartbeat().catch(() => {})
      await this.#send('POST', 'fail', { error: words.slice(0, 8000), retry }, Run)
    } finally {
      clearInterval(timer)
    }
  }

  async #work(): Promise<void> {
    const { run, baseManifest, baseTrainingFile, championManifest } = this.#lease
    const { signal } = this.#stop
    const threads = this.#threads
    const { settings, dataset } = run
    const files = new RunFiles({ api: this.#api, folder: join(this.#folder, 'files') })
    const { classes } = dataset
    const onFile = (step: number, steps: number) => this.#at({ phase: 'fetching', step, steps })
    const { training, heldOut, unlabelled, notes } = await fetchRunData(this.#lease, { api: this.#api, files, signal, onFile })
    const base =
      baseManifest && baseTrainingFile
        ? await files.trainingFile(baseManifest.file.sha256, baseTrainingFile, signal)
        : await streetBase()
    const [learnt, held] = [training.samples.length, heldOut.samples.length]
    this.#say(
      baseManifest
        ? say('log.pictures', { learnt, held, base: `${baseManifest.name} v${baseManifest.version}` })
        : say('log.pictures-street', { learnt, held }),
    )
    for (const note of notes) this.#say(note)

    const checkpoint = join(this.#folder, 'runs', `${run.id}.checkpoint`)
    let uploaded = Date.now()
    const wanted: TrainOptions = {
      base,
      classes,
      samples: training.samples,
      inputSize: settings.inputSize,
      epochs: settings.epochs,
      minutes: settings.minutes,
      rate: settings.learningRate,
      batch: settings.batch,
      seed: settings.seed,
      recipe: settings.recipe,
      device: this.#device,
      threads,
      signal,
      resume: await this.#lastCheckpoint(checkpoint),
      onLog: (words) => this.#say(words),
      onProgress: ({ step, steps, losses, rate, imagesPerSecond, etaSeconds, gradientNorm }) => {
        this.#at({ phase: 'training', step, steps, etaSeconds, imagesPerSecond })
        if (step % Math.max(1, Math.floor(steps / 400)) === 0 || step === steps)
          this.#point(step, { ...losses, learningRate: rate, gradientNorm })
      },
      onCheckpoint: async (bytes, step) => {
        await writeAside(checkpoint, bytes)
        if (Date.now() - uploaded < uploadSeconds * 1000) return
        uploaded = Date.now()
        await this.#send('PUT', `checkpoint?step=${step}`, bytes, FileReference)
      },
      checkpointSeconds: 15,
      onCandidate: async (model, step) => {
        const samples = heldOut.samples.slice(0, glance)
        if (samples.length === 0) return
        const { pictures } = await measureModel(model, { samples, classes, threads, signal })
        this.#point(step, { ...precisionOf(score(pictures, classes.length)) })
      },
    }
    const keptAt = join(this.#folder, 'runs', `${run.id}.chosen.json`)
    const result = await trainBeyondLabels(wanted, { choose: settings.choose, unlabelled, keptAt })

    const int8 = settings.quantize === 'auto' ? await this.#quantize(result.model, { training, heldOut, classes }) : null
    const models = 1 + Number(int8 !== null) + Number(championManifest !== null)
    let judged = 0
    const onPicture = () => this.#at({ phase: 'evaluating', step: ++judged, steps: heldOut.samples.length * models })
    const options = { ...heldOut, classes, threads, signal, onPicture }
    const float = { model: result.model, ...(await judge(result.model, options)) }
    const quantized = int8 && { model: int8, ...(await judge(int8, options)) }
    const judgement =
      quantized && (await judgeQuantization({ float, int8: quantized }, { sample: heldOut.samples[0]!, threads, signal }))
    for (const reason of judgement?.reasons ?? []) this.#say(reason)
    // From here on there is one file: what is gated is what is deployed.
    const challenger = quantized && judgement?.proposed ? quantized : float
    if (judgement) this.#say(say(judgement.proposed ? 'log.int8-to-gate' : 'log.float-to-gate'))
    const champion = championManifest ? await judge(await files.model(championManifest.file.sha256, signal), options) : null
    this.#point(result.steps, { mAP50: challenger.evaluation.mAP50.value, 'mAP50-95': challenger.evaluation['mAP50-95'].value })
    const report: RunReport = {
      challenger: challenger.evaluation,
      champion: champion?.evaluation ?? null,
      difference: champion ? compare(challenger, champion) : null,
      analysis: challenger.analysed.analysis,
      trainMinutes: result.seconds / 60,
      steps: result.steps,
      device: `${this.#machine}: ${result.device}`,
      trainedOn: { machine: this.#machine, told: [...result.deviceTold] },
      quantization: judgement && {
        proposed: judgement.proposed,
        reasons: judgement.reasons,
        float: judgement.float,
        int8: judgement.int8,
      },
    }
    const found = { value: challenger.evaluation.mAP50.value.toFixed(3), pictures: held }
    const before = champion?.evaluation.mAP50.value.toFixed(3)
    this.#say(before === undefined ? say('log.result', found) : say('log.result-champion', { ...found, before }))

    this.#at({ phase: 'uploading', step: 0, steps: 1 })
    const selfTest = await makeSelfTest(challenger.model, { samples: held > 0 ? heldOut.samples : training.samples, threads })
    const model = await this.#send('PUT', 'model', challenger.model, FileReference)
    const trainingFile = challenger === float ? null : await this.#send('PUT', 'training-file', float.model, FileReference)
    await this.#uploadPage({ run, machine: this.#machine, report, challenger, result, training, heldOut, curves: this.#curves })
    const test = selfTest && (await this.#send('PUT', 'self-test', selfTest, FileReference))
    await this.#heartbeat()
    const { width, height, specification } = result
    await this.#send(
      'POST',
      'finish',
      {
        report,
        model: model.sha256,
        selfTest: test?.sha256 ?? null,
        trainingFile: trainingFile?.sha256 ?? null,
        input: { width, height, resize: specification.resize },
        classes,
        thresholds: Object.fromEntries(challenger.evaluation.perClass.map(({ label, threshold }) => [label, threshold])),
        architecture: specification.architecture + (challenger === float ? '' : ' int8'),
      },
      Run,
    )
    await rm(checkpoint, { force: true })
    await rm(keptAt, { force: true })
    this.#log(`run ${run.id} finished`)
  }

  /** null where there is nothing to judge on, or nothing to quantise: then the float file goes on alone. */
  async #quantize(
    model: Uint8Array,
    {
      training,
      heldOut,
      classes,
    }: Record<'training' | 'heldOut', { samples: readonly LabelledSample[] }> & {
      classes: readonly string[]
    },
  ): Promise<Uint8Array | null> {
    if (heldOut.samples.length === 0) return null
    const onProgress = ({ step, steps }: { step: number; steps: number }) => this.#at({ phase: 'quantizing', step, steps })
    try {
      const { samples } = training
      const made = await quantize(model, { samples, classes, threads: this.#threads, signal: this.#stop.signal, onProgress })
      const ranges = { rule: made.rule, pictures: made.pictures }
      const layers = made.floats.join(', ')
      this.#say(layers === '' ? say('log.int8-ranges', ranges) : say('log.int8-ranges-float', { ...ranges, layers }))
      return made.model
    } catch (error) {
      if (!(error instanceof MuninnError && error.code === 'BAD_MODEL')) throw error
      this.#say(say('log.no-int8', { cause: error.message }))
      return null
    }
  }

  /** A run is not lost for the want of its page. */
  async #uploadPage(parts: Parameters<typeof runPage>[0]): Promise<void> {
    try {
      await this.#send('PUT', 'report', new TextEncoder().encode(await runPage(parts)), FileReference)
    } catch (error) {
      if (error instanceof MuninnError && error.code === 'LEASE_LOST') throw error
      this.#say(`there is no report page: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  /** This trainer's own last checkpoint, or the hub's when that is newer (another trainer had the run). */
  async #lastCheckpoint(path: string): Promise<Uint8Array | null> {
    if (existsSync(path)) return await readFile(path)
    if (this.#lease.checkpointStep === null) return null
    const response = await this.#api.request(
      'GET',
      `/api/trainer/runs/${this.#lease.run.id}/checkpoint`,
      undefined,
      this.#options,
    )
    this.#say(say('log.hub-checkpoint', { step: this.#lease.checkpointStep! }))
    return new Uint8Array(await response.arrayBuffer())
  }

  /** Whoever cancels the run or stops the trainer does not wait for an answer. */
  get #options(): { headers: Record<string, string>; signal: AbortSignal } {
    return { headers: { 'muninn-lease': this.#lease.lease }, signal: this.#stop.signal }
  }

  async #send<T extends Type.TSchema>(method: 'POST' | 'PUT', path: string, body: unknown, schema: T): Promise<Type.Static<T>> {
    return await this.#api.send(method, `/api/trainer/runs/${this.#lease.run.id}/${path}`, body, schema, this.#options)
  }

  #at(progress: Pick<RunProgress, 'phase' | 'step' | 'steps'> & Partial<RunProgress>): void {
    this.#progress = { etaSeconds: null, imagesPerSecond: null, ...progress }
  }

  #say(words: string | Said): void {
    const text = typeof words === 'string' ? words : inEnglish(words)
    this.#log(text)
    this.#lines.push({ at: Date.now(), text: text.slice(0, 4000) })
  }

  #point(step: number, values: Record<string, number>): void {
    const point = {
      step,
      at: Date.now(),
      values: Object.fromEntries(Object.entries(values).filter(([, value]) => Number.isFinite(value))),
    }
    this.#points.push(point)
    this.#curves.push(point)
  }

  /** What the hub has not taken is kept for the next time; a hub that is away for longer than the lease has given the run away. */
  async #heartbeat(): Promise<void> {
    const [points, lines] = [this.#points.slice(0, 5000), this.#lines.slice(0, 5000)]
    try {
      const { cancel } = await this.#send('POST', 'heartbeat', { progress: this.#progress, points, lines }, HeartbeatAnswer)
      this.#points.splice(0, points.length)
      this.#lines.splice(0, lines.length)
      this.#lastAnswer = Date.now()
      if (cancel) this.#stop.abort(new Ended('it was cancelled'))
    } catch (error) {
      if (error instanceof MuninnError && error.code === 'LEASE_LOST') this.#stop.abort(error)
      else if (Date.now() - this.#lastAnswer > 10 * this.#lease.leaseSeconds * 1000)
        this.#stop.abort(new Ended('the hub has been away for too long'))
      throw error
    }
  }
}
