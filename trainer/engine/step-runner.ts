/** Runs training steps on the processor: micro-batches on several threads, their gradients averaged in a fixed order, one update that they share. */
import { writeOnnx } from '../onnx/write.ts'
import { causeOf } from './cause.ts'
import type { Feeds } from './feeds.ts'
import { orderFilters } from './filter-order.ts'
import { allFinite } from './finite.ts'
import type { Description, Runner, StepResult } from './runner.ts'
import { type StepGraph, total } from './step-graph.ts'
import { StepThread } from './step-thread.ts'
import type { TrainerState } from './trainer-state.ts'
import { clipping, type Moved, type Range, rangesOf } from './update.ts'
import { adam, type UpdateRule } from './update-graph.ts'
import { type SharedVector, type SharedVectors, Vectors } from './vectors.ts'

export interface StepRunnerOptions {
  readonly step: StepGraph
  /** Names of the entries of the step's `losses`. */
  readonly losses: readonly string[]
  readonly state: TrainerState
  /** Threads; each has a session of its own. Their number changes no result. */
  readonly workers: number
  /** Threads that a session shares its work out to; 1 when left out. Some numbers round otherwise with another number of them. */
  readonly sessionThreads?: number
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

interface MeanGradient {
  readonly gradient: SharedVector
  readonly norm: number
  readonly ranges: readonly Range[]
}

export class StepRunner implements Runner {
  readonly #options: StepRunnerOptions
  readonly #threads: StepThread[] = []
  readonly #made = new Vectors()
  /** What comes out of each micro-batch of a step. */
  readonly #outputs: SharedVectors[] = []
  /** The state's vectors while it trains, and the order of their filters. */
  #vectors: Readonly<Record<Moved, SharedVector>> | null = null
  #order: 'blocks' | 'plain' = 'plain'
  #statistics = this.#made.zeros(0)
  #rateScale = this.#made.zeros(0)
  #decay = this.#made.zeros(0)
  /** Counts what the parameters were. */
  #version = 0
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
    this.#vectors = Object.fromEntries(moved.map((name) => [name, this.#made.copyOf(state[name])])) as Record<Moved, SharedVector>
    this.#statistics = this.#made.copyOf(state.statistics)
    Object.assign(state, this.#vectors, { statistics: this.#statistics })
    this.#rateScale = this.#made.zeros(size)
    this.#decay = this.#made.zeros(size)
    for (const { name, shape, offset, size: count } of step.parameters) {
      this.#rateScale.fill(rateScale(name), offset, offset + count)
      this.#decay.fill(decay(name, shape), offset, offset + count)
    }
    const model = writeOnnx(step.graph)
    await Promise.all(
      Array.from({ length: workers }, async () => {
        this.#threads.push(await this.#thread(model))
      }),
    )
  }

