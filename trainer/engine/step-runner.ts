/** Runs training steps: micro-batches on several threads, gradients averaged in a fixed order, one update. */
import { Worker } from 'node:worker_threads'
import ort from 'onnxruntime-node'
import { writeOnnx } from '../onnx/write.ts'
import type { Description, Runner, StepResult } from './runner.ts'
import { type StepGraph, total } from './step-graph.ts'
import type { Feeds, StepAnswer, StepRequest, WorkerSetup } from './step-worker.ts'
import type { TrainerState } from './trainer-state.ts'
import { adam, updateGraph } from './update-graph.ts'

export interface StepRunnerOptions {
  readonly step: StepGraph
  /** Names of the entries of the step's `losses`. */
  readonly losses: readonly string[]
  readonly state: TrainerState
  /** Threads; each has a session of its own. */
  readonly workers: number
  /** Factor of the learning rate by parameter name; 1 when left out. */
  readonly rateScale?: (name: string) => number
  /** Weight decay by parameter name. */
  readonly decay: (name: string, shape: readonly number[]) => number
  /** Share of the batch's statistics that enters the running ones. */
  readonly statisticsMomentum?: number
  /** Greatest L2 norm of the gradient. */
  readonly clip?: number
}

interface Thread {
  readonly worker: Worker
  readonly waiting: Map<number, { resolve(outputs: Record<string, Float32Array>): void; reject(error: Error): void }>
}

/** Steps in a row without a finite gradient after which training stops with a cause. */
const patience = 10

export class StepRunner implements Runner {
  readonly #options: StepRunnerOptions
  readonly #threads: Thread[] = []
  #update: ort.InferenceSession | null = null
  #shared: Record<string, Float32Array> = {}
  #rateScale = new Float32Array(0)
  #decay = new Float32Array(0)
  #next = 0
  #failures = 0

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
    this.#rateScale = new Float32Array(size)
    this.#decay = new Float32Array(size)
    for (const { name, shape, offset, size: count } of step.parameters) {
      this.#rateScale.fill(rateScale(name), offset, offset + count)
      this.#decay.fill(decay(name, shape), offset, offset + count)
    }
    const shared = Object.fromEntries(
      Object.entries(this.#shared).map(([name, view]) => [name, view.buffer as SharedArrayBuffer]),
    )
    const model = writeOnnx(step.graph)
    await Promise.all(
      Array.from({ length: workers }, async () => {
        const worker = new Worker(new URL('./step-worker.js', import.meta.url), {
          workerData: { model, shared, threads: 1 } satisfies WorkerSetup,
        })
        const thread: Thread = { worker, waiting: new Map() }
        this.#threads.push(thread)
        await new Promise<void>((resolve, reject) => {
          worker.once('message', () => resolve())
          worker.once('error', reject)
        })
        worker.on('message', (answer: StepAnswer) => {
          const waiting = thread.waiting.get(answer.id)
          thread.waiting.delete(answer.id)
          if ('error' in answer) waiting?.reject(new Error(`the training step failed: ${answer.error}`))
          else waiting?.resolve(answer.outputs)
        })
        worker.on('error', (error) => {
          for (const { reject } of thread.waiting.values()) reject(error)
          thread.waiting.clear()
        })
      }),
    )
    this.#update = await ort.InferenceSession.create(writeOnnx(updateGraph(size)), {
      enableMemPattern: false,
      intraOpNumThreads: 1,
    })
  }

  async describe(): Promise<Description> {
    return { description: `cpu (${this.#threads.length} threads)`, software: false }
  }

  /** The state is up to date after each step. */
  async sync(): Promise<void> {}

  async stop(): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()))
    await this.#update?.release()
  }

  /**
   * One update from some micro-batches (all of the graph's batch size), which are averaged.
   * @param rate the learning rate
   * @param averageDecay of the moving average of the parameters
   * @throws Error when the gradient was not finite for ten steps in a row, naming the first parameter with NaN or infinity
   */
  async run(batches: readonly Feeds[], { rate, averageDecay }: { rate: number; averageDecay: number }): Promise<StepResult> {
    const { state, losses: names, clip = 35, statisticsMomentum = 0.03, step } = this.#options
    const results = await Promise.all(batches.map((feeds, i) => this.#forward(this.#threads[i % this.#threads.length]!, feeds)))
    // Summed in the order of the batches, not of their arrival: the same seed gives the same numbers with any number of threads.
    const gradient = mean(results.map((each) => each.gradient!))
    const losses = mean(results.map((each) => each.losses!))
    const told = Object.fromEntries(names.map((name, i) => [name, losses[i]!]))
    if (!allFinite(gradient) || !allFinite(losses)) {
      if (++this.#failures >= patience) {
        const bad = step.parameters.find(({ offset, size }) => !allFinite(gradient.subarray(offset, offset + size)))
        throw new Error(
          `the gradient of ${bad?.name ?? 'the loss'} was NaN or infinite for ${patience} steps in a row (step ${state.step}); a smaller learning rate helps`,
        )
      }
      return { losses: told, norm: Number.NaN, skipped: true }
    }
    this.#failures = 0
    state.step++
    const vector = (data: Float32Array) => new ort.Tensor('float32', data, [data.length])
    const scalar = (value: number) => new ort.Tensor('float32', [value], [1])
    const out = await this.#update!.run({
      parameters: vector(state.parameters),
      moment1: vector(state.moment1),
      moment2: vector(state.moment2),
      average: vector(state.average),
      gradient: vector(gradient),
      rateScale: vector(this.#rateScale),
      decay: vector(this.#decay),
      rate: scalar(rate),
      correction1: scalar(1 / (1 - adam.beta1 ** state.step)),
      correction2: scalar(1 / (1 - adam.beta2 ** state.step)),
      averageDecay: scalar(averageDecay),
      clip: scalar(clip),
    })
    state.parameters = out.parametersOut!.data as Float32Array
    state.moment1 = out.moment1Out!.data as Float32Array
    state.moment2 = out.moment2Out!.data as Float32Array
    state.average = out.averageOut!.data as Float32Array
    this.#shared.parameters!.set(state.parameters)
    if (step.statistics.length > 0) {
      const batch = mean(results.map((each) => each.batchStatistics!))
      for (const [i, value] of batch.entries()) state.statistics[i]! += statisticsMomentum * (value - state.statistics[i]!)
      this.#shared.statistics!.set(state.statistics)
    }
    return { losses: told, norm: Number(out.norm!.data[0]), skipped: false }
  }

  #forward(thread: Thread, feeds: Feeds): Promise<Record<string, Float32Array>> {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      thread.waiting.set(id, { resolve, reject })
      thread.worker.postMessage({ id, feeds } satisfies StepRequest)
    })
  }
}

function mean(vectors: readonly Float32Array[]): Float32Array {
  const [first, ...rest] = vectors
  if (rest.length === 0) return first!
  const sum = first!.slice()
  for (const each of rest) for (let i = 0; i < sum.length; i++) sum[i]! += each[i]!
  for (let i = 0; i < sum.length; i++) sum[i]! /= vectors.length
  return sum
}

/** Any NaN or infinity makes the sum of its multiples with 0 NaN: one pass without a call per number. */
function allFinite(values: Float32Array): boolean {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! * 0
  return sum === 0
}
