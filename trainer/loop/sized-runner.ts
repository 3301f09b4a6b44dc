/** Takes steps of several sizes over one state. Graphs are kept by size; of sessions, which is where the memory is, there is one set at a time. */

import type { Input } from '../data/augment.ts'
import type { Feeds } from '../engine/feeds.ts'
import type { Description, Runner, StepResult } from '../engine/runner.ts'
import type { TrainerState } from '../engine/trainer-state.ts'
import type { Plan } from './plan.ts'

const keyOf = ({ width, height }: Input): string => `${width} ${height}`

export class SizedRunner implements Runner {
  readonly #state: TrainerState
  readonly #planned: (input: Input) => Promise<Plan>
  readonly #plans = new Map<string, Plan>()
  #size: string
  #runner: Runner

  /** @param input size of the first plan @param planned makes the plan of another one, for the same parameters in the same order */
  constructor({
    input,
    plan,
    state,
    planned,
  }: { input: Input; plan: Plan; state: TrainerState; planned: (input: Input) => Promise<Plan> }) {
    this.#state = state
    this.#planned = planned
    this.#size = keyOf(input)
    this.#plans.set(this.#size, plan)
    this.#runner = plan.runner(state)
  }

  async start(): Promise<void> {
    await this.#runner.start()
  }

  async describe(): Promise<Description> {
    return await this.#runner.describe()
  }

  /** The size is that of the pictures, [batch, height, width, 3]. */
  async run(batches: readonly Feeds[], rates: { rate: number; averageDecay: number }): Promise<StepResult> {
    const [, height, width] = batches[0]!.image!.shape as [number, number, number, number]
    if (keyOf({ width, height }) !== this.#size) await this.#change({ width, height })
    return await this.#runner.run(batches, rates)
  }

  async #change(input: Input): Promise<void> {
    await this.#runner.sync()
    await this.#runner.stop()
    const size = keyOf(input)
    const plan = this.#plans.get(size) ?? (await this.#planned(input))
    this.#plans.set(size, plan)
    this.#runner = plan.runner(this.#state)
    this.#size = size
    await this.#runner.start()
  }

  async sync(): Promise<void> {
    await this.#runner.sync()
  }

  async stop(): Promise<void> {
    await this.#runner.stop()
  }
}
