/** A detector in a worker thread of its own: `session.run` blocks the thread it is called on. */
import { Worker } from 'node:worker_threads'
import { MuninnError } from '../../protocol/errors.ts'

/** What the model gave for one frame, in pixels of the model's input. */
export interface RawDetections {
  /** [n, 4] x1 y1 x2 y2 */
  readonly boxes: Float32Array
  /** [n, classes] probabilities */
  readonly scores: Float32Array
  /** number of classes: scores.length / (boxes.length / 4); 0 when n is 0 */
  readonly classes: number
  /** [D], L2-normalised */
  readonly embedding: Float32Array
  readonly milliseconds: number
}

export type ToWorker =
  | { kind: 'load'; path: string; threads: number }
  | { kind: 'detect'; id: number; tensor: Uint8Array }
  | { kind: 'stop' }
export type FromWorker =
  | { kind: 'loaded'; width: number; height: number }
  | { kind: 'failed'; id: number | null; code: 'BAD_MODEL' | 'INTERNAL'; message: string }
  | ({ kind: 'detected'; id: number; tensor: Uint8Array } & RawDetections)

/** A run may take this long to end before its thread is given up, milliseconds. */
const stopTimeout = 10_000

interface Waiting {
  resolve(result: RawDetections & { tensor: Uint8Array }): void
  reject(error: Error): void
}

export class Detector {
  readonly width: number
  readonly height: number
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  #next = 0
  #dead: Error | null = null

  private constructor(worker: Worker, shape: { width: number; height: number }) {
    this.#worker = worker
    this.width = shape.width
    this.height = shape.height
    worker.on('message', (message: FromWorker) => this.#receive(message))
    worker.on('error', (error) => this.#die(error))
    worker.on('exit', () => this.#die(new MuninnError('UNAVAILABLE', 'the detector was stopped')))
  }

  /**
   * Loads a deployed model.
   * @param threads of the inference; 0: as many as there are cores
   * @throws MuninnError BAD_MODEL when the file is no deployed model
   */
  static async load({ path, threads = 0 }: { path: string; threads?: number }): Promise<Detector> {
    const worker = new Worker(new URL('./detector-worker.js', import.meta.url))
    try {
      const shape = await new Promise<{ width: number; height: number }>((resolve, reject) => {
        worker.once('error', reject)
        worker.once('exit', () => reject(new MuninnError('BAD_MODEL', `${path}: the runtime died while loading it`)))
        worker.once('message', (message: FromWorker) => {
          if (message.kind === 'loaded') resolve(message)
          else
            reject(new MuninnError('BAD_MODEL', message.kind === 'failed' ? `${path}: ${message.message}` : `${path}: no answer`))
        })
        worker.postMessage({ kind: 'load', path, threads } satisfies ToWorker)
      })
      return new Detector(worker, shape)
    } catch (error) {
      await worker.terminate()
      throw error
    }
  }

  /**
   * Runs the model on one letterboxed RGB frame, uint8 [1, height, width, 3]. The tensor's memory goes to the worker and comes
   * back with the result, so that no frame is copied.
   */
  detect(tensor: Uint8Array): Promise<RawDetections & { tensor: Uint8Array }> {
    if (this.#dead) return Promise.reject(this.#dead)
    const bytes = this.width * this.height * 3
    if (tensor.length !== bytes)
      return Promise.reject(new MuninnError('INVALID_INPUT', `the frame has ${tensor.length} bytes, the model takes ${bytes}`))
    const id = this.#next++
    // A view into a larger buffer (or a pooled one) cannot be given away alone.
    const own =
      tensor.byteOffset === 0 && tensor.byteLength === tensor.buffer.byteLength && !Buffer.isBuffer(tensor)
        ? tensor
        : new Uint8Array(tensor)
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#worker.postMessage({ kind: 'detect', id, tensor: own } satisfies ToWorker, [own.buffer as ArrayBuffer])
    })
  }

  /**
   * Lets a run that is under way end, then the thread. Terminating it from outside while it is in the runtime would abort the whole
   * process (an N-API call in an environment that is going away), so a thread that hangs is left behind instead.
   */
  async stop(): Promise<void> {
    if (this.#dead) return
    const gone = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()))
    this.#worker.postMessage({ kind: 'stop' } satisfies ToWorker)
    this.#worker.unref()
    let timer: NodeJS.Timeout | undefined
    await Promise.race([
      gone,
      new Promise((resolve) => {
        timer = setTimeout(resolve, stopTimeout)
      }),
    ])
    clearTimeout(timer)
  }

  #receive(message: FromWorker): void {
    if (message.kind === 'loaded' || message.id === null) return
    const waiting = this.#waiting.get(message.id)
    this.#waiting.delete(message.id)
    if (message.kind === 'detected') waiting?.resolve(message)
    else waiting?.reject(new MuninnError(message.code, message.message))
  }

  #die(error: Error): void {
    this.#dead ??= error
    for (const { reject } of this.#waiting.values()) reject(this.#dead)
    this.#waiting.clear()
  }
}
