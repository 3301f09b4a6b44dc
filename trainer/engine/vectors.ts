/** Flat vectors of float32 in memory that all threads and the loops of update-kernels.wat see. */
import { MuninnError } from '../../protocol/errors.ts'
import { growTo, type SharedMemory, sharedMemory } from '../../protocol/web-assembly.ts'

export type SharedVector = Float32Array<SharedArrayBuffer>
export type SharedVectors = Readonly<Record<string, SharedVector>>

/** What WebAssembly can address. */
const mostBytes = 2 ** 32

/** Each begins at a line of the caches, and what is left of its last one is zeros. */
const lineBytes = 64

export class Vectors {
  /** What a thread is given to see them all. */
  readonly memory: SharedMemory = sharedMemory()
  #used = 0

  /** @throws MuninnError TOO_LARGE when they come to more than 4 GiB */
  zeros(length: number): SharedVector {
    const at = this.#used
    const end = at + Math.ceil((length * 4) / lineBytes) * lineBytes
    if (end > mostBytes)
      throw new MuninnError(
        'TOO_LARGE',
        'the parameters, their moments and the gradients of all parts of a batch come to more than 4 GiB: a smaller batch (--batch) has fewer parts',
      )
    growTo(this.memory, end)
    this.#used = end
    return new Float32Array(this.memory.buffer, at, length)
  }

  copyOf(values: Float32Array): SharedVector {
    const copy = this.zeros(values.length)
    copy.set(values)
    return copy
  }
}
