/** A worker thread with a step session, as the thread that waits for it sees it. */
import { Worker } from 'node:worker_threads'
import type { Pass, Result, StepAnswer, StepRequest, Work, WorkerSetup } from './step-worker.ts'
import type { Range, Update } from './update.ts'
import type { SharedVector } from './vectors.ts'

export class StepThread {
  readonly #worker: Worker
  readonly #waiting = new Map<number, { resolve(result: Result): void; reject(error: Error): void }>()
  #next = 0

  private constructor(worker: Worker) {
    this.#worker = worker
    worker.on('message', (answer: StepAnswer) => {
      const waiting = this.#waiting.get(answer.id)
      this.#waiting.delete(answer.id)
      if ('error' in answer) waiting?.reject(new Error(`the training step failed: ${answer.error}`))
      else waiting?.resolve(answer.result)
    })
    worker.on('error', (error) => {
      for (const { reject } of this.#waiting.values()) reject(error)
      this.#waiting.clear()
    })
  }

  static async start(setup: WorkerSetup): Promise<StepThread> {
    const worker = new Worker(new URL('./step-worker.js', import.meta.url), { workerData: setup })
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve())
      worker.once('error', reject)
    })
    return new StepThread(worker)
  }

  /** Runs the session once and fills the outputs. */
  async run(pass: Pass): Promise<void> {
    await this.#ask({ pass })
  }

  /** That of update.ts's `Updater`. */
  async takeMean(gradients: readonly SharedVector[], weights: readonly number[], range: Range): Promise<readonly number[]> {
    return (await this.#ask({ mean: gradients, weights, range })) as readonly number[]
  }

  /** That of update.ts's `Updater`. */
  async applyUpdate(update: Update, range: Range): Promise<void> {
    await this.#ask({ update, range })
  }

  #ask(work: Work): Promise<Result> {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#worker.postMessage({ id, work } satisfies StepRequest)
    })
  }

  async stop(): Promise<void> {
    await this.#worker.terminate()
  }
}
