/** Batches ahead of time from a thread of their own, so that data is hidden behind compute. */
import { Worker } from 'node:worker_threads'
import { MuninnError } from '../../protocol/errors.ts'
import type { Feeds } from '../engine/step-worker.ts'
import type { Augmentation, Input } from './augment.ts'
import type { BatchAnswer, BatchRequest, LoaderSetup } from './loader-worker.ts'

/** Steps whose batches are made before they are asked for. */
export const ahead = 3

export class Loader {
  readonly #worker: Worker
  readonly #augmentation: (step: number) => Augmentation
  readonly #input: (step: number) => Input
  readonly #made = new Map<number, Promise<readonly Feeds[]>>()
  readonly #waiting = new Map<number, { resolve(batches: readonly Feeds[]): void; reject(error: Error): void }>()

  /** @param input size of a step's pictures; the setup's, which is the largest, when left out */
  constructor({
    setup,
    augmentation,
    input = () => setup,
  }: {
    setup: LoaderSetup
    augmentation: (step: number) => Augmentation
    input?: (step: number) => Input
  }) {
    this.#augmentation = augmentation
    this.#input = input
    this.#worker = new Worker(new URL('./loader-worker.js', import.meta.url), { workerData: setup })
    this.#worker.on('message', (answer: BatchAnswer) => {
      const waiting = this.#waiting.get(answer.step)
      this.#waiting.delete(answer.step)
      if ('error' in answer) waiting?.reject(new MuninnError('BAD_PICTURE', answer.error))
      else waiting?.resolve(answer.batches)
    })
    this.#worker.on('error', (error) => {
      for (const { reject } of this.#waiting.values()) reject(error)
    })
  }

  /** The micro-batches of a step. @throws MuninnError BAD_PICTURE naming the picture that cannot be decoded */
  async batches(step: number): Promise<readonly Feeds[]> {
    for (let i = step; i <= step + ahead; i++) if (!this.#made.has(i)) this.#request(i)
    const made = this.#made.get(step)!
    this.#made.delete(step)
    return await made
  }

  #request(step: number): void {
    const made = new Promise<readonly Feeds[]>((resolve, reject) => this.#waiting.set(step, { resolve, reject }))
    // A failure is told to whoever asks for this step; nobody may ever ask for those made ahead.
    made.catch(() => {})
    this.#made.set(step, made)
    const { width, height } = this.#input(step)
    const request: BatchRequest = { step, input: { width, height }, augmentation: this.#augmentation(step) }
    this.#worker.postMessage(request)
  }

  async stop(): Promise<void> {
    await this.#worker.terminate()
  }
}
