/** Near-duplicate clusters and the split of a new sample, decided once when it comes in. Pure. */
import { createHash } from 'node:crypto'
import type { Split } from '../../protocol/http/labelling.ts'

/** Side of the small grey picture that frames are compared by. */
export const thumbnailSide = 16

/**
 * Mean squared difference of grey thumbnails (0..255) below which two frames of one camera show the same moment. Sensor noise and JPEG
 * coding stay below 5; one car that moves across a street is above 25. A model's embedding is not used: its scale changes with each model.
 */
export const sameMoment = 12

/**
 * No cell of the two may differ by more than this. A person who walks through a dark street changes a few cells clearly and the mean
 * hardly at all: by the mean alone a fixed camera's night was one cluster, and one audit sample held all of it out of training.
 */
export const sameEverywhere = 6

/** Of each camera and day, a new sample is compared with this many of the latest: the cost per sample stays the same for ever. */
export const comparedWith = 256

export interface Known {
  readonly cluster: number
  readonly split: Split
  readonly thumbnail: Uint8Array
}

export interface NewSample {
  readonly id: string
  readonly camera: string
  readonly capturedAt: number
  readonly audit: boolean
  readonly thumbnail: Uint8Array
}

/**
 * @param known the latest of the same device, camera and day
 * @param nextCluster number for a cluster of its own
 * @returns an audit sample is always held out; any other one goes with its cluster
 */
export function place(
  sample: NewSample,
  { known, nextCluster, heldOutShare }: { known: readonly Known[]; nextCluster: number; heldOutShare: number },
): { cluster: number; split: Split } {
  let best: Known | undefined
  let least = sameMoment
  for (const each of known) {
    const difference = meanSquaredDifference(sample.thumbnail, each.thumbnail, least)
    if (difference < least) [least, best] = [difference, each]
  }
  const split = best
    ? best.split
    : chance(`${sample.camera} ${dayOf(sample.capturedAt)} ${sample.id}`) < heldOutShare
      ? 'held-out'
      : 'train'
  return { cluster: best?.cluster ?? nextCluster, split: sample.audit ? 'held-out' : split }
}

/** UTC day of a moment, "2026-01-31". */
export const dayOf = (at: number) => new Date(at).toISOString().slice(0, 10)

/** Whether two thumbnails show the same moment. */
export function areNearDuplicates(a: Uint8Array, b: Uint8Array): boolean {
  return meanSquaredDifference(a, b, sameMoment) < sameMoment
}

function meanSquaredDifference(a: Uint8Array, b: Uint8Array, enough: number): number {
  if (a.length !== b.length || a.length === 0) return Number.POSITIVE_INFINITY
  const limit = enough * a.length
  let sum = 0
  for (let i = 0; i < a.length && sum < limit; i++) {
    const difference = Math.abs(a[i]! - b[i]!)
    if (difference > sameEverywhere) return Number.POSITIVE_INFINITY
    sum += difference ** 2
  }
  return sum / a.length
}

/** 0..1, the same for the same text for ever. */
const chance = (text: string) => createHash('sha256').update(text).digest().readUInt32BE(0) / 2 ** 32
