/** How unlike a frame is to those already sent; and whether it is the same picture again. */
import type { Finding, Observation, Thumbnail } from './observation.ts'

/** Frames remembered per camera; the oldest is forgotten first, so that a season may become new again. */
const remembered = 256

export function cosineDistance(a: Float32Array, b: Float32Array): number {
  let dot = 0
  let aa = 0
  let bb = 0
  for (let index = 0; index < a.length; index++) {
    dot += a[index]! * b[index]!
    aa += a[index]! ** 2
    bb += b[index]! ** 2
  }
  return aa > 0 && bb > 0 ? 1 - dot / Math.sqrt(aa * bb) : 1
}

/** Stands in for an embedding while there is no model: the thumbnail less its mean light, so that exposure does not matter. */
export function thumbnailVector({ grey }: Thumbnail): Float32Array {
  const mean = grey.reduce((sum, value) => sum + value, 0) / grey.length
  return Float32Array.from(grey, (value) => value - mean)
}

/** The descriptors of what was sent. Distances are only comparable within one model, so another one begins anew. */
export class Novelty {
  #kind = ''
  #sent: Float32Array[] = []

  /** Cosine distance to the nearest one sent, 0..2; null for a first frame, or when there is nothing to compare by. */
  distance(observation: Observation): number | null {
    const { kind, vector } = descriptor(observation)
    if (!vector || kind !== this.#kind || this.#sent.length === 0) return null
    return Math.min(...this.#sent.map((each) => cosineDistance(each, vector)))
  }

  remember(observation: Observation): void {
    const { kind, vector } = descriptor(observation)
    if (!vector) return
    if (kind !== this.#kind) this.#sent = []
    this.#kind = kind
    this.#sent.push(vector)
    if (this.#sent.length > remembered) this.#sent.shift()
  }
}

function descriptor({ model, embedding, thumbnail }: Observation): { kind: string; vector: Float32Array | null } {
  if (model && embedding && embedding.length > 0) return { kind: `${model}/${embedding.length}`, vector: embedding }
  return { kind: `thumbnail/${thumbnail?.grey.length}`, vector: thumbnail ? thumbnailVector(thumbnail) : null }
}

/**
 * `novelty` from the asked distance on: the greedy step of the core-set approach (Sener and Savarese, "Active Learning for Convolutional
 * Neural Networks: A Core-Set Approach", 2018), taken on a stream.
 */
export function findNovelty(distance: number | null, from: number): Finding | null {
  if (distance === null) return { reason: 'novelty', score: 0.3 }
  return distance >= from ? { reason: 'novelty', score: Math.min(0.8, 0.3 + (0.3 * distance) / Math.max(from, 0.01)) } : null
}

/** Grey levels: the least change that counts, and the least that no noise excuses. */
const [leastChange, certainChange] = [5, 12]

/**
 * Whether two frames of a camera show the same: no cell changed by more than the sensor's noise (estimated from the cells themselves, by
 * the median absolute difference, Hampel 1974), whatever the light did. A dark picture changes by few grey levels.
 */
function samePicture(a: Uint8Array, b: Uint8Array): boolean {
  const differences = Float32Array.from(a, (value, cell) => value - b[cell]!)
  const light = differences.reduce((sum, value) => sum + value, 0) / differences.length
  const sorted = differences.map((value) => Math.abs(value - light)).sort()
  const noise = 1.4826 * sorted[sorted.length >> 1]!
  return sorted.at(-1)! < Math.min(certainChange, Math.max(leastChange, 5 * noise))
}

export function nearIdentical(a: Observation, b: Observation): boolean {
  if (a.thumbnail && b.thumbnail && a.thumbnail.grey.length === b.thumbnail.grey.length) {
    return samePicture(a.thumbnail.grey, b.thumbnail.grey)
  }
  return a.model === b.model && a.embedding && b.embedding ? cosineDistance(a.embedding, b.embedding) < 0.002 : false
}
