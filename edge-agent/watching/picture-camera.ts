/** A camera over a source of single pictures: paced or as fast as it is looked at, with a ring of the last whole frames. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import sharp from 'sharp'
import type { CameraConfig } from '../../protocol/config.ts'
import { fitPicture, type Picture } from '../../protocol/letterbox.ts'
import type { ModelInput } from '../../protocol/manifest.ts'
import type { CameraStatus } from '../../protocol/topics.ts'
import type { Picture as Jpeg } from '../mining/miner.ts'
import type { Thumbnail } from '../mining/observation.ts'
import type { PictureSource, SourcePicture } from './picture-source.ts'
import type { WatchedCamera, WatchedFrame } from './watched-camera.ts'

const ringFrames = 16
const ringBytes = 256 * 1024 * 1024
const retryAfter = 5000
const [thumbnailWidth, thumbnailHeight] = [32, 24]

/** Mean grey (ITU-R BT.601) of each cell, from every other pixel of it. */
export function thumbnailOf({ width, height, data }: Picture): Thumbnail {
  const grey = new Uint8Array(thumbnailWidth * thumbnailHeight)
  for (let cell = 0; cell < grey.length; cell++) {
    const [column, row] = [cell % thumbnailWidth, Math.floor(cell / thumbnailWidth)]
    const [x0, x1] = [Math.floor((column * width) / thumbnailWidth), Math.ceil(((column + 1) * width) / thumbnailWidth)]
    const [y0, y1] = [Math.floor((row * height) / thumbnailHeight), Math.ceil(((row + 1) * height) / thumbnailHeight)]
    let sum = 0
    let count = 0
    for (let y = y0; y < y1; y += 2) {
      for (let x = x0; x < x1; x += 2, count++) {
        const at = (y * width + x) * 3
        sum += 0.299 * data[at]! + 0.587 * data[at + 1]! + 0.114 * data[at + 2]!
      }
    }
    grey[cell] = count > 0 ? sum / count : 0
  }
  return { width: thumbnailWidth, height: thumbnailHeight, grey }
}

/** Share of cells that changed, less a change of the whole light. */
export function motionBetween(a: Thumbnail, b: Thumbnail): number {
  const differences = Array.from(a.grey, (value, cell) => b.grey[cell]! - value)
  const light = differences.reduce((sum, value) => sum + value, 0) / differences.length
  return differences.filter((value) => Math.abs(value - light) >= 12).length / differences.length
}

export class PictureCamera implements WatchedCamera {
  readonly #config: CameraConfig
  readonly #log: Logger
  readonly #open: () => Promise<PictureSource>
  readonly #ring = new Map<number, SourcePicture>()
  readonly #listeners: (() => void)[] = []
  readonly #stopped = new AbortController()
  #source: PictureSource | null = null
  #input: ModelInput = { width: 320, height: 320, resize: 'letterbox' }
  #state: CameraStatus['state'] = 'connecting'
  #cause: string | undefined
  #size = { width: 0, height: 0 }
  #next = 0
  #startedAt = 0
  #before: Thumbnail | null = null

  constructor({ config, log, open }: { config: CameraConfig; log: Logger; open: () => Promise<PictureSource> }) {
    this.#config = config
    this.#log = log
    this.#open = open
  }

  get status(): CameraStatus {
    const { id, name = id, source } = this.#config
    return { id, name, source, state: this.#state, ...(this.#cause && { cause: this.#cause }), ...this.#size }
  }

  onStatus(listener: () => void): void {
    this.#listeners.push(listener)
  }

  start(): void {
    this.#startedAt = performance.now()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
  }

  setInput(input: ModelInput): void {
    this.#input = input
  }

  async nextFrame(): Promise<WatchedFrame | null> {
    while (!this.#stopped.signal.aborted) {
      try {
        return await this.#take()
      } catch (error) {
        if (this.#stopped.signal.aborted) return null
        const cause = error instanceof Error ? error.message : String(error)
        this.#log.warn({ camera: this.#config.id, cause }, 'no picture')
        if (!this.#source) {
          this.#become('lost', cause)
          await sleep(retryAfter, undefined, { signal: this.#stopped.signal }).catch(() => {})
        }
      }
    }
    return null
  }

  async jpeg(frame: number, { quality, maxWidth }: { quality: number; maxWidth?: number }): Promise<Jpeg> {
    const picture = this.#ring.get(frame)
    if (!picture) throw new Error(`frame ${frame} of ${this.#config.id} is gone`)
    const { width, height, data } = picture
    const image = sharp(data, { raw: { width, height, channels: 3 } })
    if (maxWidth && maxWidth < width) image.resize({ width: maxWidth })
    const result = await image.jpeg({ quality }).toBuffer({ resolveWithObject: true })
    return { jpeg: new Uint8Array(result.data), width: result.info.width, height: result.info.height }
  }

  /** Null at the end. A picture that cannot be read is passed over. */
  async #take(): Promise<WatchedFrame | null> {
    this.#source ??= await this.#open()
    const { length } = this.#source
    const index = await this.#turn(this.#source)
    if (length !== null && index >= length && !this.#config.loop) {
      this.#become('ended')
      return null
    }
    this.#next = index + 1
    const picture = await this.#source.picture(index, this.#seconds())
    const { tensor, fit } = fitPicture(picture, this.#input)
    const thumbnail = thumbnailOf(picture)
    const motion = this.#before ? motionBetween(this.#before, thumbnail) : 0
    this.#before = thumbnail
    this.#keep(index, picture)
    return {
      id: index,
      capturedAt: Date.now(),
      width: picture.width,
      height: picture.height,
      tensor,
      scale: { x: fit.scaleX, y: fit.scaleY },
      motion,
      thumbnail,
      ...(picture.truth && { truth: picture.truth }),
    }
  }

  #seconds(): number {
    return (performance.now() - this.#startedAt) / 1000
  }

  /** Waits for the next picture's moment and says which it is: in real time those are left out for which there was no time. */
  async #turn({ framesPerSecond }: PictureSource): Promise<number> {
    if (!this.#config.realTime) return this.#next
    const rate = this.#config.framesPerSecond > 0 ? Math.min(this.#config.framesPerSecond, framesPerSecond) : framesPerSecond
    const index = Math.max(this.#next, Math.floor(this.#seconds() * rate))
    const wait = (index / rate - this.#seconds()) * 1000
    if (wait > 0) await sleep(wait, undefined, { signal: this.#stopped.signal })
    return index
  }

  #keep(index: number, picture: SourcePicture): void {
    this.#ring.set(index, picture)
    let bytes = 0
    for (const { data } of this.#ring.values()) bytes += data.byteLength
    for (const [oldest, { data }] of this.#ring) {
      if (this.#ring.size <= 1 || (this.#ring.size <= ringFrames && bytes <= ringBytes)) break
      this.#ring.delete(oldest)
      bytes -= data.byteLength
    }
    if (this.#size.width !== picture.width || this.#size.height !== picture.height || this.#state !== 'live') {
      this.#size = { width: picture.width, height: picture.height }
      this.#become('live')
    }
  }

  #become(state: CameraStatus['state'], cause?: string): void {
    this.#state = state
    this.#cause = cause
    for (const listener of this.#listeners) listener()
  }
}
