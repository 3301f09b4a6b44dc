/** Training steps on one executor, with the state kept on its device. Runs in the device's own process. */
import type { Feed, Feeds } from '../feeds.ts'
import type { TrainerState } from '../trainer-state.ts'
import { adam } from '../update-graph.ts'
import type { Executor, Program } from './executor.ts'
import type { FusedStep, StateVector } from './fused-step.ts'

/** Everything that a device's process is told at its start; the graph as the bytes of an ONNX file. */
export interface DeviceSetup extends Omit<FusedStep, 'graph'> {
  readonly model: Uint8Array
  readonly initial: TrainerState
}

export interface StepRates {
  readonly rate: number
  readonly averageDecay: number
}

const vector = (data: Float32Array): Feed => ({ type: 'float32', shape: [data.length], data })

export class DeviceStep<T> {
  readonly #executor: Executor<T>
  readonly #setup: DeviceSetup
  #program: Program<T> | null = null
  /** The state on the device by input name; null until the first step put it there. */
  #held: Readonly<Record<string, T>> | null = null
  #step: number

  constructor({ executor, setup }: { executor: Executor<T>; setup: DeviceSetup }) {
    this.#executor = executor
    this.#setup = setup
    this.#step = setup.initial.step
  }

  async start(): Promise<void> {
    const { model, state } = this.#setup
    this.#program = await this.#executor.compile(model, { kept: Object.values(state).map(({ output }) => output) })
  }

  /** @returns the losses followed by the norm of the gradient; where one is not finite, the state is left as it was */
  async run(feeds: Feeds, { rate, averageDecay }: StepRates): Promise<Float32Array> {
    const { state, scalars, report } = this.#setup
    const next = this.#step + 1
    const outputs = await this.#program!.run({
      feeds: {
        ...feeds,
        ...(this.#held === null && this.#initialFeeds()),
        [scalars.rate]: vector(Float32Array.of(rate)),
        [scalars.correction1]: vector(Float32Array.of(1 / (1 - adam.beta1 ** next))),
        [scalars.correction2]: vector(Float32Array.of(1 / (1 - adam.beta2 ** next))),
        [scalars.averageDecay]: vector(Float32Array.of(averageDecay)),
      },
      held: this.#held ?? {},
    })
    const told = await this.#executor.read(outputs[report]!)
    const made = Object.fromEntries(Object.values(state).map(({ input, output }) => [input, outputs[output]!]))
    const finite = told.every(Number.isFinite)
    for (const tensor of [outputs[report]!, ...Object.values((finite ? this.#held : made) ?? {})]) this.#executor.free(tensor)
    if (finite) {
      this.#held = made
      this.#step = next
    }
    return told
  }

  async state(): Promise<TrainerState> {
    const { state, initial } = this.#setup
    const now = { ...initial, step: this.#step }
    if (this.#held === null) return now
    for (const name of Object.keys(state) as StateVector[]) now[name] = await this.#executor.read(this.#held[state[name]!.input]!)
    return now
  }

  /** The gradient of the step graph alone at the present state: to say where it is not finite. */
  async gradient(model: Uint8Array, feeds: Feeds): Promise<Float32Array> {
    const program = await this.#executor.compile(model, { kept: [] })
    const { parameters, statistics } = await this.state()
    const { gradient } = await program.run({
      feeds: { ...feeds, parameters: vector(parameters), statistics: vector(statistics) },
      held: {},
    })
    const values = await this.#executor.read(gradient!)
    await program.close()
    return values
  }

  async stop(): Promise<void> {
    await this.#executor.close()
  }

  #initialFeeds(): Feeds {
    const { state, initial } = this.#setup
    return Object.fromEntries((Object.keys(state) as StateVector[]).map((name) => [state[name]!.input, vector(initial[name])]))
  }
}
