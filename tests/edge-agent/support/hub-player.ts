/** Plays the hub for tests of the agent: a real aedes broker on a free port that takes samples, acknowledges them, and asks for models. */
import { EventEmitter, once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { Aedes } from 'aedes'
import { decode } from 'cborg'
import { parse, parseJson } from '../../../protocol/parse.ts'
import {
  type Ack,
  type Deployment,
  type Desired,
  downTopic,
  parseUpTopic,
  pieceBytes,
  pieceTopic,
  Sample,
  type Status,
  type Telemetry,
  upPayloads,
  type Watch,
} from '../../../protocol/topics.ts'

interface Events {
  sample: [Sample]
  status: [Status]
  deployment: [Deployment]
  telemetry: [Telemetry]
  preview: [{ jpeg: Uint8Array }]
}

export class HubPlayer extends EventEmitter<Events> {
  readonly device: string
  readonly password: string
  /** How often each sample came. */
  readonly arrivals = new Map<string, number>()
  readonly samples = new Map<string, Sample>()
  readonly deployments: Deployment[] = []
  readonly statuses: Status[] = []
  /** Decides which samples are acknowledged; by default all. */
  answer: (sample: Sample) => 'ack' | 'refuse' | 'silence' = () => 'ack'
  #broker: Aedes | null = null
  #server: Server | null = null
  #port = 0
  readonly #sockets = new Set<Socket>()
  readonly #parts = new Map<string, Uint8Array[]>()

  constructor({ device = 'device-1', password = 'secret' } = {}) {
    super()
    this.device = device
    this.password = password
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.#port}`
  }

  async start(): Promise<void> {
    const broker = await Aedes.createBroker({
      authenticate: (_client, user, password, done) => done(null, user === this.device && password?.toString() === this.password),
    })
    this.#broker = broker
    broker.on('publish', ({ topic, payload }, client) => {
      if (client) this.#receive(topic, Buffer.from(payload))
      else if (payload.length > 0 && parseUpTopic(topic)?.kind === 'status') this.#receive(topic, Buffer.from(payload))
    })
    this.#server = createServer((socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
      broker.handle(socket)
    })
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** Cuts every connection, as a broken line does. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async stop(): Promise<void> {
    const [server, broker] = [this.#server, this.#broker]
    const closed = server && new Promise((resolve) => server.close(resolve))
    this.cut()
    await closed
    if (broker) await new Promise<void>((resolve) => broker.close(() => resolve()))
    this.#server = null
    this.#broker = null
  }

  send(kind: 'ack', payload: Ack): void
  send(kind: 'desired', payload: Desired): void
  send(kind: 'watch', payload: Watch): void
  send(kind: 'ack' | 'desired' | 'watch', payload: unknown): void {
    this.sendRaw(downTopic(this.device, kind), Buffer.from(JSON.stringify(payload)), kind === 'desired')
  }

  sendRaw(topic: string, payload: Buffer, retain: boolean): void {
    this.#broker?.publish({ cmd: 'publish', topic, payload, retain, qos: 1, dup: false }, () => {})
  }

  /** Puts a file on its retained topics; `damage` may change or drop a piece. */
  publishFile(
    sha256: string,
    bytes: Uint8Array,
    damage: (piece: Buffer, index: number) => Buffer | null = (piece) => piece,
  ): void {
    for (let index = 0; index * pieceBytes < bytes.byteLength; index++) {
      const piece = damage(Buffer.from(bytes.slice(index * pieceBytes, (index + 1) * pieceBytes)), index)
      if (piece) this.sendRaw(pieceTopic(sha256, index), piece, true)
    }
  }

  /** Waits for the first (past or coming) report for which `wanted` holds. */
  async deployment(wanted: (report: Deployment) => boolean): Promise<Deployment> {
    for (;;) {
      const found = this.deployments.find(wanted)
      if (found) return found
      await once(this, 'deployment')
    }
  }

  /** Waits until so many different samples have come. */
  async received(count: number): Promise<void> {
    while (this.samples.size < count) await once(this, 'sample')
  }

  #receive(topic: string, payload: Buffer): void {
    const parsed = parseUpTopic(topic)
    if (!parsed) return
    switch (parsed.kind) {
      case 'sample':
        this.#takeSample(payload)
        return
      case 'status': {
        const status = parseJson(upPayloads.status.schema, payload.toString(), 'status')
        this.statuses.push(status)
        this.emit('status', status)
        return
      }
      case 'deployment': {
        const report = parseJson(upPayloads.deployment.schema, payload.toString(), 'deployment')
        this.deployments.push(report)
        this.emit('deployment', report)
        return
      }
      case 'telemetry':
        this.emit('telemetry', parseJson(upPayloads.telemetry.schema, payload.toString(), 'telemetry'))
        return
      case 'preview':
        this.emit('preview', parse(upPayloads.preview.schema, decode(payload), 'preview'))
    }
  }

  #takeSample(payload: Buffer): void {
    const message = parse(upPayloads.sample.schema, decode(payload), 'sample')
    if (!('part' in message)) {
      this.#take(message)
      return
    }
    const parts = this.#parts.get(message.id) ?? []
    parts[message.part] = message.bytes
    this.#parts.set(message.id, parts)
    if (parts.filter(Boolean).length < message.parts) return
    this.#parts.delete(message.id)
    this.#take(parse(Sample, decode(Buffer.concat(parts)), 'sample'))
  }

  #take(sample: Sample): void {
    this.arrivals.set(sample.id, (this.arrivals.get(sample.id) ?? 0) + 1)
    const answer = this.answer(sample)
    if (answer !== 'silence') this.samples.set(sample.id, sample)
    if (answer === 'ack') this.send('ack', { v: 1, ids: [sample.id], refused: [] })
    if (answer === 'refuse') this.send('ack', { v: 1, ids: [], refused: [{ id: sample.id, reason: 'a test says no' }] })
    this.emit('sample', sample)
  }
}
