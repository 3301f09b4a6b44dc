/** The training loop: from a deployed file (or none) and labelled pictures to a deployed file. */
import { createHash } from 'node:crypto'
import { MuninnError } from '../../protocol/errors.ts'
import { defaultRecipe, type Recipe } from '../../protocol/recipe.ts'
import { inEnglish, type Said, say } from '../../protocol/sentences.ts'
import type { Input } from '../data/augment.ts'
import { ahead, Loader } from '../data/loader.ts'
import { isPartial, type LabelledSample, objectsOf } from '../data/sample.ts'
import { sharesOf } from '../data/sampling.ts'
import { type Cut, validationCut } from '../data/validation-cut.ts'
import { headOf, roomFor } from '../detector/heads/table.ts'
import type { Specification } from '../detector/specification.ts'
import { chooseDevice, type Decision, type DeviceChoice } from '../engine/devices/choose-device.ts'
import type { Device } from '../engine/devices/executor.ts'
import { allFinite } from '../engine/finite.ts'
import { packed } from '../engine/step-graph.ts'
import { initialState } from '../engine/trainer-state.ts'
import { ruleOf } from '../engine/update-graph.ts'
import { precisionOf, score } from '../evaluation/compare.ts'
import { measureModel } from '../evaluation/measure.ts'
import { calibrated } from './calibrate.ts'
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts'
import { layersOf, stageRates, trainedParameters } from './layers.ts'
import { LossWatch } from './loss-watch.ts'
import { measure, type Plan, planOn } from './plan.ts'
import { cutShort, isLook, looked, noLook } from './plateau.ts'
import { augmentationAt } from './recipe.ts'
import { averageDecayAt, epochsFor, rateAt } from './schedule.ts'
import { SizedRunner } from './sized-runner.ts'
import { sizeAt, sizesFor } from './sizes.ts'
import { exportModel, owned, type StartOptions, startFrom } from './start.ts'

export interface TrainingProgress {
  readonly step: number
  readonly steps: number
  readonly epoch: number
  readonly losses: Readonly<Record<string, number>>
  readonly rate: number
  readonly gradientNorm: number
  readonly imagesPerSecond: number
  readonly etaSeconds: number
}

export interface TrainOptions extends StartOptions {
  readonly samples: readonly LabelledSample[]
  readonly epochs?: number | null
  /** Updates, whatever the epochs: a budget that no machine's speed changes. */
  readonly steps?: number | null
  /** Upper bound of the training itself. */
  readonly minutes?: number
  readonly rate?: number | null
  /** Pictures in one update. */
  readonly batch?: number
  /** Below 1: this share of the layers stays as it is, first to last; from 1 on: so many of the backbone's stages. */
  readonly freeze?: number
  /** Sessions that take a step's parts, at most; their number changes no result. */
  readonly workers?: number
  /**
   * Cores that all of a training may keep busy, its steps, its batches and its looks at pictures; all of them when left out. The same seed gives
   * the same model with any number below twice a batch's parts: from there on a session has more threads with more cores (`sessionsOf`), and some
   * sums round otherwise. So do scores of a look at pictures, which may decide something (patience, choosing, calibration). TensorFlow's own
   * threads (`tfjs`) are not bounded.
   */
  readonly threads?: number
  /** Where the steps are computed; `auto` measures what there is. The processor when left out. */
  readonly device?: DeviceChoice
  /** What is not as by default. */
  readonly recipe?: Partial<Recipe>
  readonly onProgress?: (progress: TrainingProgress) => void
  /** The last checkpoint, when there is one. */
  readonly resume?: Uint8Array | null
  /** Called about every `checkpointSeconds` with a whole checkpoint. */
  readonly onCheckpoint?: (bytes: Uint8Array, step: number) => Promise<void>
  readonly checkpointSeconds?: number
  /** Called now and then with the file as it would be deployed, to be measured while training goes on. */
  readonly onCandidate?: (model: Uint8Array, step: number) => Promise<void>
  readonly signal?: AbortSignal
}

export interface TrainResult {
  readonly model: Uint8Array
  readonly specification: Specification
  readonly width: number
  readonly height: number
  readonly steps: number
  readonly seconds: number
  /** Where it was trained, and why there. */
  readonly device: string
  /** The same as sentences, for whoever reads it in another language. */
  readonly deviceTold: readonly Said[]
  /** Why it was cut short; null: it took all its steps, or was cut short before it was resumed. */
  readonly stopped: string | null
}

