/** Puts samples together that came in parts, within a fixed amount of memory per device and over all. */
import { MuninnError } from '../../protocol/errors.ts'
import type { SamplePart } from '../../protocol/topics.ts'

interface Pending {
  readonly parts: (Uint8Array | undefined)[]
  received: number
  bytes: number
}

export class PartAssembler {
  readonly #maxBytes: number
  readonly #maxTotal: number
  /** In the order of each device's last part. */
  readonly #devices = new Map<string, Map<string, Pending>>()
  #total = 0

  /**
   * @param maxBytes of unfinished samples per device; the oldest are dropped first, and the device sends them again
   * @param maxTotal of all devices; those that have been silent longest are dropped first
   */
  constructor({ maxBytes, maxTotal }: { maxBytes: number; maxTotal: number }) {
    this.#maxBytes = maxBytes
    this.#maxTotal = maxTotal
  }

  /**
   * @returns the whole encoded sample once its last part is there
   * @throws MuninnError INVALID_INPUT for a part that does not fit the others, TOO_LARGE
   */
  add(device: string, { id, part, parts, bytes }: SamplePart): Uint8Array | null {
    if (part >= parts) throw new MuninnError('INVALID_INPUT', `sample part ${part} of ${parts}`)
    const pending = this.#devices.get(device) ?? new Map<string, Pending>()
    this.#devices.delete(device)
    this.#devices.set(device, pending)
    let sample = pending.get(id)
    // Cut differently than before (its limit changed): what is there does not fit any more.
    if (!sample || sample.parts.length !== parts) {
      this.#total -= sample?.bytes ?? 0
      sample = { parts: Array.from({ length: parts }, () => undefined), received: 0, bytes: 0 }
      pending.set(id, sample)
    }
    if (sample.parts[part] === undefined) {
      // A copy: the message's bytes may be a view into a network buffer that is used again.
      sample.parts[part] = Uint8Array.from(bytes)
      sample.received++
      sample.bytes += bytes.length
      this.#total += bytes.length
    }
    if (sample.bytes > this.#maxBytes) {
      this.#drop(device, pending, id)
      throw new MuninnError('TOO_LARGE', `a sample in parts of more than ${this.#maxBytes} bytes`)
    }
    if (sample.received === parts) {
      this.#drop(device, pending, id)
      return Buffer.concat(sample.parts.filter((each) => each !== undefined))
    }
    this.#shrink(device, pending, id)
    return null
  }

  #drop(device: string, pending: Map<string, Pending>, id: string): void {
    this.#total -= pending.get(id)?.bytes ?? 0
    pending.delete(id)
    if (pending.size === 0) this.#devices.delete(device)
  }

  #shrink(device: string, pending: Map<string, Pending>, keep: string): void {
    let own = [...pending.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    for (const [id, { bytes }] of pending) {
      if (own <= this.#maxBytes) break
      if (id === keep) continue
      this.#drop(device, pending, id)
      own -= bytes
    }
    for (const [other, unfinished] of this.#devices) {
      if (this.#total <= this.#maxTotal) break
      if (other !== device) for (const id of [...unfinished.keys()]) this.#drop(other, unfinished, id)
    }
  }
}
