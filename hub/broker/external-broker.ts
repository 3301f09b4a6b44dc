/** Any MQTT broker out there. It checks passwords and topics itself; the hub signs in as a user that may do everything under `muninn/`. */
import mqtt, { type MqttClient } from 'mqtt'
import { MuninnError } from '../../protocol/errors.ts'
import { upFilter } from '../../protocol/topics.ts'
import type { Broker, OnMessage } from './broker.ts'

const connectSeconds = 15

export class ExternalBroker implements Broker {
  readonly #url: string
  readonly #onMessage: OnMessage
  readonly #onState: (words: string) => void
  readonly #onReturn: () => void
  #client: MqttClient | undefined

  constructor(parts: {
    url: string
    onMessage: OnMessage
    onState: (words: string) => void
    /** The connection is back: what the broker retained may be lost, as one that was killed keeps only its last snapshot. */
    onReturn: () => void
  }) {
    this.#url = parts.url
    this.#onMessage = parts.onMessage
    this.#onState = parts.onState
    this.#onReturn = parts.onReturn
  }

  get connected(): boolean {
    return this.#client?.connected ?? false
  }

  /** Without the user and password. */
  get url(): string {
    const { protocol, host } = new URL(this.#url)
    return `${protocol}//${host}`
  }

  async start(): Promise<void> {
    const client = mqtt.connect(this.#url, { clientId: 'muninn-hub', clean: false, resubscribe: true, reconnectPeriod: 2000 })
    this.#client = client
    client.on('error', (error) => this.#onState(`broker: ${error.message}`))
    client.on('close', () => this.#onState('broker: connection closed; trying again'))
    // Replaces the client's own: its acknowledgement goes out when the message is taken in (mqtt: handleMessage).
    client.handleMessage = (packet, done) => {
      const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
      this.#onMessage(packet.topic, payload).then(
        () => done(),
        () => done(),
      )
    }
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new MuninnError('UNAVAILABLE', `the broker at ${this.url} does not answer`)),
        connectSeconds * 1000,
      )
      client.once('connect', () => {
        clearTimeout(timer)
        resolve()
      })
    })
    await client.subscribeAsync(upFilter, { qos: 1 })
    client.on('connect', () => this.#onReturn())
  }

  async stop(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    await client?.endAsync()
  }

  async publish(topic: string, payload: Uint8Array | string, { retain, qos }: { retain: boolean; qos: 0 | 1 }): Promise<void> {
    const bytes = typeof payload === 'string' ? payload : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    await this.#client?.publishAsync(topic, bytes, { retain, qos })
  }

  /** Only the broker itself could; its own users and passwords decide. */
  async disconnect(): Promise<void> {}
}