/** The learning rate at its peak. AdamW's hangs on the head. Momentum: 0.01 for 64 pictures, as YOLOX was published (Ge et al. 2021). */
export function peakRate(
  { rate, batch = 8, recipe }: Pick<TrainOptions, 'rate' | 'batch' | 'recipe'>,
  specification: Pick<Specification, 'head' | 'architecture'>,
): number {
  if (rate !== undefined && rate !== null) return rate
  return recipe?.momentum ? (0.01 * batch) / 64 : headOf(specification).rate
}

/** Of weights, not of biases and scales; momentum's, which enters the gradient, as YOLOX was published. */
const decayOf = ({ momentum }: Recipe): number => (momentum > 0 ? 5e-4 : 0.02)

/** Factor of the learning rate for each stage further from the head, where a training goes on from a model. */
export const rateDecayOf = ({ rateDecay }: Pick<Recipe, 'rateDecay'>, { head }: Pick<Specification, 'head'>): number =>
  rateDecay ?? (head === 'distances' ? 1 : 0.5)

/** Updates that a training without a time limit takes. */
export function plannedSteps({ steps, epochs, samples, batch = 8 }: TrainOptions, perStep = batch): number {
  return steps ?? Math.max(30, Math.ceil(((epochs ?? epochsFor(samples.length)) * samples.length) / perStep))
}

/** Share of the pictures that are looked at to see whether it still gets better, where none are kept back for another purpose. */
const lookedAt = 0.15
/** More of them only take time. */
const mostLookedAt = 60

/** Pictures to learn from, and those kept back: to fit on them what a score is worth, and to see whether it still gets better. */
function cutFor({ calibrate, patience }: Recipe, { samples, seed = 1 }: TrainOptions): Cut {
  const share = calibrate > 0 ? calibrate : patience > 0 ? lookedAt : 0
  if (share === 0) return { training: samples, validation: [] }
  const { training, validation } = validationCut(
    samples.filter(({ pseudo }) => !pseudo),
    share,
    seed,
  )
  return { training: [...training, ...samples.filter(({ pseudo }) => pseudo)], validation }
}

/** Steps in which memory and a device's programs are made: what follows is quicker. */
const warmUp = 2
/** The step at which it is known how many fit into the time. */
const judgedAt = 8

