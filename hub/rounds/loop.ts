/** Turns the loop: whenever something changed, and every few seconds, one pass over rollouts and rounds; never two at a time. */
import type { HubEvent } from '../../protocol/http/fleet.ts'
import type { Events } from '../events/events.ts'
import type { Rollouts } from '../rollouts/rollouts.ts'
import type { TrainerDesk } from '../runs/trainer-desk.ts'
import type { Rounds } from './rounds.ts'

/** A flood of samples must not turn into a flood of passes. */
const restMilliseconds = 200
/** Leases run out without any event. */
const tickMilliseconds = 5000
/** Kinds after which a next step may be due. */
const stirring: ReadonlySet<HubEvent['kind']> = new Set(['sample', 'task', 'run', 'model', 'device', 'rollout', 'settings'])

interface Parts {
  readonly rollouts: Rollouts
  readonly rounds: Rounds
  readonly desk: TrainerDesk
  readonly events: Events
  readonly onError: (error: unknown) => void
}

export class Loop {
  readonly #parts: Parts
  #timer: NodeJS.Timeout | undefined
  #unsubscribe: (() => void) | undefined
  #running: Promise<void> | undefined
  #again = false
  #wake: (() => void) | undefined
  #stopped = true

  constructor(parts: Parts) {
    this.#parts = parts
  }

  start(): void {
    this.#stopped = false
    this.#unsubscribe = this.#parts.events.subscribe((event) => {
      if (stirring.has(event.kind)) this.stir()
    })
    this.#timer = setInterval(() => this.stir(), tickMilliseconds)
    this.stir()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    this.#unsubscribe?.()
    this.#wake?.()
    await this.#running
  }

  /** Cut short by `stop`. */
  async #rest(milliseconds: number): Promise<void> {
    if (milliseconds <= 0 || this.#stopped) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** Asks for a pass; those asked for during one are done together after it. */
  stir(): void {
    if (this.#stopped) return
    this.#again = true
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
      if (this.#again) this.stir()
    })
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false
      const began = Date.now()
      try {
        await this.#parts.desk.reclaim()
        await this.#parts.rollouts.advance()
        await this.#parts.rounds.advance()
      } catch (error) {
        this.#parts.onError(error)
      }
      if (this.#again) await this.#rest(restMilliseconds - (Date.now() - began))
    }
  }
}
