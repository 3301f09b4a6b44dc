/** What the miner is told of one frame. */
import type { Detection, Reason } from '../../protocol/primitives.ts'

/** A small grey picture of the whole frame, row by row. */
export interface Thumbnail {
  readonly width: number
  readonly height: number
  readonly grey: Uint8Array
}

export interface Observation {
  /** Names the frame within its camera, counting up. */
  readonly frame: number
  /** Milliseconds since 1970. */
  readonly at: number
  /** Of the picture, in pixels; detections are in these. */
  readonly width: number
  readonly height: number
  /** How much moved since the frame before, 0..1. */
  readonly motion: number
  readonly thumbnail: Thumbnail | null
  /** SHA-256 of the model that looked; null in a cold start. */
  readonly model: string | null
  readonly detections: readonly Detection[]
  readonly embedding: Float32Array | null
  /** Score from which a detection counts, by class. */
  readonly thresholds: Readonly<Record<string, number>>
}

/** One reason to send a frame, and how much a label on it should teach by that reason alone, 0..1. */
export interface Finding {
  readonly reason: Reason
  readonly score: number
}

/**
 * Joins the scores of several reasons: the chance that at least one of them is right, each taken for itself ("noisy or",
 * Pearl 1988, 4.3.2).
 */
export const joinScores = (findings: readonly Finding[]): number =>
  1 - findings.reduce((product, { score }) => product * (1 - Math.min(Math.max(score, 0), 1)), 1)
