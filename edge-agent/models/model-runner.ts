/** The detector that runs, and while a new one is on probation the former beside it, ready to take over between two frames. */
import { MuninnError } from '../../protocol/errors.ts'
import type { ModelManifest } from '../../protocol/manifest.ts'
import type { Detection } from '../../protocol/primitives.ts'
import { inEnglish, say } from '../../protocol/sentences.ts'
import { Detector } from '../detector/detector.ts'
import type { Slot } from './journal.ts'
import { type InputScale, readDetections } from './read-detections.ts'

/** A model in memory. */
export interface LoadedModel {
  readonly sha256: string
  readonly manifest: ModelManifest
  readonly slot: Slot
  readonly detector: Detector
}

export interface Looked {
  readonly model: LoadedModel
  readonly detections: readonly Detection[]
  readonly embedding: Float32Array
  readonly milliseconds: number
}

/** What was seen of the model since it began to run. */
export interface Seen {
  frames: number
  error: string | null
  readonly milliseconds: number[]
  readonly formerMilliseconds: number[]
}

/** After this the runtime hangs and will not come back; milliseconds. */
const detectTimeout = 30_000
/** Timings kept; enough for a median. */
const keptTimings = 101
/** During probation the former model is timed on each so many frames, so that a busy machine is not blamed on the new one. */
const compareEvery = 5

const nothingSeen = (): Seen => ({ frames: 0, error: null, milliseconds: [], formerMilliseconds: [] })

async function detectInTime(detector: Detector, tensor: Uint8Array) {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new MuninnError('BAD_MODEL', inEnglish(say('update.no-result', { seconds: detectTimeout / 1000 })))),
      detectTimeout,
    )
  })
  try {
    return await Promise.race([detector.detect(tensor), late])
  } finally {
    clearTimeout(timer)
  }
}

export async function loadModel(options: {
  path: string
  sha256: string
  manifest: ModelManifest
  slot: Slot
  threads: number
}): Promise<LoadedModel> {
  const { path, threads, ...rest } = options
  return { ...rest, detector: await Detector.load({ path, threads }) }
}

export class ModelRunner {
  #current: LoadedModel | null = null
  #former: LoadedModel | null = null
  #seen = nothingSeen()

  get current(): LoadedModel | null {
    return this.#current
  }

  get seen(): Readonly<Seen> {
    return this.#seen
  }

  /** From the next frame on this model looks; the former stays loaded until `settle` or `goBack`. */
  async switchTo(model: LoadedModel | null): Promise<void> {
    const oldest = this.#former
    this.#former = this.#current
    this.#current = model
    this.#seen = nothingSeen()
    await oldest?.detector.stop()
  }

  /** The same file by another manifest: classes and thresholds may have changed. */
  restate(manifest: ModelManifest): void {
    if (this.#current) this.#current = { ...this.#current, manifest }
  }

  /** The new one stays: lets the former go. */
  async settle(): Promise<void> {
    const former = this.#former
    this.#former = null
    await former?.detector.stop()
  }

  /** The former one runs again, from the next frame on. False: there is none in memory. */
  async goBack(): Promise<boolean> {
    const failed = this.#current
    const back = this.#former
    this.#current = back
    this.#former = null
    this.#seen = nothingSeen()
    await failed?.detector.stop()
    return back !== null
  }

  async stop(): Promise<void> {
    await this.settle()
    await this.switchTo(null)
    await this.settle()
  }

  /**
   * Looks at one frame. The tensor's memory is given away.
   * @returns null when no model is there, or when the frame was made for another one (a switch happened in between)
   * @throws MuninnError when the model fails; kept in `seen` too
   */
  async look(frame: {
    tensor: Uint8Array
    picture: { width: number; height: number }
    scale: InputScale
  }): Promise<Looked | null> {
    const model = this.#current
    if (!model || frame.tensor.byteLength !== model.detector.width * model.detector.height * 3) return null
    const seen = this.#seen
    try {
      const raw = await detectInTime(model.detector, frame.tensor)
      const labels = model.manifest.classes
      const detections = readDetections(raw, { labels, picture: frame.picture, scale: frame.scale })
      seen.frames++
      seen.milliseconds.push(raw.milliseconds)
      if (seen.milliseconds.length > keptTimings) seen.milliseconds.shift()
      await this.#compare(seen)
      return { model, detections, embedding: raw.embedding, milliseconds: raw.milliseconds }
    } catch (error) {
      // A model that was sent away while it looked has nothing to answer for.
      if (this.#current?.detector !== model.detector) return null
      seen.error ??= error instanceof Error ? error.message : String(error)
      throw error
    }
  }

  async #compare(seen: Seen): Promise<void> {
    const former = this.#former
    if (!former || seen.frames % compareEvery !== 1 || seen.formerMilliseconds.length >= keptTimings) return
    try {
      const { width, height } = former.detector
      const grey = new Uint8Array(width * height * 3).fill(114)
      seen.formerMilliseconds.push((await detectInTime(former.detector, grey)).milliseconds)
    } catch {
      // The former model's own trouble is not the new one's; without its timings speed is not judged.
    }
  }
}
