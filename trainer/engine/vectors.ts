/** Flat vectors of float32 in memory that all threads and the loops of update-kernels.wat see. */
import { growTo, type SharedMemory, sharedMemory } from '../../protocol/web-assembly.ts'

export type SharedVector = Float32Array<SharedArrayBuffer>
export type SharedVectors = Readonly<Record<string, SharedVector>>

/** Each begins at a line of the caches, and what is left of its last one is zeros. */
const lineBytes = 64

export class Vectors {
  /** What a thread is given to see them all. */
  readonly memory: SharedMemory = sharedMemory()
  #used = 0

  /** @throws Error when they come to more than 4 GiB */
  zeros(length: number): SharedVector {
    const at = this.#used
    const end = at + Math.ceil((length * 4) / lineBytes) * lineBytes
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
