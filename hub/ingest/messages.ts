/** Takes each message of a device apart by the one topic map and hands it to its handler; a kind without one does not compile. */
import { decode } from 'cborg'
import { MuninnError } from '../../protocol/errors.ts'
import { parse, parseJson } from '../../protocol/parse.ts'
import { parseUpTopic, type UpKind, type UpPayload, upPayloads } from '../../protocol/topics.ts'

export type Handlers = { readonly [K in UpKind]: (device: string, payload: UpPayload<K>) => Promise<void> }

/** Messages that are worked on at a time: beyond these, devices wait. Memory is bounded by them, whatever comes. */
const mostUnderWay = 64
const mostBytes = 64 * 1024 * 1024

interface Parts {
  readonly handlers: Handlers
  /** An external broker may let in whom the hub does not know. */
  readonly isKnown: (device: string) => Promise<boolean>
  /** Told of each message that was not taken; the device goes on. */
  readonly onRefused: (what: { device: string; kind: UpKind; payload: Uint8Array; error: unknown }) => Promise<void>
}

export class Messages {
  readonly #parts: Parts
  readonly #underWay = new Set<Promise<void>>()
  readonly #waiting: (() => void)[] = []
  #bytes = 0

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /**
   * Settles when the device may send on: for a sample as soon as there is room for more, so that many share one commit and one wait for
   * the disk; for everything else when it is done, so that a device's words keep their order. Never rejects: a bad message disturbs nothing.
   */
  readonly receive = async (topic: string, payload: Uint8Array): Promise<void> => {
    const parsed = parseUpTopic(topic)
    // An empty retained message only clears a former one.
    if (!parsed || payload.length === 0) return
    const { device, kind } = parsed
    const handled = this.#handle(device, kind, payload)
      .catch((error: unknown) => this.#parts.onRefused({ device, kind, payload, error }))
      // Telling it failed, too: the broker is gone, and whoever sent this will send it again.
      .catch(() => {})
    this.#underWay.add(handled)
    this.#bytes += payload.length
    const done = handled.finally(() => {
      this.#underWay.delete(handled)
      this.#bytes -= payload.length
      if (this.#hasRoom()) for (const go of this.#waiting.splice(0)) go()
    })
    if (kind !== 'sample') await done
    else if (!this.#hasRoom()) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #hasRoom(): boolean {
    return this.#underWay.size < mostUnderWay && this.#bytes < mostBytes
  }

  /** Settles when every message that was taken in is done with; call it once no more can come. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay)
  }

  async #handle<K extends UpKind>(device: string, kind: K, payload: Uint8Array): Promise<void> {
    const { maxBytes } = upPayloads[kind]
    if (payload.length > maxBytes)
      throw new MuninnError('TOO_LARGE', `${kind} of ${payload.length} bytes; at most ${maxBytes} are taken`)
    if (!(await this.#parts.isKnown(device))) throw new MuninnError('NO_TOPIC_RIGHT', `there is no device ${device}`)
    await this.#parts.handlers[kind](device, decodePayload(kind, payload))
  }
}

/** @throws MuninnError INVALID_INPUT */
export function decodePayload<K extends UpKind>(kind: K, payload: Uint8Array): UpPayload<K> {
  const { schema, encoding } = upPayloads[kind]
  if (encoding === 'json') return parseJson(schema, Buffer.from(payload).toString('utf8'), kind) as UpPayload<K>
  let value: unknown
  try {
    value = decode(payload, { strict: true, rejectDuplicateMapKeys: true })
  } catch (cause) {
    throw new MuninnError('INVALID_INPUT', `${kind}: not CBOR (${cause instanceof Error ? cause.message : String(cause)})`, {
      cause,
    })
  }
  return parse(schema, value, kind) as UpPayload<K>
}

/** The id of a sample that is not as it should be otherwise, so that the device can be told which one was refused; null if it has none. */
export function peekId(payload: Uint8Array): string | null {
  try {
    const value: unknown = decode(payload)
    if (
      typeof value === 'object' &&
      value !== null &&
      'id' in value &&
      typeof value.id === 'string' &&
      /^[0-9a-f]{64}$/.test(value.id)
    )
      return value.id
  } catch {
    // Cut off or no CBOR at all: it names no sample.
  }
  return null
}
