/** What the training loop needs of whatever takes its steps: the processor's threads, or a device in a process of its own. */
import type { Feeds } from './feeds.ts'

export interface StepResult {
  readonly losses: Readonly<Record<string, number>>
  /** L2 norm of the gradient; not finite when the step was skipped. */
  readonly norm: number
  readonly skipped: boolean
  /** Why it was skipped, for people, where that was found out. */
  readonly cause?: string
}

/** What really computes, in words, and whether that is a processor that poses as a graphics card. */
export interface Description {
  readonly description: string
  readonly software: boolean
}

export interface Runner {
  start(): Promise<void>
  /** Known once it was started. */
  describe(): Promise<Description>
  /** One update from some micro-batches of the graph's batch size, whose gradients are averaged. */
  run(batches: readonly Feeds[], rates: { rate: number; averageDecay: number }): Promise<StepResult>
  /** Brings the state that the runner was made with up to date: between the steps the vectors stay on a device of its own, or in its order. */
  sync(): Promise<void>
  stop(): Promise<void>
}
