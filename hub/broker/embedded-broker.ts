/**
 * aedes within the hub's process: passwords per device, and each device only its own topics.
 * Retained messages live in memory: at start the hub publishes every wish and file again from the database, and devices their status.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { Aedes, type AuthenticateError, type Client } from 'aedes'
import { errors } from '../../protocol/errors.ts'
import { deviceMayPublish, deviceMaySubscribe, upPayloads } from '../../protocol/topics.ts'
import type { Broker, OnMessage } from './broker.ts'
import { PacketGuard } from './packet-guard.ts'

/** `packet`: one that announced more bytes than any message may have. */
export type RefusedAction = 'connect' | 'publish' | 'subscribe' | 'packet'

interface Parts {
  readonly host: string
  readonly port: number
  /** Whether this is the device's password. */
  readonly authenticate: (device: string, password: string) => Promise<boolean>
  readonly onMessage: OnMessage
  /** A topic or a sign-in that was refused: to be logged and counted. */
  readonly onRefused: (what: { device: string; action: RefusedAction; topic: string }) => void
}

/** The largest message, and room for its topic. */
const maxPacketBytes = Math.max(...Object.values(upPayloads).map(({ maxBytes }) => maxBytes)) + 1024
/** User, password and a last will, which is a status. */
const maxConnectBytes = upPayloads.status.maxBytes + 4096

/** MQTT 3.1.1, 3.2.2.3 */
const badUserNameOrPassword = 4

export class EmbeddedBroker implements Broker {
  readonly #parts: Parts
  #aedes: Aedes | undefined
  #server: Server | undefined
  readonly #sockets = new Set<Socket>()
  readonly #clients = new Map<string, Client>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  get url(): string {
    const address = this.#server?.address()
    if (!address || typeof address === 'string') throw new Error('the broker is not started')
    return `mqtt://${this.#parts.host === '0.0.0.0' ? '127.0.0.1' : this.#parts.host}:${address.port}`
  }

  get connected(): boolean {
    return this.#server?.listening ?? false
  }

  async start(): Promise<void> {
    const { host, port, authenticate, onMessage, onRefused } = this.#parts
    const aedes = await Aedes.createBroker({
      heartbeatInterval: 30_000,
      connectTimeout: 10_000,
      queueLimit: 256,
      authenticate: (client, username, password, done) => {
        const device = username ?? ''
        // One client id per device, so that a second connection takes over the first (MQTT 3.1.1, 3.1.4) and cannot pile up.
        const named = client.id === device && device !== ''
        ;(named ? authenticate(device, password?.toString() ?? '') : Promise.resolve(false)).then(
          (right) => {
            if (right) return done(null, true)
            onRefused({ device, action: 'connect', topic: '' })
            done(refusal(badUserNameOrPassword), false)
          },
          () => done(refusal(3), false),
        )
      },
      authorizePublish: (client, packet, done) => {
        if (!client) return done(null)
        const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
        if (!deviceMayPublish(client.id, packet.topic)) {
          onRefused({ device: client.id, action: 'publish', topic: packet.topic })
          return done(new Error(errors.NO_TOPIC_RIGHT.meaning))
        }
        // The device's next message waits until this one is taken in: a flood cannot grow the hub's memory.
        onMessage(packet.topic, payload).then(
          () => done(null),
          () => done(null),
        )
      },
      authorizeSubscribe: (client, subscription, done) => {
        if (deviceMaySubscribe(client.id, subscription.topic)) return done(null, subscription)
        onRefused({ device: client.id, action: 'subscribe', topic: subscription.topic })
        // A null subscription is answered with 128, failure (MQTT 3.1.1, 3.9.3); the connection stays.
        done(null, null)
      },
    })
    aedes.on('clientReady', (client) => this.#clients.set(client.id, client))
    aedes.on('clientDisconnect', (client) => {
      if (this.#clients.get(client.id) === client) this.#clients.delete(client.id)
    })
    const server = createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      socket.on('error', () => {})
      const guard = new PacketGuard({ maxFirst: maxConnectBytes, maxBytes: maxPacketBytes })
      const read = socket.read.bind(socket)
      socket.read = (size?: number) => {
        const chunk: Buffer | null = read(size)
        if (chunk === null || guard.accepts(chunk)) return chunk
        onRefused({ device: socket.remoteAddress ?? '', action: 'packet', topic: '' })
        socket.destroy()
        return null
      }
      aedes.handle(socket)
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, () => resolve())
    })
    this.#aedes = aedes
    this.#server = server
  }

  async stop(): Promise<void> {
    const [aedes, server] = [this.#aedes, this.#server]
    this.#aedes = undefined
    this.#server = undefined
    if (!aedes || !server) return
    await new Promise<void>((resolve) => aedes.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }

  async publish(topic: string, payload: Uint8Array | string, { retain, qos }: { retain: boolean; qos: 0 | 1 }): Promise<void> {
    const aedes = this.#aedes
    if (!aedes) return
    const bytes = typeof payload === 'string' ? payload : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    await new Promise<void>((resolve, reject) => {
      aedes.publish({ cmd: 'publish', topic, payload: bytes, retain, qos, dup: false }, (error) =>
        error ? reject(error) : resolve(),
      )
    })
  }

  async disconnect(device: string): Promise<void> {
    const client = this.#clients.get(device)
    if (client) await new Promise<void>((resolve) => client.close(() => resolve()))
  }
}

function refusal(returnCode: number): AuthenticateError {
  return Object.assign(new Error('not allowed to connect'), { returnCode })
}
