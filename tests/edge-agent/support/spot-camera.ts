/** A camera that draws its pictures in this process: a bright spot that wanders. Everything behind it is real. */
import sharp from 'sharp'
import type { WatchedCamera, WatchedFrame } from '../../../edge-agent/watching/watched-camera.ts'
import { fitPicture } from '../../../protocol/letterbox.ts'
import type { ModelInput } from '../../../protocol/manifest.ts'
import type { CameraStatus } from '../../../protocol/topics.ts'

const [width, height] = [128, 96]

export class SpotCamera implements WatchedCamera {
  readonly #id: string
  /** 0..255, of the spot. */
  brightness = 230
  readonly #interval: number
  #input: ModelInput = { width: 64, height: 64, resize: 'letterbox' }
  #frame = 0
  #stopped = false
  #listener: () => void = () => {}
  #wake: (() => void) | null = null

  constructor(id: string, { interval = 10 } = {}) {
    this.#id = id
    this.#interval = interval
  }

  get status(): CameraStatus {
    return { id: this.#id, name: 'Spots', source: 'test', state: this.#frame > 0 ? 'live' : 'connecting', width, height }
  }

  onStatus(listener: () => void): void {
    this.#listener = listener
  }

  start(): void {
    this.#listener()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#wake?.()
  }

  setInput(input: ModelInput): void {
    this.#input = input
  }

  async nextFrame(): Promise<WatchedFrame | null> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      setTimeout(resolve, this.#interval)
    })
    if (this.#stopped) return null
    const id = ++this.#frame
    if (id === 1) this.#listener()
    const { tensor, fit } = fitPicture({ width, height, data: this.#draw(id) }, this.#input)
    const grey = Uint8Array.from(
      { length: 32 * 24 },
      (_, cell) => this.#draw(id)[((cell >> 5) * 4 * width + (cell & 31) * 4) * 3]!,
    )
    return {
      id,
      capturedAt: Date.now(),
      width,
      height,
      tensor,
      scale: { x: fit.scaleX, y: fit.scaleY },
      motion: 0.05,
      thumbnail: { width: 32, height: 24, grey },
      truth: [{ box: this.#box(id), label: 'spot' }],
    }
  }

  async jpeg(frame: number, { quality, maxWidth = width }: { quality: number; maxWidth?: number }) {
    const image = sharp(this.#draw(frame), { raw: { width, height, channels: 3 } }).resize({ width: Math.min(maxWidth, width) })
    const { data, info } = await image.jpeg({ quality }).toBuffer({ resolveWithObject: true })
    return { jpeg: new Uint8Array(data), width: info.width, height: info.height }
  }

  #box(frame: number): [number, number, number, number] {
    const [x, y] = [((frame * 7) % 8) * 16, ((frame * 3) % 6) * 16]
    return [x, y, x + 16, y + 16]
  }

  #draw(frame: number): Uint8Array {
    const data = new Uint8Array(width * height * 3).fill(20)
    const [x1, y1, x2, y2] = this.#box(frame)
    for (let y = y1; y < y2; y++) data.fill(this.brightness, (y * width + x1) * 3, (y * width + x2) * 3)
    return data
  }
}
