/** The outbox's entries in order of value: the first to be evicted at one end, the first to be sent at the other. */
import type { Entry } from './entry.ts'

export interface Limits {
  readonly maxBytes: number
  readonly maxSamples: number
}

/**
 * Share of the limits that audit samples may hold against mined ones. They are worth nothing to training and everything to an honest
 * evaluation, so they are kept before any mined sample up to this share, and beyond it are the first to go.
 */
export const auditShare = 0.25

/** Least valuable first. Among audit samples the id decides: a hash, so what stays is still a fair random choice of the frames. */
function compare(a: Entry, b: Entry): number {
  if (!a.audit && a.score !== b.score) return a.score - b.score
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0
}

function position(list: readonly Entry[], entry: Entry): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compare(list[middle]!, entry) < 0) low = middle + 1
    else high = middle
  }
  return low
}

/** Sorted lists, so that adding, evicting and choosing the next to send stay cheap with 100 000 samples waiting. */
export class Ranking {
  readonly #entries = new Map<string, Entry>()
  readonly #mined: Entry[] = []
  readonly #audit: Entry[] = []
  #bytes = 0
  #auditBytes = 0

  get size(): number {
    return this.#entries.size
  }

  get bytes(): number {
    return this.#bytes
  }

  get(id: string): Entry | undefined {
    return this.#entries.get(id)
  }

  add(entry: Entry): void {
    this.#entries.set(entry.id, entry)
    const list = entry.audit ? this.#audit : this.#mined
    list.splice(position(list, entry), 0, entry)
    this.#bytes += entry.bytes
    if (entry.audit) this.#auditBytes += entry.bytes
  }

  remove(id: string): Entry | undefined {
    const entry = this.#entries.get(id)
    if (!entry) return undefined
    this.#entries.delete(id)
    const list = entry.audit ? this.#audit : this.#mined
    list.splice(position(list, entry), 1)
    this.#bytes -= entry.bytes
    if (entry.audit) this.#auditBytes -= entry.bytes
    return entry
  }

  /** The entry that must go so that these limits hold, or null when they do. */
  victim(limits: Limits): Entry | null {
    if (this.#entries.size <= limits.maxSamples && this.#bytes <= limits.maxBytes) return null
    const tooManyAudits = this.#audit.length > limits.maxSamples * auditShare || this.#auditBytes > limits.maxBytes * auditShare
    const list = this.#mined.length === 0 || (tooManyAudits && this.#audit.length > 0) ? this.#audit : this.#mined
    return list[0] ?? null
  }

  /** The least valuable entry of all, for when the disk itself is full. */
  least(): Entry | null {
    return this.#mined[0] ?? this.#audit[0] ?? null
  }

  /** The most valuable entry that `isFree`; audit samples go first, being few. */
  next(isFree: (id: string) => boolean): Entry | null {
    for (const list of [this.#audit, this.#mined]) {
      for (let index = list.length - 1; index >= 0; index--) if (isFree(list[index]!.id)) return list[index]!
    }
    return null
  }
}
