/** Sends samples out of the outbox through a window and again until the hub acknowledges them. Reads a file only when its turn has come. */
import { createHash } from 'node:crypto'
import { decode, encode } from 'cborg'
import type { Logger } from 'pino'
import { parse } from '../../protocol/parse.ts'
import { type Ack, Sample, type SamplePart } from '../../protocol/topics.ts'
import type { Outbox } from '../outbox/outbox.ts'

/** Bytes handed to the MQTT client and not yet taken by the broker; one sample may always go. */
const maxUnconfirmedBytes = 4 * 1024 * 1024
const firstResend = 20_000
const longestResend = 120_000
const unreadableRetry = 5000

export interface UploaderOptions {
  readonly outbox: Outbox
  readonly inFlight: number
  readonly maxMessageBytes: number
  readonly log: Logger
  /** Resolves when the broker has the message. */
  readonly publish: (payload: Uint8Array) => Promise<void>
  /** Milliseconds to wait for the hub's `ack` before sending a sample again; doubles for each sample that stays without one. */
  readonly resendAfter?: number
}

interface Flight {
  /** When to send it again; null while it is being handed to the broker. */
  due: number | null
  tries: number
}

/** Cuts an encoded sample that is larger than one message may be. */
export function cutIntoParts(id: string, encoded: Uint8Array, maxMessageBytes: number): SamplePart[] {
  // Leaves room for the part's own CBOR fields and the topic.
  const size = maxMessageBytes - 1024
  const parts = Math.ceil(encoded.byteLength / size)
  return Array.from({ length: parts }, (_, part) => ({
    v: 1 as const,
    id,
    part,
    parts,
    bytes: encoded.subarray(part * size, (part + 1) * size),
  }))
}

/** What is wrong with a file of the outbox, or null: a hub could not even say which sample it refuses. */
function damage(id: string, encoded: Uint8Array): string | null {
  try {
    const sample = parse(Sample, decode(encoded), 'sample')
    const hash = createHash('sha256').update(sample.jpeg).digest('hex')
    return sample.id === id && hash === id ? null : 'its picture does not have the SHA-256 that names it'
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

export class Uploader {
  readonly #options: UploaderOptions
  readonly #flights = new Map<string, Flight>()
  #connected = false
  #pumping = false
  #unconfirmed = 0
  #timer: NodeJS.Timeout | undefined
  readonly #pump = () => void this.#run()

  constructor(options: UploaderOptions) {
    this.#options = options
  }

  start(): void {
    this.#options.outbox.on('added', this.#pump)
  }

  stop(): void {
    this.disconnected()
    this.#options.outbox.off('added', this.#pump)
  }

  /** Samples sent and not yet acknowledged. */
  get inFlight(): number {
    return this.#flights.size
  }

  connected(): void {
    this.#connected = true
    this.#pump()
  }

  /** Everything without an ack will be sent again: an ack may have been lost with the connection. */
  disconnected(): void {
    this.#connected = false
    this.#flights.clear()
    clearTimeout(this.#timer)
  }

  async acknowledge({ ids, refused }: Ack): Promise<void> {
    const { outbox, log } = this.#options
    for (const { id, reason } of refused) log.warn({ sample: id, reason }, 'the hub will not take a sample')
    await outbox.forget(ids)
    await outbox.refuse(refused.map(({ id }) => id))
    for (const id of [...ids, ...refused.map((each) => each.id)]) this.#flights.delete(id)
    this.#pump()
  }

  async #run(): Promise<void> {
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (this.#connected) {
        const id = this.#choose()
        if (!id) break
        await this.#send(id)
      }
    } catch (error) {
      this.#options.log.error({ error }, 'the outbox cannot be emptied')
    } finally {
      this.#pumping = false
    }
    this.#wakeForResend()
  }

  /** A sample whose ack is overdue, or the next one of the outbox while the window and the byte limit allow it. */
  #choose(): string | null {
    const { outbox, inFlight } = this.#options
    if (this.#unconfirmed >= maxUnconfirmedBytes) return null
    const now = Date.now()
    for (const [id, flight] of this.#flights) if (flight.due !== null && flight.due <= now) return id
    if (this.#flights.size >= inFlight) return null
    return outbox.next((id) => !this.#flights.has(id))?.id ?? null
  }

  async #send(id: string): Promise<void> {
    const { outbox, maxMessageBytes, log, resendAfter = firstResend } = this.#options
    const flight = this.#flights.get(id) ?? { due: null, tries: 0 }
    flight.due = null
    this.#flights.set(id, flight)
    let encoded: Uint8Array | null
    try {
      encoded = await outbox.read(id)
    } catch (error) {
      // The disk may have a bad moment; the others are sent meanwhile.
      log.error({ error, sample: id }, 'cannot read a sample')
      flight.due = Date.now() + unreadableRetry
      return
    }
    const fault = encoded && damage(id, encoded)
    if (!encoded || fault) {
      if (fault) log.error({ sample: id, fault }, 'a sample on disk is damaged and is dropped')
      await outbox.refuse([id])
      this.#flights.delete(id)
      return
    }
    const size = encoded.byteLength
    this.#unconfirmed += size
    const messages = size <= maxMessageBytes ? [encoded] : cutIntoParts(id, encoded, maxMessageBytes).map((part) => encode(part))
    // Not awaited: the window is what limits how many are on their way at once.
    void this.#hand(messages)
      .catch((error: unknown) => log.debug({ error, sample: id }, 'a sample did not reach the broker; it will be sent again'))
      .finally(() => {
        this.#unconfirmed -= size
        flight.tries++
        flight.due = Date.now() + Math.min(resendAfter * 2 ** (flight.tries - 1), longestResend)
        if (this.#connected) this.#pump()
      })
  }

  async #hand(messages: readonly Uint8Array[]): Promise<void> {
    for (const message of messages) await this.#options.publish(message)
  }

  #wakeForResend(): void {
    clearTimeout(this.#timer)
    if (!this.#connected) return
    const due = [...this.#flights.values()].map((flight) => flight.due).filter((at) => at !== null)
    if (due.length > 0) this.#timer = setTimeout(this.#pump, Math.max(10, Math.min(...due) - Date.now()))
  }
}
