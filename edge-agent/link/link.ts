/** The one outbound connection of a device: its last will, what it tells the hub, what it is told; back with jitter when it breaks. */
import { EventEmitter } from 'node:events'
import { encode } from 'cborg'
import mqtt, { type MqttClient } from 'mqtt'
import type { Logger } from 'pino'
import type { TSchema } from 'typebox'
import { parseJson } from '../../protocol/parse.ts'
import {
  type DownKind,
  type DownPayload,
  downFilter,
  downPayloads,
  downTopic,
  parsePieceTopic,
  pieceFilter,
  pieceTopic,
  type Status,
  type UpKind,
  type UpPayload,
  upPayloads,
  upTopic,
} from '../../protocol/topics.ts'
import { backoff } from './backoff.ts'

export interface LinkOptions {
  readonly device: string
  readonly url: string
  readonly password: string
  /** Certificate authority (PEM) for mqtts://. */
  readonly ca?: string
  readonly log: Logger
  /** What the device is right now; also the last will, with `online` turned off. */
  readonly status: () => Status
  /** One handler for each kind that the hub sends. */
  readonly handlers: { readonly [K in DownKind]: (payload: DownPayload<K>) => void | Promise<void> }
  readonly random?: () => number
  /** Of the first try to come back; milliseconds. */
  readonly firstDelay?: number
}

type PieceHandler = (piece: number, bytes: Uint8Array) => void

