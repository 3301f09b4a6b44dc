/** Batches ahead of time from threads of their own, so that data is hidden behind compute. */
import { Worker } from 'node:worker_threads'
import { MuninnError } from '../../protocol/errors.ts'
import type { Feeds } from '../engine/feeds.ts'
import type { Augmentation, Input } from './augment.ts'
import type { LoaderAnswer, LoaderRequest, LoaderSetup, LoaderWork } from './loader-worker.ts'

/** Steps whose batches are made before they are asked for. */
export const ahead = 3

export class Loader {
  readonly #parts: number
  /** Bytes of a micro-batch's pictures at most. */
  readonly #bytes: number
  readonly #workers: readonly Worker[]
  readonly #augmentation: (step: number) => Augmentation
  readonly #input: (step: number) => Input
  readonly #made = new Map<number, Promise<readonly Feeds[]>>()
  readonly #waiting = new Map<string, { resolve(feeds: Feeds): void; reject(error: Error): void }>()

  /**
   * @param input size of a step's pictures; the setup's, which is the largest, when left out
   * @param threads their number changes no batch
   */
  constructor({
    setup,
    augmentation,
    input = () => setup,
    threads,
  }: {
    setup: LoaderSetup
    augmentation: (step: number) => Augmentation
    input?: (step: number) => Input
    threads: number
  }) {
    this.#parts = setup.parts
    this.#bytes = setup.batch * setup.width * setup.height * 3
    // The same memory again and again: made anew for each batch, it would have V8 look for garbage at the cost of the threads that compute.
    const pictures = new SharedArrayBuffer((ahead + 1) * this.#parts * this.#bytes)
    this.#augmentation = augmentation
    this.#input = input
    this.#workers = Array.from(
      { length: threads },
      () =>
        new Worker(new URL('./loader-worker.js', import.meta.url), {
          workerData: { ...setup, pictures } satisfies LoaderWork,
          // Pictures lie outside the heap; room for short-lived objects as large as by default would only be memory.
          resourceLimits: { maxYoungGenerationSizeMb: 4 },
        }),
    )
    for (const worker of this.#workers) {
      worker.on('message', (answer: LoaderAnswer) => this.#take(worker, answer))
      worker.on('error', (error) => {
        for (const { reject } of this.#waiting.values()) reject(error)
      })
    }
  }

  /**
   * The micro-batches of a step; their pictures lie where those of the step before may have lain, whose time is over.
   * @throws MuninnError BAD_PICTURE naming the picture that cannot be decoded
   */
  async batches(step: number): Promise<readonly Feeds[]> {
    for (let i = step; i <= step + ahead; i++) if (!this.#made.has(i)) this.#request(i)
    const made = this.#made.get(step)!
    this.#made.delete(step)
    return await made
  }

  #request(step: number): void {
    const augmentation = this.#augmentation(step)
    const { width, height } = this.#input(step)
    const input = { width, height }
    const parts = Array.from({ length: this.#parts }, (_, part) => {
      const feeds = new Promise<Feeds>((resolve, reject) => this.#waiting.set(`${step} ${part}`, { resolve, reject }))
      this.#workers[(step * this.#parts + part) % this.#workers.length]!.postMessage({
        step,
        part,
        place: ((step % (ahead + 1)) * this.#parts + part) * this.#bytes,
        input,
        augmentation,
      } satisfies LoaderRequest)
      return feeds
    })
    const made = Promise.all(parts).then(balanced)
    // A failure is told to whoever asks for this step; nobody may ever ask for those made ahead.
    made.catch(() => {})
    this.#made.set(step, made)
  }

  #take(from: Worker, answer: LoaderAnswer): void {
    if ('kept' in answer) {
      for (const worker of this.#workers) if (worker !== from) worker.postMessage(answer)
      return
    }
    const key = `${answer.step} ${answer.part}`
    const waiting = this.#waiting.get(key)
    this.#waiting.delete(key)
    if ('error' in answer) waiting?.reject(new MuninnError('BAD_PICTURE', answer.error))
    else waiting?.resolve(answer.feeds)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
  }
}

/**
 * Every micro-batch counts by the positives of the whole step, so that the mean of their gradients is that of one batch. Each by its own, one
 * with few boxes would weigh as much as one with many, and its background many times as much.
 */
function balanced(batches: readonly Feeds[]): readonly Feeds[] {
  const positives = batches.reduce((sum, { weight }) => sum + (weight!.data as Float32Array).reduce((a, b) => a + b, 0), 0)
  for (const { normalizer } of batches) normalizer!.data[0] = batches.length / Math.max(1, positives)
  return batches
}
