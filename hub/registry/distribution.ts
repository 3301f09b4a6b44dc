/** Keeps at the broker, as retained pieces, just those files that some device should run, and clears the others. */
import { pieceTopic } from '../../protocol/topics.ts'
import type { Blobs } from '../blobs/blobs.ts'
import type { Broker } from '../broker/broker.ts'
import type { DeviceRepository } from '../fleet/device-repository.ts'
import type { ModelRepository } from './model-repository.ts'
import { pieceCount, pieces } from './pieces.ts'
import { manifestOf } from './registry.ts'

const nothing = new Uint8Array()

export class Distribution {
  readonly #models: ModelRepository
  readonly #devices: DeviceRepository
  readonly #blobs: Blobs
  readonly #broker: Broker
  /** Published since this start: an embedded broker begins empty. */
  readonly #published = new Set<string>()
  readonly #onError: (sha256: string, error: unknown) => void
  #last: Promise<void> = Promise.resolve()

  constructor(parts: {
    models: ModelRepository
    devices: DeviceRepository
    blobs: Blobs
    broker: Broker
    onError: (sha256: string, error: unknown) => void
  }) {
    this.#models = parts.models
    this.#devices = parts.devices
    this.#blobs = parts.blobs
    this.#broker = parts.broker
    this.#onError = parts.onError
  }

  /** One at a time; a device is told of a model only after this, so that its pieces are there. */
  sync(): Promise<void> {
    const next = this.#last.then(() => this.#sync())
    this.#last = next.catch(() => {})
    return next
  }

  /** The broker may have lost what it retained: the next `sync` publishes every file again. */
  forgetPublished(): void {
    this.#published.clear()
  }

  async #sync(): Promise<void> {
    const wanted = new Set<string>()
    for (const model of await this.#devices.desiredModels()) {
      const row = await this.#models.find(model)
      if (!row) continue
      const { file, selfTest } = manifestOf(row)
      wanted.add(file.sha256)
      if (selfTest) wanted.add(selfTest.sha256)
    }
    for (const sha256 of wanted) {
      if (this.#published.has(sha256)) continue
      // A file that is gone or cannot be read must not keep the hub from starting: devices keep what they run.
      await this.#publish(sha256).catch((error: unknown) => this.#onError(sha256, error))
    }
    for (const { sha256, pieces } of await this.#models.publishedFiles())
      if (!wanted.has(sha256)) await this.#clear(sha256, pieces)
  }

  async #publish(sha256: string): Promise<void> {
    const file = await this.#blobs.get(sha256)
    // Remembered before the first piece: a hub that is killed half-way still knows what to clear.
    await this.#models.rememberPublished(sha256, pieceCount(file.length))
    for (const { piece, bytes } of pieces(file))
      await this.#broker.publish(pieceTopic(sha256, piece), bytes, { retain: true, qos: 1 })
    this.#published.add(sha256)
  }

  /** An empty retained message takes the retained one away (MQTT 3.1.1, 3.3.1.3). */
  async #clear(sha256: string, count: number): Promise<void> {
    for (let piece = 0; piece < count; piece++)
      await this.#broker.publish(pieceTopic(sha256, piece), nothing, { retain: true, qos: 1 })
    await this.#models.forgetPublished(sha256)
    this.#published.delete(sha256)
  }
}
