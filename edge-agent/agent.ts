/** The edge agent, put together: cameras -> detector -> miner -> outbox -> link, and model updates beside them. */
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { AgentConfig, CameraConfig } from '../protocol/config.ts'
import { MiningSettings } from '../protocol/mining.ts'
import { parse } from '../protocol/parse.ts'
import type { Desired, Status, Telemetry, Watch } from '../protocol/topics.ts'
import { Link } from './link/link.ts'
import { Uploader } from './link/uploader.ts'
import { ModelStore } from './models/model-store.ts'
import { Updater } from './models/updater.ts'
import { importPublicKey } from './models/verify-manifest.ts'
import { Outbox } from './outbox/outbox.ts'
import { CameraWatcher } from './watching/camera-watcher.ts'
import { Turns } from './watching/turns.ts'
import type { WatchedCamera } from './watching/watched-camera.ts'

export interface AgentOptions {
  readonly config: AgentConfig
  readonly version: string
  readonly log: Logger
  readonly openCamera: (config: CameraConfig) => WatchedCamera
  /** Certificate authority (PEM) for mqtts://. */
  readonly ca?: string
  readonly random?: () => number
  /** Milliseconds between telemetry messages. */
  readonly telemetryInterval?: number
}

const statusDelay = 200
const previewInterval = 700

export class Agent {
  readonly #options: AgentOptions
  readonly #outbox: Outbox
  readonly #updater: Updater
  readonly #link: Link
  readonly #uploader: Uploader
  readonly #watched: { readonly camera: WatchedCamera; readonly watcher: CameraWatcher }[]
  readonly #startedAt = performance.now()
  #mining: MiningSettings
  #watchedUntil = 0
  #statusTimer: NodeJS.Timeout | undefined
  readonly #timers: NodeJS.Timeout[] = []

  constructor(options: AgentOptions) {
    const { config, log, ca, openCamera, random = Math.random } = options
    this.#options = options
    this.#mining = this.#merged(parse(MiningSettings, {}, 'mining'))
    this.#outbox = new Outbox({ folder: join(config.dataFolder, 'outbox'), ...config.outbox })
    this.#link = new Link({
      device: config.device,
      url: config.hub.url,
      password: config.hub.password,
      ...(ca && { ca }),
      log,
      random,
      status: () => this.#status(),
      handlers: {
        ack: (ack) => this.#uploader.acknowledge(ack),
        desired: (desired) => this.#desired(desired),
        watch: (watch) => this.#watch(watch),
      },
    })
    this.#uploader = new Uploader({
      outbox: this.#outbox,
      inFlight: config.outbox.inFlight,
      maxMessageBytes: config.outbox.maxMessageBytes,
      log,
      publish: (payload) => this.#link.publishEncoded('sample', payload),
    })
    this.#updater = new Updater({
      store: new ModelStore({ folder: join(config.dataFolder, 'models'), log }),
      source: this.#link,
      publicKey: importPublicKey(config.publicKey),
      threads: config.threads,
      log,
    })
    const turns = new Turns()
    this.#watched = config.cameras.map((cameraConfig) => {
      const camera = openCamera(cameraConfig)
      const watcher = new CameraWatcher({
        camera,
        id: cameraConfig.id,
        updater: this.#updater,
        outbox: this.#outbox,
        turns,
        settings: () => this.#mining,
        log,
        random,
      })
      return { camera, watcher }
    })
  }

  /** Cameras look before the hub is reached: an agent without a line goes on working. */
  async start(): Promise<void> {
    await this.#outbox.start()
    this.#updater.on('switched', (model) => {
      if (model) for (const { camera } of this.#watched) camera.setInput(model.manifest.input)
      this.#statusChanged()
    })
    this.#updater.on('report', () => this.#tellDeployment())
    this.#link.on('connected', () => {
      this.#uploader.connected()
      this.#tellDeployment()
      this.#sendTelemetry()
    })
    this.#link.on('disconnected', () => this.#uploader.disconnected())
    await this.#updater.start()
    this.#uploader.start()
    for (const { camera, watcher } of this.#watched) {
      camera.onStatus(() => {
        if (camera.status.state === 'lost') watcher.counts.reconnected()
        this.#statusChanged()
      })
      await camera.start()
      watcher.start()
    }
    this.#link.start()
    const { telemetryInterval = 10_000 } = this.#options
    this.#timers.push(setInterval(() => this.#sendTelemetry(), telemetryInterval))
    this.#timers.push(setInterval(() => this.#sendPreviews(), previewInterval))
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    clearTimeout(this.#statusTimer)
    await Promise.all(this.#watched.map(({ camera }) => camera.stop()))
    await Promise.all(this.#watched.map(({ watcher }) => watcher.stop()))
    await this.#updater.stop()
    this.#uploader.stop()
    await this.#link.stop()
    await this.#outbox.stop()
  }

  /** What the hub asks for, with agent.yaml having the last word. */
  #merged(asked: MiningSettings): MiningSettings {
    return { ...asked, ...this.#options.config.mining }
  }

  #desired(desired: Desired): void {
    this.#mining = this.#merged(desired.mining)
    this.#updater.desire(desired)
  }

  #watch({ seconds }: Watch): void {
    this.#watchedUntil = performance.now() + seconds * 1000
    this.#sendPreviews()
  }

  #sendTelemetry(): void {
    if (this.#link.connected) this.#send('telemetry', this.#link.publish('telemetry', this.#telemetry()))
  }

  #sendPreviews(): void {
    if (performance.now() > this.#watchedUntil || !this.#link.connected) return
    for (const { watcher } of this.#watched) {
      this.#send(
        'preview',
        watcher.preview().then((preview) => (preview ? this.#link.publish('preview', preview) : undefined)),
      )
    }
  }

  #tellDeployment(): void {
    const report = this.#updater.lastReport
    if (report && this.#link.connected) this.#send('deployment', this.#link.publish('deployment', report))
    this.#statusChanged()
  }

  /** Several changes in one moment are one message. */
  #statusChanged(): void {
    clearTimeout(this.#statusTimer)
    this.#statusTimer = setTimeout(() => this.#send('status', this.#link.publishStatus()), statusDelay)
  }

  /** What is only of interest now is not kept for later. */
  #send(what: string, sending: Promise<unknown>): void {
    sending.catch((error: unknown) => {
      this.#options.log.debug({ what, cause: error instanceof Error ? error.message : error }, 'not sent')
    })
  }

  #status(): Status {
    return {
      v: 1,
      online: true,
      version: this.#options.version,
      cameras: this.#watched.map(({ camera }) => camera.status),
      model: this.#updater.current?.sha256 ?? null,
      slot: this.#updater.current?.slot ?? null,
      at: Date.now(),
    }
  }

  #telemetry(): Telemetry {
    return {
      v: 1,
      at: Date.now(),
      uptimeSeconds: (performance.now() - this.#startedAt) / 1000,
      rssBytes: process.memoryUsage.rss(),
      model: this.#updater.current?.sha256 ?? null,
      outbox: this.#outbox.counts,
      cameras: this.#watched.map(({ watcher }) => watcher.counts.telemetry()),
    }
  }
}
