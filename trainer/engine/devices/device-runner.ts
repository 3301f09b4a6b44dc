/** Takes training steps on a device in a process of its own. */
import { writeOnnx } from '../../onnx/write.ts'
import { type Feeds, unshared } from '../feeds.ts'
import type { Description, Runner, StepResult } from '../runner.ts'
import { total } from '../step-graph.ts'
import type { StepRunnerOptions } from '../step-runner.ts'
import { DeviceClient } from './device-client.ts'
import type { Device } from './executor.ts'
import { fuseStep } from './fused-step.ts'

export interface DeviceRunnerOptions extends Omit<StepRunnerOptions, 'workers' | 'sessionThreads'> {
  readonly device: Device
  /** Of the processor, for what the device leaves to it; a core each when left out. */
  readonly threads?: number
  readonly env?: NodeJS.ProcessEnv
}

/** Steps in a row without a finite gradient after which training stops with a cause. */
const patience = 10

export class DeviceRunner implements Runner {
  readonly #options: DeviceRunnerOptions
  readonly #client: DeviceClient
  #failures = 0

  constructor(options: DeviceRunnerOptions) {
    this.#options = options
    this.#client = new DeviceClient({ env: options.env })
  }

  async start(): Promise<void> {
    const { device, step, state, rateScale = () => 1, decay, clip = 35, statisticsMomentum = 0.03, rule } = this.#options
    const { threads = 0 } = this.#options
    const factors = { rateScale: new Float32Array(total(step.parameters)), decay: new Float32Array(total(step.parameters)) }
    for (const { name, shape, offset, size } of step.parameters) {
      factors.rateScale.fill(rateScale(name), offset, offset + size)
      factors.decay.fill(decay(name, shape), offset, offset + size)
    }
    const { graph, ...names } = fuseStep({ step, ...factors, clip, statisticsMomentum, rule })
    this.#client.start()
    await this.#client.ask('start', { device, threads, setup: { ...names, model: writeOnnx(graph), initial: state } })
  }

  /** @throws Error when the gradient was not finite for ten steps in a row, naming the first parameter with NaN or infinity */
  async run(batches: readonly Feeds[], rates: { rate: number; averageDecay: number }): Promise<StepResult> {
    const { losses: names, state } = this.#options
    if (batches.length !== 1) throw new Error(`a device takes the whole batch at once, not in ${batches.length} parts`)
    const told = await this.#client.ask('step', { feeds: unshared(batches[0]!), rates })
    const losses = Object.fromEntries(names.map((name, i) => [name, told[i]!]))
    if (!told.every(Number.isFinite)) {
      if (++this.#failures >= patience) throw await this.#cause(batches[0]!)
      return { losses, norm: Number.NaN, skipped: true }
    }
    this.#failures = 0
    state.step++
    return { losses, norm: told.at(-1)!, skipped: false }
  }

  async sync(): Promise<void> {
    Object.assign(this.#options.state, await this.#client.ask('state', null))
  }

  async describe(): Promise<Description> {
    return await this.#client.ask('describe', null)
  }

  async stop(): Promise<void> {
    await this.#client.stop()
  }

  async #cause(feeds: Feeds): Promise<Error> {
    const { step, state } = this.#options
    const gradient = await this.#client.ask('gradient', { model: writeOnnx(step.graph), feeds: unshared(feeds) })
    const bad = step.parameters.find(({ offset, size }) => !gradient.subarray(offset, offset + size).every(Number.isFinite))
    return new Error(
      `the gradient of ${bad?.name ?? 'the loss'} was NaN or infinite for ${patience} steps in a row (step ${state.step}); a smaller learning rate helps`,
    )
  }
}
