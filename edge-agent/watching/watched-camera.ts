/** What the agent needs of a camera; how it decodes is its own affair. */
import type { ModelInput } from '../../protocol/manifest.ts'
import type { LabelledBox } from '../../protocol/primitives.ts'
import type { CameraStatus } from '../../protocol/topics.ts'
import type { Picture } from '../mining/miner.ts'
import type { Thumbnail } from '../mining/observation.ts'
import type { InputScale } from '../models/read-detections.ts'

export interface WatchedFrame {
  /** Counts up within the camera. */
  readonly id: number
  /** Milliseconds since 1970. */
  readonly capturedAt: number
  /** Of the picture, in pixels. */
  readonly width: number
  readonly height: number
  /** uint8 [1, H, W, 3] RGB as the model takes it; its memory is given away. */
  readonly tensor: Uint8Array
  readonly scale: InputScale
  /** 0..1 */
  readonly motion: number
  readonly thumbnail: Thumbnail | null
  /** Known to a drawn street only. */
  readonly truth?: readonly LabelledBox[]
}

export interface WatchedCamera {
  readonly status: CameraStatus
  /** Told when the status changed. */
  onStatus(listener: () => void): void
  start(): void | Promise<void>
  /** Ends a `nextFrame` that waits, with null. */
  stop(): Promise<void>
  /** The model that looks from now on takes pictures of this size. */
  setInput(input: ModelInput): void
  /** The latest frame that was not given yet; null at the end of a file, and after `stop`. */
  nextFrame(): Promise<WatchedFrame | null>
  /** The whole picture of a frame that the camera still has; rejects when it is gone. */
  jpeg(frame: number, options: { quality: number; maxWidth?: number }): Promise<Picture>
}
