/** Runs training steps on the processor: micro-batches on several threads, their gradients averaged in a fixed order, one update. */
import { cpus } from 'node:os'
import ort from 'onnxruntime-node'
import { writeOnnx } from '../onnx/write.ts'
import { causeOf } from './cause.ts'
import { allFinite } from './finite.ts'
import type { Description, Runner, StepResult } from './runner.ts'
import { type StepGraph, total } from './step-graph.ts'
import { StepThread } from './step-thread.ts'
import type { Feeds, Vectors } from './step-worker.ts'
import type { TrainerState } from './trainer-state.ts'
import { adam, gradientNames, type UpdateRule, updateGraph } from './update-graph.ts'

export interface StepRunnerOptions {
  readonly step: StepGraph
  /** Names of the entries of the step's `losses`. */
  readonly losses: readonly string[]
  readonly state: TrainerState
  /** Threads; each has a session of its own. Their number changes no result. */
  readonly workers: number
  /** Factor of the learning rate by parameter name; 1 when left out. */
  readonly rateScale?: (name: string) => number
  /** Weight decay by parameter name. */
  readonly decay: (name: string, shape: readonly number[]) => number
  /** Share of the batch's statistics that enters the running ones. */
  readonly statisticsMomentum?: number
  /** Greatest L2 norm of the gradient. */
  readonly clip?: number
  /** AdamW when left out. */
  readonly rule?: UpdateRule
}

/** Steps in a row that were skipped after which training stops with a cause. */
const patience = 10

const moved = ['parameters', 'moment1', 'moment2', 'average'] as const
type Moved = (typeof moved)[number]

const vector = (data: Float32Array) => new ort.Tensor('float32', data, [data.length])
const scalar = (value: number) => new ort.Tensor('float32', [value], [1])
const zeros = (length: number) => new Float32Array(new ArrayBuffer(length * 4))

/** The update of a count of micro-batches, with memory of its own for what comes out. */
interface Update {
  readonly session: ort.InferenceSession
  /** What each micro-batch's outputs are written to. */
  readonly outputs: Vectors[]
}

export class StepRunner implements Runner {
  readonly #options: StepRunnerOptions
  readonly #threads: StepThread[] = []
  readonly #updates = new Map<number, Update>()
  /** The new vectors are written here; then these and the state's change places. */
  #next: Record<Moved, Float32Array> | null = null
  #shared: Record<string, Float32Array> = {}
  #rateScale = new Float32Array(0)
  #decay = new Float32Array(0)
  #failures = 0
  #cause: string | undefined

