/** Puts samples together that came in parts, within a fixed amount of memory per device. */
import { MuninnError } from '../../protocol/errors.ts'
import type { SamplePart } from '../../protocol/topics.ts'

interface Pending {
  readonly parts: (Uint8Array | undefined)[]
  received: number
  bytes: number
}

export class PartAssembler {
  readonly #maxBytes: number
  readonly #devices = new Map<string, Map<string, Pending>>()

  /** @param maxBytes of unfinished samples per device; the oldest are dropped first, and the device sends them again */
  constructor({ maxBytes }: { maxBytes: number }) {
    this.#maxBytes = maxBytes
  }

  /**
   * @returns the whole encoded sample once its last part is there
   * @throws MuninnError INVALID_INPUT for a part that does not fit the others, TOO_LARGE
   */
  add(device: string, { id, part, parts, bytes }: SamplePart): Uint8Array | null {
    if (part >= parts) throw new MuninnError('INVALID_INPUT', `sample part ${part} of ${parts}`)
    const pending = this.#devices.get(device) ?? new Map<string, Pending>()
    this.#devices.set(device, pending)
    let sample = pending.get(id)
    // Cut differently than before (its limit changed): what is there does not fit any more.
    if (!sample || sample.parts.length !== parts) {
      sample = { parts: Array.from({ length: parts }, () => undefined), received: 0, bytes: 0 }
      pending.set(id, sample)
    }
    if (sample.parts[part] === undefined) {
      // A copy: the message's bytes may be a view into a network buffer that is used again.
      sample.parts[part] = Uint8Array.from(bytes)
      sample.received++
      sample.bytes += bytes.length
    }
    if (sample.bytes > this.#maxBytes) {
      pending.delete(id)
      throw new MuninnError('TOO_LARGE', `a sample in parts of more than ${this.#maxBytes} bytes`)
    }
    if (sample.received === parts) {
      this.#drop(device, pending, id)
      return Buffer.concat(sample.parts.filter((each) => each !== undefined))
    }
    this.#shrink(pending, id)
    return null
  }

  forget(device: string): void {
    this.#devices.delete(device)
  }

  #drop(device: string, pending: Map<string, Pending>, id: string): void {
    pending.delete(id)
    if (pending.size === 0) this.#devices.delete(device)
  }

  #shrink(pending: Map<string, Pending>, keep: string): void {
    let total = [...pending.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    for (const [id, { bytes }] of pending) {
      if (total <= this.#maxBytes) return
      if (id === keep) continue
      pending.delete(id)
      total -= bytes
    }
  }
}
