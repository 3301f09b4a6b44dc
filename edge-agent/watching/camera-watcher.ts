/** Looks at one camera: takes its latest frame, waits for the detector's turn, mines, and puts what was chosen into the outbox. */
import { setTimeout as sleep } from 'node:timers/promises'
import { encode } from 'cborg'
import type { Logger } from 'pino'
import type { MiningSettings } from '../../protocol/mining.ts'
import type { Preview } from '../../protocol/topics.ts'
import { upPayloads } from '../../protocol/topics.ts'
import { type Candidate, Miner } from '../mining/miner.ts'
import type { Observation } from '../mining/observation.ts'
import type { Looked } from '../models/model-runner.ts'
import type { Updater } from '../models/updater.ts'
import type { Outbox } from '../outbox/outbox.ts'
import { CameraCounts } from './camera-counts.ts'
import { makeSample } from './make-sample.ts'
import type { Turns } from './turns.ts'
import type { WatchedCamera, WatchedFrame } from './watched-camera.ts'

export interface CameraWatcherOptions {
  readonly camera: WatchedCamera
  readonly id: string
  readonly updater: Updater
  readonly outbox: Outbox
  readonly turns: Turns
  readonly settings: () => MiningSettings
  readonly log: Logger
  readonly random: () => number
}

/** A failing detector must not turn the loop into a busy one; milliseconds. */
const pauseAfterFault = 200
/** Previews a second at most. */
const previewInterval = 500
const previewWidth = 640

type Truth = NonNullable<WatchedFrame['truth']>

export class CameraWatcher {
  readonly #options: CameraWatcherOptions
  readonly #miner: Miner
  readonly counts: CameraCounts
  /** Known answers of a drawn street, by frame; kept as long as the miner may still want the frame. */
  readonly #truths = new Map<number, Truth>()
  readonly #truthOf = new WeakMap<Candidate, Truth>()
  #last: { frame: WatchedFrame; looked: Looked | null } | null = null
  #lastPreview = 0
  #running: Promise<void> | null = null
  #stopping = false

  constructor(options: CameraWatcherOptions) {
    this.#options = options
    this.#miner = new Miner({ random: options.random })
    this.counts = new CameraCounts(options.id)
  }

  start(): void {
    this.#running = this.#run()
  }

  /** The camera must have been stopped: the loop ends with its last frame. What still waited for a better one is kept. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#running
    await this.#release(Date.now(), true)
  }

  /** The latest picture with what the model saw in it; null before the first frame or when the last one is too young. */
  async preview(): Promise<Preview | null> {
    const last = this.#last
    if (!last || performance.now() - this.#lastPreview < previewInterval) return null
    this.#lastPreview = performance.now()
    const { jpeg, width, height } = await this.#options.camera.jpeg(last.frame.id, { maxWidth: previewWidth, quality: 70 })
    const shrink = width / last.frame.width
    const thresholds = last.looked?.model.manifest.thresholds ?? {}
    return {
      v: 1,
      camera: this.#options.id,
      at: Math.round(last.frame.capturedAt),
      jpeg,
      width,
      height,
      detections: (last.looked?.detections ?? [])
        .filter(({ label, score }) => score >= (thresholds[label] ?? 0.5))
        .map(({ box: [x1, y1, x2, y2], ...rest }) => ({ ...rest, box: [x1 * shrink, y1 * shrink, x2 * shrink, y2 * shrink] })),
    }
  }

  async #run(): Promise<void> {
    const { camera, log } = this.#options
    let next = camera.nextFrame()
    while (!this.#stopping) {
      const frame = await next
      if (!frame || this.#stopping) {
        // The end of a file: nothing better will come for what still waits.
        if (!this.#stopping) await this.#release(Date.now(), true)
        break
      }
      // The next frame is decoded while the detector looks at this one.
      next = camera.nextFrame()
      try {
        await this.#look(frame)
      } catch (error) {
        log.warn({ camera: this.#options.id, cause: error instanceof Error ? error.message : error }, 'a frame failed')
        await sleep(pauseAfterFault)
      }
    }
  }

  async #look(frame: WatchedFrame): Promise<void> {
    const { updater, turns, settings } = this.#options
    let looked: Looked | null = null
    if (updater.current) {
      try {
        looked = await turns.take(() => updater.runner.look({ tensor: frame.tensor, picture: frame, scale: frame.scale }))
      } catch (error) {
        updater.failed()
        throw error
      }
      // Made for the model that was there before; the next one will fit.
      if (!looked) return
    }
    this.#last = { frame, looked }
    this.counts.looked(looked?.detections ?? [], looked?.milliseconds ?? 0)
    if (frame.truth) this.#truths.set(frame.id, frame.truth)
    const observation: Observation = {
      frame: frame.id,
      at: frame.capturedAt,
      width: frame.width,
      height: frame.height,
      motion: frame.motion,
      thumbnail: frame.thumbnail,
      model: looked?.model.sha256 ?? null,
      detections: looked?.detections ?? [],
      embedding: looked?.embedding ?? null,
      thresholds: looked?.model.manifest.thresholds ?? {},
    }
    await Promise.all(this.#miner.look(observation, settings()).map((candidate) => this.#takePicture(candidate)))
    await this.#release(frame.capturedAt, false)
    if (this.#truths.size > 64) this.#truths.delete(this.#truths.keys().next().value!)
  }

  async #takePicture(candidate: Candidate): Promise<void> {
    const { camera, settings, log } = this.#options
    try {
      candidate.picture = await camera.jpeg(candidate.observation.frame, { quality: settings().jpegQuality })
      const truth = this.#truths.get(candidate.observation.frame)
      if (truth) this.#truthOf.set(candidate, truth)
    } catch (error) {
      // It has left the camera's ring, or the camera broke: another will come.
      log.debug({ error }, 'a chosen frame is gone')
      this.#miner.giveUp(candidate)
    }
  }

  async #release(at: number, flush: boolean): Promise<void> {
    const { id, outbox, settings, log } = this.#options
    for (const candidate of this.#miner.release(at, settings(), { flush })) {
      const sample = makeSample(id, candidate, this.#truthOf.get(candidate))
      if (!sample) continue
      const encoded = encode(sample)
      if (encoded.byteLength > upPayloads.sample.maxBytes) {
        log.warn({ camera: id, bytes: encoded.byteLength }, 'a picture is too large to be sent; lower mining.jpegQuality')
        continue
      }
      try {
        if (await outbox.add(sample, encoded)) this.counts.sampled(candidate.reasons)
      } catch (error) {
        log.error({ cause: error instanceof Error ? error.message : error }, 'the outbox cannot keep a sample')
      }
    }
  }
}
