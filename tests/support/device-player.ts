/** Plays a device over real MQTT: connects with its own password, hears what it should run, fetches pieces, reports. */
import { createPublicKey, verify } from 'node:crypto'
import { encode } from 'cborg'
import mqtt, { type MqttClient } from 'mqtt'
import type { Enrolment } from '../../protocol/http/fleet.ts'
import { ModelManifest } from '../../protocol/manifest.ts'
import { parseJson } from '../../protocol/parse.ts'
import {
  Ack,
  type Deployment,
  Desired,
  downFilter,
  downTopic,
  parsePieceTopic,
  pieceFilter,
  type Sample,
  type Status,
  upTopic,
} from '../../protocol/topics.ts'
import { sha256 } from './labelled-sample.ts'

export class DevicePlayer {
  readonly #client: MqttClient
  readonly #enrolment: Enrolment
  readonly #desired: Desired[] = []
  readonly #pieces = new Map<string, Uint8Array>()
  /** Topics of messages that came in, in order. */
  readonly heard: string[] = []
  readonly acks: Ack[] = []
  readonly #closed: Promise<void>
  #stirred: () => void = () => {}

  constructor({ client, enrolment }: { client: MqttClient; enrolment: Enrolment }) {
    this.#client = client
    this.#enrolment = enrolment
    this.#closed = new Promise((resolve) => client.once('close', () => resolve()))
    client.on('message', (topic, payload) => {
      this.heard.push(topic)
      if (topic === downTopic(enrolment.device, 'desired')) this.#desired.push(parseJson(Desired, payload.toString(), 'desired'))
      if (topic === downTopic(enrolment.device, 'ack')) this.acks.push(parseJson(Ack, payload.toString(), 'ack'))
      const piece = parsePieceTopic(topic)
      if (piece) this.#pieces.set(`${piece.sha256}/${piece.piece}`, payload)
      this.#stirred()
    })
  }

  static async connect(enrolment: Enrolment, mqttUrl = enrolment.mqttUrl): Promise<DevicePlayer> {
    const client = mqtt.connect(mqttUrl, {
      clientId: enrolment.device,
      username: enrolment.device,
      password: enrolment.password,
      reconnectPeriod: 0,
      will: {
        topic: upTopic(enrolment.device, 'status'),
        payload: Buffer.from(JSON.stringify(status(false, null))),
        qos: 1,
        retain: true,
      },
    })
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve())
      client.once('close', () => reject(new Error('the broker refused the device')))
    })
    const player = new DevicePlayer({ client, enrolment })
    await client.subscribeAsync(downFilter(enrolment.device), { qos: 1 })
    await player.say(null)
    return player
  }

  /** Publishes a status. */
  async say(model: string | null): Promise<void> {
    await this.#client.publishAsync(upTopic(this.#enrolment.device, 'status'), JSON.stringify(status(true, model)), {
      qos: 1,
      retain: true,
    })
  }

  /** The first wish heard (now or later) that fits. */
  async wish(fits: (desired: Desired) => boolean): Promise<Desired> {
    for (;;) {
      const found = this.#desired.find(fits)
      if (found) return found
      await this.#next()
    }
  }

  /** Checks the signature, fetches the pieces and gives the file whose hash the manifest names. */
  async fetch(desired: Desired): Promise<{ manifest: ModelManifest; file: Uint8Array }> {
    const signed = desired.model!
    const key = createPublicKey({ key: Buffer.from(this.#enrolment.publicKey, 'base64'), type: 'spki', format: 'der' })
    if (!verify(null, Buffer.from(signed.manifest), key, Buffer.from(signed.signature, 'base64')))
      throw new Error('bad signature')
    const manifest = parseJson(ModelManifest, signed.manifest, 'manifest')
    const { sha256: hash, bytes } = manifest.file
    await this.#client.subscribeAsync(pieceFilter(hash), { qos: 1 })
    for (;;) {
      const parts: Uint8Array[] = []
      for (let piece = 0; this.#pieces.has(`${hash}/${piece}`); piece++) parts.push(this.#pieces.get(`${hash}/${piece}`)!)
      const file = Buffer.concat(parts)
      if (file.length === bytes) {
        if (sha256(file) !== hash) throw new Error('bad hash')
        return { manifest, file }
      }
      await this.#next()
    }
  }

  async report(desired: Desired, state: Deployment['state'], reason = ''): Promise<void> {
    const model = parseJson(ModelManifest, desired.model!.manifest, 'manifest').file.sha256
    const deployment: Deployment = {
      v: 1,
      deployment: desired.deployment,
      model,
      state,
      progress: 1,
      reason,
      running: state === 'confirmed' ? model : null,
      at: Date.now(),
    }
    await this.#client.publishAsync(upTopic(this.#enrolment.device, 'deployment'), JSON.stringify(deployment), {
      qos: 1,
      retain: true,
    })
    if (state === 'confirmed') await this.say(model)
  }

  /** Sends raw bytes to any topic; settles when the broker acknowledged, or ended the connection. */
  async send(topic: string, payload: Uint8Array | string): Promise<void> {
    await Promise.race([this.#client.publishAsync(topic, Buffer.from(payload), { qos: 1 }).then(() => {}), this.#closed])
  }

  async sendSample(sample: Sample): Promise<void> {
    await this.send(upTopic(this.#enrolment.device, 'sample'), encode(sample))
  }

  /** The answer to a sample: true, or why it was refused. */
  async answerTo(id: string): Promise<true | string> {
    for (;;) {
      for (const { ids, refused } of this.acks) {
        if (ids.includes(id)) return true
        const found = refused.find((each) => each.id === id)
        if (found) return found.reason
      }
      await this.#next()
    }
  }

  /** Settles when so many acknowledgements have come. */
  async answers(count: number): Promise<void> {
    while (this.acks.length < count) await this.#next()
  }

  async stop(): Promise<void> {
    await this.#client.endAsync(true)
  }

  /** As if its power failed: the broker publishes the last will. */
  kill(): void {
    this.#client.stream.destroy()
  }

  #next(): Promise<void> {
    return new Promise((resolve) => {
      this.#stirred = resolve
    })
  }
}

function status(online: boolean, model: string | null): Status {
  const camera = { id: 'camera-1', name: 'Camera', source: 'rtsp://camera', state: 'live', width: 640, height: 480 } as const
  return { v: 1, online, version: 'test', cameras: [camera], model, slot: model ? 'a' : null, at: Date.now() }
}