/** @throws MuninnError; the signal's reason when it was aborted */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { seed = 1, batch = 8, minutes = Number.POSITIVE_INFINITY, threads, signal, onProgress, onLog = () => {} } = options
  const recipe: Recipe = { ...defaultRecipe, ...options.recipe }
  const { training: samples, validation } = cutFor(recipe, options)
  if (samples.length === 0) throw new MuninnError('NOT_READY', inEnglish(say('training.no-picture')))
  if (!samples.some((sample) => objectsOf(sample).length > 0))
    throw new MuninnError('NOT_READY', inEnglish(say('training.no-box')))
  for (const { path, labels } of samples)
    if (!labels.every(({ box }) => box.every(Number.isFinite)))
      throw new MuninnError('INVALID_INPUT', `a box of ${path} is not made of finite numbers`)
  const start = startFrom(options)
  for (const name of owned(start.core))
    if (!allFinite(start.core.initializers.get(name)!.data as Float32Array))
      throw new MuninnError('BAD_MODEL', `the base model cannot be trained: ${name} holds NaN or infinity`)
  const { specification, width, height } = start
  const { freeze } = options
  const layers = layersOf(start.core)
  const peak = peakRate(options, specification)
  const rates = stageRates(layers, options.base ? rateDecayOf(recipe, specification) : 1)
  const heads = new Set(specification.classifiers.flatMap(({ weight, bias }) => [weight, bias]))
  const planned = (device: Device, input: Input = start) =>
    planOn(device, {
      ...start,
      width: input.width,
      height: input.height,
      batch,
      room: roomFor(samples),
      partial: isPartial(samples),
      workers: options.workers,
      threads,
      parameters: trainedParameters(layers, freeze),
      // A pretrained body moves more slowly than new class filters.
      rateScale: (name) => (options.base && !heads.has(name) ? 0.6 : 1) * (rates.get(name) ?? 1),
      decay: (_, shape) => (shape.length > 1 ? decayOf(recipe) : 0),
      rule: ruleOf(recipe.momentum),
    })
  const fresh = ({ step }: Plan) => initialState(packed(start.core, step.parameters), packed(start.core, step.statistics))
  const loaderOf = ({ micro, parts, loaders }: Plan) =>
    new Loader({
      setup: {
        samples,
        shares: sharesOf(samples, recipe),
        width: Math.max(...sizes.map((each) => each.width)),
        height: Math.max(...sizes.map((each) => each.height)),
        specification,
        batch: micro,
        parts,
        seed,
        cacheBytes: 1.5e9,
      },
      threads: loaders,
      augmentation: (at) => augmentationAt(recipe, at, steps),
      input: (at) => sizeAt(at, { input: start, sizes, steps, closing: recipe.closing, seed }),
    })
  const sizes = sizesFor(start, recipe, onLog)
  // Until their number is known, for measurements: as in the midst of a training.
  let steps = Number.POSITIVE_INFINITY
  const { device: choice = 'cpu' } = options
  const probe = async (device: Device) => {
    const plan = await planned(device)
    return await measure(plan, { state: fresh(plan), loader: () => loaderOf(plan) })
  }
  const decision = choice === 'auto' ? await chooseDevice({ probe, signal }) : null
  const device = decision?.device ?? (choice as Device)
  const plan = await planned(device)
  const { step } = plan
  const perStep = plan.micro * plan.parts
  const fingerprint = fingerprintOf(options, { perStep, peak, recipe, freeze })
  const resumed = resumeFrom(options.resume, fingerprint, onLog)
  const state = resumed?.state ?? fresh(plan)
  steps = resumed?.steps ?? plannedSteps(options, perStep)
  let plateau = resumed?.plateau ?? noLook
  let stopped: string | null = null
  const runner = new SizedRunner({ input: start, plan, state, planned: (input) => planned(device, input) })
  const loader = loaderOf(plan)
  let begun = performance.now()
  const before = (resumed?.trainedSeconds ?? 0) * 1000
  const elapsed = () => before + performance.now() - begun
  let saved = performance.now()
  let described: string = device
  let deviceTold: readonly Said[] = []
  const from = resumed?.next ?? 0
  let reached = from
  const save = async () => {
    await runner.sync()
    const trainedSeconds = elapsed() / 1000
    await options.onCheckpoint?.(encodeCheckpoint({ fingerprint, next: reached, steps, trainedSeconds, plateau, state }), reached)
    saved = performance.now()
  }
  try {
    await runner.start()
    const { description } = await runner.describe()
    described = `${description}, ${decision?.reason ?? 'as asked for'}`
    deviceTold = toldDevice(description, decision)
    for (const words of deviceTold) onLog(inEnglish(words))
    begun = performance.now()
    let warm = begun
    const watch = new LossWatch()
    // Skipped steps do not move the state; the loop counts its own, or it would ask for the same bad batch for ever.
    for (let at = from; at < steps; at++) {
      signal?.throwIfAborted()
      const rate = rateAt(at, steps, peak)
      const result = await runner.run(await loader.batches(at), { rate, averageDecay: averageDecayAt(at) })
      reached = at + 1
      if (result.skipped)
        onLog(inEnglish(say('log.skipped', { step: at, cause: result.cause ?? inEnglish(say('log.not-finite')) })))
      else {
        const words = watch.see(at, result.losses.loss!)
        if (words) onLog(words)
      }
      const done = at + 1 - from
      const secondsPerStep = (performance.now() - begun) / 1000 / done
      if (done === warmUp) warm = performance.now()
      if (from < judgedAt && done === judgedAt) {
        const settled = (performance.now() - warm) / 1000 / (judgedAt - warmUp)
        const affordable = Math.max(30, judgedAt + Math.floor((minutes * 60 - secondsPerStep * done) / settled))
        if (affordable < steps) {
          const time = ((steps * settled) / 60).toFixed(1)
          onLog(inEnglish(say('log.budget', { steps, time, fit: affordable, minutes })))
          steps = affordable
        }
      }
      onProgress?.({
        step: at + 1,
        steps,
        epoch: ((at + 1) * perStep) / samples.length,
        losses: result.losses,
        rate,
        gradientNorm: result.norm,
        imagesPerSecond: perStep / secondsPerStep,
        etaSeconds: (steps - at - 1) * secondsPerStep,
      })
      if (plateau.misses < recipe.patience && validation.length > 0 && isLook(at, steps)) {
        await runner.sync()
        const kept = validation.slice(0, mostLookedAt)
        const { pictures } = await measureModel(exportModel(start, step, state), {
          samples: kept,
          classes: options.classes,
          threads,
          signal,
        })
        plateau = looked(plateau, precisionOf(score(pictures, options.classes.length))['mAP50-95'])
        const short = plateau.misses < recipe.patience ? steps : cutShort(at, { steps, closing: recipe.closing, ahead })
        if (short < steps) {
          const seen = { value: plateau.best.toFixed(3), pictures: kept.length, looks: plateau.misses }
          stopped = inEnglish(say('log.plateau', { step: at + 1, steps, ...seen }))
          onLog(stopped)
          const minutes = (((steps - short) * secondsPerStep) / 60).toFixed(1)
          onLog(inEnglish(say('log.closes', { steps: short - at - 1, minutes })))
          steps = short
        }
      }
      if (performance.now() - saved > (options.checkpointSeconds ?? 30) * 1000 && at + 1 < steps) await save()
      if (options.onCandidate && at + 1 < steps && (at + 1) % Math.max(25, Math.ceil(steps / 6)) === 0) {
        await runner.sync()
        await options.onCandidate(exportModel(start, step, state), at + 1)
      }
    }
    await runner.sync()
  } catch (error) {
    // Told to stop: what was learnt up to now is kept, not only what the last checkpoint had.
    if (signal?.aborted && reached > from) await save()
    throw error
  } finally {
    await loader.stop()
    await runner.stop()
  }
  const result = { width, height, steps, seconds: elapsed() / 1000, device: described, deviceTold, stopped }
  const model = exportModel(start, step, state)
  if (validation.length === 0 || recipe.calibrate === 0) return { ...result, model, specification }
  const fitted = await calibrated(model, { samples: validation, threads, signal })
  const error = { before: fitted.before.toFixed(3), pictures: validation.length }
  const helps = fitted.specification.calibration !== undefined
  onLog(inEnglish(helps ? say('log.calibrated', { ...error, after: fitted.after.toFixed(3) }) : say('log.not-calibrated', error)))
  return { ...result, model: fitted.model, specification: fitted.specification }
}