/** Emits `connected` when messages can go both ways, `disconnected` when that ends. */
export class Link extends EventEmitter<{ connected: []; disconnected: [] }> {
  readonly #options: LinkOptions
  readonly #pieces = new Map<string, { readonly missing: () => readonly number[]; readonly handler: PieceHandler }>()
  #client: MqttClient | null = null
  #connected = false
  #stopping = false
  #attempt = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: LinkOptions) {
    super()
    this.#options = options
  }

  get connected(): boolean {
    return this.#connected
  }

  start(): void {
    this.#stopping = false
    this.#connect()
  }

  /** Says goodbye (the last will is only for the other ways to go) and closes. */
  async stop(): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#timer)
    const client = this.#client
    if (!client) return
    if (this.#connected) {
      const goodbye = this.publish('status', { ...this.#options.status(), online: false, at: Date.now() }).catch(() => {})
      await Promise.race([goodbye, new Promise((resolve) => setTimeout(resolve, 2000).unref())])
    }
    this.#lost()
    await client.endAsync(true).catch(() => {})
    this.#client = null
  }

  /** Resolves when the broker has it. Nothing is queued while there is no connection: the caller knows what is still worth sending. */
  async publish<K extends UpKind>(kind: K, payload: UpPayload<K>): Promise<void> {
    const { encoding } = upPayloads[kind]
    await this.publishEncoded(kind, encoding === 'cbor' ? encode(payload) : Buffer.from(JSON.stringify(payload)))
  }

  /** As `publish`, for bytes that are already in the kind's encoding. */
  async publishEncoded(kind: UpKind, payload: Uint8Array): Promise<void> {
    const client = this.#client
    if (!client || !this.#connected) throw new Error('not connected to the hub')
    const { device } = this.#options
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    await client.publishAsync(upTopic(device, kind), bytes, { qos: 1, retain: upPayloads[kind].retain })
  }

  /** Tells the hub what the device is now; a new one replaces the old. */
  async publishStatus(): Promise<void> {
    if (this.#connected) await this.publish('status', this.#options.status())
  }

  /**
   * Asks for the pieces of a file, again after each reconnect, until stopped.
   * @param missing the pieces not here yet, or empty when even their number is not known
   */
  watchPieces(sha256: string, missing: () => readonly number[], handler: PieceHandler): () => void {
    this.#pieces.set(sha256, { missing, handler })
    if (this.#connected) void this.#subscribePieces(sha256)
    return () => {
      const filters = this.#pieceFilters(sha256)
      this.#pieces.delete(sha256)
      if (this.#connected) this.#client?.unsubscribe([pieceFilter(sha256), ...filters])
    }
  }

  /** Asks once more for what is missing: retained messages come again with each subscription (MQTT 3.1.1, 3.8.4). */
  async askAgain(sha256: string): Promise<void> {
    if (this.#connected && this.#pieces.has(sha256)) await this.#subscribePieces(sha256)
  }

  #pieceFilters(sha256: string): string[] {
    const missing = this.#pieces.get(sha256)?.missing() ?? []
    return missing.slice(0, 64).map((piece) => pieceTopic(sha256, piece))
  }

  async #subscribePieces(sha256: string): Promise<void> {
    const missing = this.#pieces.get(sha256)?.missing() ?? []
    // A few are asked for one by one, so that a poor line does not carry again what is here already.
    const filters = missing.length > 0 && missing.length <= 64 ? this.#pieceFilters(sha256) : [pieceFilter(sha256)]
    try {
      await this.#client?.subscribeAsync(filters, { qos: 1 })
    } catch (error) {
      this.#options.log.warn({ error, sha256 }, 'cannot ask for the pieces of a file')
    }
  }

  #connect(): void {
    const { device, url, password, ca, status, log } = this.#options
    const will = { ...status(), online: false }
    const client = mqtt.connect(url, {
      clientId: device,
      username: device,
      password,
      ...(ca && { ca }),
      clean: true,
      protocolVersion: 4,
      keepalive: 30,
      connectTimeout: 15_000,
      // We come back ourselves: with jitter, and with a last will that is up to date.
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      will: {
        topic: upTopic(device, 'status'),
        payload: Buffer.from(JSON.stringify(will)),
        qos: 1,
        retain: true,
      },
    })
    this.#client = client
    client.on('connect', () => void this.#greet(client))
    client.on('message', (topic, payload) => this.#receive(topic, payload))
    client.on('error', (error) => log.warn({ cause: error.message }, 'no connection to the hub'))
    client.once('close', () => {
      this.#lost()
      client.end(true)
      if (this.#stopping || this.#client !== client) return
      this.#client = null
      const { random = Math.random, firstDelay } = this.#options
      const delay = backoff(this.#attempt++, random, firstDelay === undefined ? {} : { first: firstDelay })
      this.#timer = setTimeout(() => this.#connect(), delay)
    })
  }

  async #greet(client: MqttClient): Promise<void> {
    try {
      await client.subscribeAsync(downFilter(this.#options.device), { qos: 1 })
      if (this.#client !== client || this.#stopping) return
      this.#connected = true
      this.#attempt = 0
      await this.publishStatus()
      for (const sha256 of this.#pieces.keys()) await this.#subscribePieces(sha256)
      this.#options.log.info('connected to the hub')
      this.emit('connected')
    } catch (error) {
      this.#options.log.warn({ error }, 'the hub closed the connection while greeting')
      client.end(true)
    }
  }

  #lost(): void {
    if (!this.#connected) return
    this.#connected = false
    this.#options.log.info('disconnected from the hub')
    this.emit('disconnected')
  }

  #receive(topic: string, payload: Buffer): void {
    const piece = parsePieceTopic(topic)
    if (piece) {
      if (payload.byteLength > 0) this.#pieces.get(piece.sha256)?.handler(piece.piece, payload)
      return
    }
    for (const kind of Object.keys(downPayloads) as DownKind[]) {
      if (topic === downTopic(this.#options.device, kind)) this.#dispatch(kind, payload)
    }
  }

  #dispatch<K extends DownKind>(kind: K, payload: Buffer): void {
    const { handlers, log } = this.#options
    const refuse = (error: unknown) =>
      log.error({ kind, cause: error instanceof Error ? error.message : error }, 'a message of the hub failed')
    // A cleared retained message has no body (MQTT 3.1.1, 3.3.1.3).
    if (payload.byteLength === 0) return
    try {
      const schema: TSchema = downPayloads[kind].schema
      const message = parseJson(schema, payload.toString('utf8'), kind) as DownPayload<K>
      void Promise.resolve(handlers[kind](message)).catch(refuse)
    } catch (error) {
      refuse(error)
    }
  }
}
