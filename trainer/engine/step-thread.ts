/** A worker thread with a step session, as the thread that waits for it sees it. */
import { Worker } from 'node:worker_threads'
import type { Feeds, StepAnswer, StepRequest, Vectors, WorkerSetup } from './step-worker.ts'

export class StepThread {
  readonly #worker: Worker
  readonly #waiting = new Map<number, { resolve(outputs: Vectors): void; reject(error: Error): void }>()
  #next = 0

  private constructor(worker: Worker) {
    this.#worker = worker
    worker.on('message', (answer: StepAnswer) => {
      const waiting = this.#waiting.get(answer.id)
      this.#waiting.delete(answer.id)
      if ('error' in answer) waiting?.reject(new Error(`the training step failed: ${answer.error}`))
      else waiting?.resolve(answer.outputs)
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

  /** @param outputs memory for the outputs by their names: it is gone from here and comes back filled */
  run(feeds: Feeds, outputs: Vectors): Promise<Vectors> {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#worker.postMessage(
        { id, feeds, outputs } satisfies StepRequest,
        Object.values(outputs).map(({ buffer }) => buffer),
      )
    })
  }

  async stop(): Promise<void> {
    await this.#worker.terminate()
  }
}