/** What it trains on, and what else was measured. */
function toldDevice(device: string, decision: Decision | null): Said[] {
  if (!decision) return [say('log.device-asked', { device })]
  const compared = decision.measured.some(({ milliseconds }) => milliseconds !== null)
  return [
    compared ? say('log.device-quickest', { device }) : say('log.device-only', { device }),
    ...decision.measured.map(({ device, milliseconds, words }) =>
      milliseconds === null
        ? say('log.device-not', { device, cause: words })
        : say('log.device-measured', { device, milliseconds: milliseconds.toFixed(1) }),
    ),
  ]
}

/** Digest of everything that a resume must find unchanged. */
function fingerprintOf({ base, classes, samples, inputSize, epochs, steps, seed }: TrainOptions, plan: object): string {
  const digest = createHash('sha256')
  if (base) digest.update(base)
  digest.update(JSON.stringify({ classes, inputSize, epochs, steps, seed, plan, samples: samples.map(({ labels }) => labels) }))
  return digest.digest('hex')
}

function resumeFrom(
  bytes: Uint8Array | null | undefined,
  fingerprint: string,
  onLog: (words: string) => void,
): Checkpoint | null {
  if (!bytes) return null
  try {
    const checkpoint = decodeCheckpoint(bytes)
    if (checkpoint.fingerprint !== fingerprint) {
      onLog(inEnglish(say('log.starts-over')))
      return null
    }
    onLog(inEnglish(say('log.resumes', { step: checkpoint.next, steps: checkpoint.steps })))
    return checkpoint
  } catch (error) {
    onLog(inEnglish(say('log.damaged-checkpoint', { cause: error instanceof Error ? error.message : String(error) })))
    return null
  }
}