  constructor(options: StepRunnerOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    const { step, state, workers, rateScale = () => 1, decay } = this.#options
    const size = total(step.parameters)
    if (state.parameters.length !== size)
      throw new Error(`the state has ${state.parameters.length} parameters, the graph ${size}`)
    const share = (values: Float32Array) => {
      const view = new Float32Array(new SharedArrayBuffer(values.byteLength))
      view.set(values)
      return view
    }
    this.#shared = {
      parameters: share(state.parameters),
      ...(step.statistics.length > 0 && { statistics: share(state.statistics) }),
    }
    this.#next = { parameters: zeros(size), moment1: zeros(size), moment2: zeros(size), average: zeros(size) }
    this.#rateScale = new Float32Array(size)
    this.#decay = new Float32Array(size)
    for (const { name, shape, offset, size: count } of step.parameters) {
      this.#rateScale.fill(rateScale(name), offset, offset + count)
      this.#decay.fill(decay(name, shape), offset, offset + count)
    }
    const model = writeOnnx(step.graph)
    await Promise.all(
      Array.from({ length: workers }, async () => {
        this.#threads.push(await StepThread.start({ model, shared: this.#sharedBuffers(), threads: 1 }))
      }),
    )
  }

  async describe(): Promise<Description> {
    return { description: `cpu (${this.#threads.length} threads)`, software: false }
  }

  /** The state is up to date after each step. */
  async sync(): Promise<void> {}

  async stop(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.stop()))
    for (const { session } of this.#updates.values()) await session.release()
  }

  /**
   * One update from some micro-batches (all of the graph's batch size), which are averaged.
   * @param rate the learning rate
   * @param averageDecay of the moving average of the parameters
   * @throws Error when ten steps in a row were not finite, naming the layer with the first NaN or infinity
   */
  async run(batches: readonly Feeds[], { rate, averageDecay }: { rate: number; averageDecay: number }): Promise<StepResult> {
    const { state, losses: names, clip = 35, statisticsMomentum = 0.03, step } = this.#options
    const update = await this.#updateOf(batches.length)
    await Promise.all(
      batches.map(async (feeds, i) => {
        update.outputs[i] = await this.#threads[i % this.#threads.length]!.run(feeds, update.outputs[i]!)
      }),
    )
    const parts = (name: string) => update.outputs.map((each) => each[name]!)
    const losses = mean(parts('losses'))
    const statistics = step.statistics.length > 0 ? mean(parts('batchStatistics')) : new Float32Array(0)
    const told = Object.fromEntries(names.map((name, i) => [name, losses[i]!]))
    const gradients = gradientNames(batches.length).map((name, i) => [name, vector(update.outputs[i]!.gradient!)])
    const at = state.step + 1
    const next = this.#next!
    const { norm } = await update.session.run(
      {
        ...Object.fromEntries(moved.map((name) => [name, vector(state[name])])),
        ...Object.fromEntries(gradients),
        rateScale: vector(this.#rateScale),
        decay: vector(this.#decay),
        rate: scalar(rate),
        correction1: scalar(1 / (1 - adam.beta1 ** at)),
        correction2: scalar(1 / (1 - adam.beta2 ** at)),
        averageDecay: scalar(averageDecay),
        clip: scalar(clip),
      },
      { ...Object.fromEntries(moved.map((name) => [`${name}Out`, vector(next[name])])), norm: null },
    )
    const length = Number(norm!.data[0])
    // Nothing of a bad step is kept: neither its parameters nor its batch's statistics.
    if (!Number.isFinite(length) || !allFinite(losses) || !allFinite(statistics)) return await this.#skip(batches, rate, told)
    this.#failures = 0
    state.step = at
    for (const name of moved) [state[name], next[name]] = [next[name], state[name]]
    this.#shared.parameters!.set(state.parameters)
    for (const [i, value] of statistics.entries()) state.statistics[i]! += statisticsMomentum * (value - state.statistics[i]!)
    this.#shared.statistics?.set(state.statistics)
    return { losses: told, norm: length, skipped: false }
  }

  /** Looks for the layer at the first of several bad steps only: that is a step more, and they all have the same cause. */
  async #skip(batches: readonly Feeds[], rate: number, losses: StepResult['losses']): Promise<StepResult> {
    const { step, state } = this.#options
    if (this.#failures++ === 0) {
      const run = async (model: Uint8Array, feeds: Feeds, outputs: Vectors) => {
        const thread = await StepThread.start({ model, shared: this.#sharedBuffers(), threads: 1 })
        try {
          return await thread.run(feeds, outputs)
        } finally {
          await thread.stop()
        }
      }
      this.#cause = await causeOf({ step, state, batches, rate, run })
    }
    if (this.#failures >= patience)
      throw new Error(`${this.#cause}; ${patience} steps in a row were left out, so the training stops at step ${state.step}`)
    return { losses, norm: Number.NaN, skipped: true, ...(this.#cause !== undefined && { cause: this.#cause }) }
  }

  async #updateOf(parts: number): Promise<Update> {
    const known = this.#updates.get(parts)
    if (known) return known
    const { step, losses, rule } = this.#options
    const [size, statistics] = [total(step.parameters), total(step.statistics)]
    const made: Update = {
      session: await ort.InferenceSession.create(writeOnnx(updateGraph(size, { parts, rule })), {
        enableMemPattern: false,
        // The step's threads wait meanwhile; spinning ones would be in their way later.
        intraOpNumThreads: cpus().length,
        extra: { session: { set_denormal_as_zero: '1', intra_op: { allow_spinning: '0' } } },
      }),
      outputs: Array.from({ length: parts }, () => ({
        gradient: zeros(size),
        losses: zeros(losses.length),
        ...(statistics > 0 && { batchStatistics: zeros(statistics) }),
      })),
    }
    this.#updates.set(parts, made)
    return made
  }

  #sharedBuffers(): Record<string, SharedArrayBuffer> {
    return Object.fromEntries(Object.entries(this.#shared).map(([name, { buffer }]) => [name, buffer as SharedArrayBuffer]))
  }
}

function mean(vectors: readonly Float32Array[]): Float32Array {
  const sum = vectors[0]!.slice()
  for (const each of vectors.slice(1)) for (let i = 0; i < sum.length; i++) sum[i]! += each[i]!
  for (let i = 0; i < sum.length; i++) sum[i]! /= vectors.length
  return sum
}