  async #thread(model: Uint8Array): Promise<StepThread> {
    const { step, sessionThreads: threads = 1 } = this.#options
    return await StepThread.start({ model, threads, memory: this.#made.memory, pieces: step.pieces })
  }

  async describe(): Promise<Description> {
    return { description: `cpu (${this.#threads.length * (this.#options.sessionThreads ?? 1)} threads)`, software: false }
  }

  async sync(): Promise<void> {
    this.#bring('plain')
  }

  #bring(order: 'blocks' | 'plain'): void {
    if (order === this.#order) return
    for (const vector of Object.values(this.#vectors!)) orderFilters(vector, this.#options.step.parameters, order)
    this.#order = order
  }

  async stop(): Promise<void> {
    await this.sync()
    await Promise.all(this.#threads.map((thread) => thread.stop()))
  }

  /**
   * One update from some micro-batches (all of the graph's batch size), which are averaged by their shares.
   * @param rate the learning rate
   * @param averageDecay of the moving average of the parameters
   * @throws Error when ten steps in a row were not finite, naming the layer with the first NaN or infinity
   */
  async run(batches: readonly Feeds[], { rate, averageDecay }: { rate: number; averageDecay: number }): Promise<StepResult> {
    const { state, losses: names, statisticsMomentum = 0.03 } = this.#options
    this.#bring('blocks')
    const outputs = this.#outputsOf(batches.length)
    const waiting = [...batches.entries()]
    // Whichever thread is free takes the next: none waits for one that shares its core with others' work.
    await Promise.all(
      this.#threads.map(async (thread) => {
        for (let next = waiting.shift(); next; next = waiting.shift()) {
          const [i, feeds] = next
          await thread.run({ feeds, given: this.#given(), version: this.#version, outputs: outputs[i]! })
        }
      }),
    )
    const shares = outputs.map(({ share }) => share?.[0] ?? 1)
    const weights = shares.map((each) => each / shares.reduce((a, b) => a + b, 0))
    const losses = mean(
      outputs.map((each) => each.losses!),
      weights,
    )
    // A variance counts by its pictures, which are as many in each.
    const statistics =
      this.#statistics.length > 0
        ? mean(
            outputs.map(({ batchStatistics }) => batchStatistics!),
            Array(outputs.length).fill(1 / outputs.length),
          )
        : new Float32Array(0)
    const told = Object.fromEntries(names.map((name, i) => [name, losses[i]!]))
    const { norm, ...taken } = await this.#meanGradient(outputs, weights)
    // Nothing of a bad step is kept: neither its parameters nor its batch's statistics.
    const bad = ![norm, rate].every(Number.isFinite) || !allFinite(losses) || !allFinite(statistics)
    if (bad) return await this.#skip(batches, rate, told)
    this.#failures = 0
    await this.#update({ norm, ...taken }, { rate, averageDecay })
    for (const [i, value] of statistics.entries()) this.#statistics[i]! += statisticsMomentum * (value - this.#statistics[i]!)
    this.#version++
    state.step++
    return { losses: told, norm, skipped: false }
  }

  /** The mean of the micro-batches' gradients, in the memory of the first, with its L2 norm and each thread's share of it. */
  async #meanGradient(outputs: readonly SharedVectors[], weights: readonly number[]): Promise<MeanGradient> {
    const gradients = outputs.map(({ gradient }) => gradient!)
    const ranges = rangesOf(gradients[0]!.length, this.#threads.length)
    const squares = await Promise.all(this.#threads.map((thread, i) => thread.takeMean(gradients, weights, ranges[i]!)))
    return { gradient: gradients[0]!, ranges, norm: Math.sqrt(squares.flat().reduce((sum, each) => sum + each, 0)) }
  }

  async #update({ gradient, ranges, norm }: MeanGradient, rates: { rate: number; averageDecay: number }): Promise<void> {
    const { state, clip = 35, rule = adam } = this.#options
    const at = state.step + 1
    const update = {
      ...rates,
      rule,
      vectors: this.#vectors!,
      gradient,
      factor: clipping(norm, clip),
      rateScale: this.#rateScale,
      decay: this.#decay,
      correction1: 1 / (1 - adam.beta1 ** at),
      correction2: 1 / (1 - adam.beta2 ** at),
    }
    await Promise.all(this.#threads.map((thread, i) => thread.applyUpdate(update, ranges[i]!)))
  }

  /** Looks for the layer at the first of several bad steps only: that is a step more, and they all have the same cause. */
  async #skip(batches: readonly Feeds[], rate: number, losses: StepResult['losses']): Promise<StepResult> {
    const { step, state } = this.#options
    if (this.#failures++ === 0) {
      const run = async (model: Uint8Array, feeds: Feeds, outputs: SharedVectors) => {
        const thread = await this.#thread(model)
        try {
          await thread.run({ feeds, given: this.#given(), version: this.#version, outputs })
        } finally {
          await thread.stop()
        }
      }
      this.#cause = await causeOf({ step, state, batches, rate, vectors: this.#made, run })
    }
    if (this.#failures >= patience)
      throw new Error(`${this.#cause}; ${patience} steps in a row were left out, so the training stops at step ${state.step}`)
    return { losses, norm: Number.NaN, skipped: true, ...(this.#cause !== undefined && { cause: this.#cause }) }
  }

  #given(): SharedVectors {
    return { parameters: this.#vectors!.parameters, statistics: this.#statistics }
  }

  #outputsOf(parts: number): readonly SharedVectors[] {
    const { step, losses } = this.#options
    while (this.#outputs.length < parts)
      this.#outputs.push({
        gradient: this.#made.zeros(total(step.parameters)),
        losses: this.#made.zeros(losses.length),
        ...(step.graph.outputs.some(({ name }) => name === 'share') && { share: this.#made.zeros(1) }),
        ...(this.#statistics.length > 0 && { batchStatistics: this.#made.zeros(this.#statistics.length) }),
      })
    return this.#outputs.slice(0, parts)
  }
}

function mean(vectors: readonly Float32Array[], weights: readonly number[]): Float32Array {
  return vectors[0]!.map((_, i) => vectors.reduce((sum, each, part) => sum + each[i]! * weights[part]!, 0))
}
