/** Samples on disk until the hub has them: one whole file each, so that a crash at any instant loses and tears nothing. */
import { EventEmitter } from 'node:events'
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { removeTorn, writeDurably } from '../storage/write-file.ts'
import { type Entry, entryName, parseEntryName } from './entry.ts'
import { type Limits, Ranking } from './ranking.ts'

export interface OutboxOptions extends Limits {
  readonly folder: string
}

export interface OutboxCounts {
  readonly samples: number
  readonly bytes: number
  /** Dropped to keep within the limits, since the agent started. */
  readonly evicted: number
  /** Dropped because the hub will never take them, or because the disk gave them back damaged. */
  readonly refused: number
}

const isFull = (error: unknown) =>
  error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')

/** Emits `added` after each sample that was committed. */
export class Outbox extends EventEmitter<{ added: [] }> {
  readonly #folder: string
  readonly #limits: Limits
  readonly #ranking = new Ranking()
  /** Ranked already, so that it can be the one that has no room, and not yet on disk. */
  #unwritten: string | null = null
  #evicted = 0
  #refused = 0
  /** Changes go one after another: two adds must not both see the same free room. */
  #tail: Promise<unknown> = Promise.resolve()

  constructor({ folder, maxBytes, maxSamples }: OutboxOptions) {
    super()
    this.#folder = folder
    this.#limits = { maxBytes, maxSamples }
  }

  /** Finds what an earlier run left; half-written files are removed, since nobody was told that they are safe. */
  async start(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    await removeTorn(this.#folder)
    for (const name of await readdir(this.#folder)) {
      const known = parseEntryName(name)
      if (!known) continue
      const { size } = await stat(join(this.#folder, name))
      const twin = this.#ranking.get(known.id)
      if (twin) await rm(join(this.#folder, name))
      else this.#ranking.add({ ...known, bytes: size })
    }
    await this.#exclusive(() => this.#makeRoom())
  }

  /** Waits for changes that are under way. */
  async stop(): Promise<void> {
    await this.#tail
  }

  get counts(): OutboxCounts {
    return { samples: this.#ranking.size, bytes: this.#ranking.bytes, evicted: this.#evicted, refused: this.#refused }
  }

  /**
   * Commits a sample: once this resolves true, it is on disk. False: it was the least valuable one and there is no room (counted as
   * evicted), or it is here already.
   * @param encoded the sample in CBOR
   */
  add(sample: Omit<Entry, 'bytes'>, encoded: Uint8Array): Promise<boolean> {
    return this.#exclusive(async () => {
      const name = entryName(sample)
      const entry: Entry = { ...parseEntryName(name)!, bytes: encoded.byteLength }
      if (this.#ranking.get(entry.id)) return false
      this.#unwritten = entry.id
      try {
        this.#ranking.add(entry)
        await this.#makeRoom()
        if (this.#ranking.get(entry.id)) await this.#write(name, entry, encoded)
      } catch (error) {
        this.#ranking.remove(entry.id)
        throw error
      } finally {
        this.#unwritten = null
      }
      if (!this.#ranking.get(entry.id)) return false
      this.emit('added')
      return true
    })
  }

  /** The most valuable sample that is not among those being sent. */
  next(isFree: (id: string) => boolean): Entry | null {
    return this.#ranking.next((id) => id !== this.#unwritten && isFree(id))
  }

  /** The encoded sample; null when it was evicted in the meantime. */
  async read(id: string): Promise<Uint8Array | null> {
    const entry = this.#ranking.get(id)
    if (!entry) return null
    try {
      return await readFile(join(this.#folder, entryName(entry)))
    } catch (error) {
      if (!this.#ranking.get(id)) return null
      throw error
    }
  }

  /** Forgets what the hub has on disk. Unknown ids are fine: an ack may come twice. */
  forget(ids: readonly string[]): Promise<void> {
    return this.#exclusive(async () => {
      for (const id of ids) await this.#remove(id)
    })
  }

  /** Forgets a sample that the hub will never take, or that is damaged. */
  refuse(ids: readonly string[]): Promise<void> {
    return this.#exclusive(async () => {
      for (const id of ids) {
        if (this.#ranking.get(id)) this.#refused++
        await this.#remove(id)
      }
    })
  }

  async #write(name: string, entry: Entry, encoded: Uint8Array): Promise<void> {
    for (;;) {
      try {
        return await writeDurably(join(this.#folder, name), encoded)
      } catch (error) {
        if (!isFull(error)) throw error
        // The disk is fuller than our limits allow for: give way ourselves, least valuable first.
        const victim = this.#ranking.least()
        if (!victim) throw error
        this.#evicted++
        await this.#remove(victim.id)
        if (victim.id === entry.id) return
      }
    }
  }

  async #makeRoom(): Promise<void> {
    for (let victim = this.#ranking.victim(this.#limits); victim; victim = this.#ranking.victim(this.#limits)) {
      this.#evicted++
      if (victim.id === this.#unwritten) this.#ranking.remove(victim.id)
      else await this.#remove(victim.id)
    }
  }

  async #remove(id: string): Promise<void> {
    const entry = this.#ranking.remove(id)
    if (entry) await rm(join(this.#folder, entryName(entry)), { force: true })
  }

  #exclusive<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(change)
    this.#tail = result.catch(() => {})
    return result
  }
}
