/** What telemetry tells of one camera: counters since the agent started. */
import type { Detection, Reason } from '../../protocol/primitives.ts'
import type { Telemetry } from '../../protocol/topics.ts'

type CameraTelemetry = Telemetry['cameras'][number]

export class CameraCounts {
  readonly #id: string
  #frames = 0
  #detections = 0
  readonly #histogram: number[] = Array(10).fill(0)
  readonly #samples: Partial<Record<Reason, number>> = {}
  #reconnects = 0
  /** Smoothed, milliseconds. */
  #inference = 0
  #since = { at: performance.now(), frames: 0 }

  constructor(id: string) {
    this.#id = id
  }

  looked(detections: readonly Detection[], milliseconds: number): void {
    this.#frames++
    this.#detections += detections.length
    for (const { score } of detections) this.#histogram[Math.min(9, Math.floor(score * 10))]!++
    if (milliseconds > 0) this.#inference = this.#inference === 0 ? milliseconds : 0.9 * this.#inference + 0.1 * milliseconds
  }

  sampled(reasons: readonly Reason[]): void {
    for (const reason of reasons) this.#samples[reason] = (this.#samples[reason] ?? 0) + 1
  }

  reconnected(): void {
    this.#reconnects++
  }

  /** The frame rate is that since the last time it was asked for. */
  telemetry(): CameraTelemetry {
    const now = performance.now()
    const seconds = (now - this.#since.at) / 1000
    const framesPerSecond = seconds > 0 ? (this.#frames - this.#since.frames) / seconds : 0
    this.#since = { at: now, frames: this.#frames }
    return {
      id: this.#id,
      frames: this.#frames,
      framesPerSecond,
      inferenceMilliseconds: this.#inference,
      detections: this.#detections,
      scoreHistogram: [...this.#histogram],
      samples: { ...this.#samples },
      reconnects: this.#reconnects,
    }
  }
}
