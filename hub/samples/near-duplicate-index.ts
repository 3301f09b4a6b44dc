/** Finds a near-duplicate among many thumbnails without comparing with all of them. Exact: what `areNearDuplicates` says, it finds. */
import { sameEverywhere, sameMoment, thumbnailSide } from './near-duplicates.ts'

const cells = thumbnailSide ** 2
/**
 * Thumbnails are kept with their cells in this order (an odd factor modulo a power of two goes through each once): spread over the
 * picture, so that a difference anywhere ends a comparison early.
 */
const order = Uint8Array.from({ length: cells }, (_, i) => (i * 101 + 37) % cells)
/** The first cells of that order choose the bucket. No cell of a near-duplicate differs by more than `sameEverywhere`: few buckets can have one. */
const keyCells = 4
const bucketSize = 2 * sameEverywhere + 1
const bucketsAcross = Math.ceil(256 / bucketSize)
const mostSum = sameMoment * cells

interface Bucket {
  readonly ids: string[]
  /** One behind the other: they are read in a row. */
  thumbnails: Uint8Array
}

export class NearDuplicateIndex {
  readonly #buckets = new Map<number, Bucket>()

  /** One that has another size than thumbnails have is a near-duplicate of nothing. */
  add(id: string, thumbnail: Uint8Array): void {
    if (thumbnail.length !== cells) return
    let key = 0
    for (let i = 0; i < keyCells; i++) key = key * bucketsAcross + Math.floor(thumbnail[order[i]!]! / bucketSize)
    let bucket = this.#buckets.get(key)
    if (!bucket) {
      bucket = { ids: [], thumbnails: new Uint8Array(cells) }
      this.#buckets.set(key, bucket)
    }
    const at = bucket.ids.length * cells
    if (at === bucket.thumbnails.length) {
      const grown = new Uint8Array(at * 2)
      grown.set(bucket.thumbnails)
      bucket.thumbnails = grown
    }
    for (let i = 0; i < cells; i++) bucket.thumbnails[at + i] = thumbnail[order[i]!]!
    bucket.ids.push(id)
  }

  /** The id of one that shows the same moment; undefined where there is none. */
  find(thumbnail: Uint8Array): string | undefined {
    if (thumbnail.length !== cells) return undefined
    const wanted = order.map((cell) => thumbnail[cell]!)
    let keys = [0]
    for (let i = 0; i < keyCells; i++) {
      const from = Math.max(0, Math.floor((wanted[i]! - sameEverywhere) / bucketSize))
      const to = Math.min(bucketsAcross - 1, Math.floor((wanted[i]! + sameEverywhere) / bucketSize))
      keys = keys.flatMap((key) =>
        from === to ? [key * bucketsAcross + from] : [key * bucketsAcross + from, key * bucketsAcross + to],
      )
    }
    for (const key of keys) {
      const bucket = this.#buckets.get(key)
      if (!bucket) continue
      const found = findIn(bucket, wanted)
      if (found >= 0) return bucket.ids[found]
    }
    return undefined
  }
}

/** As `areNearDuplicates`, over a whole bucket. @returns the place of the first one; -1 where there is none */
function findIn({ ids, thumbnails }: Bucket, wanted: Uint8Array): number {
  for (let at = 0; at < ids.length; at++) {
    const first = at * cells
    let sum = 0
    let i = 0
    for (; i < cells; i++) {
      const difference = wanted[i]! - thumbnails[first + i]!
      if (difference > sameEverywhere || difference < -sameEverywhere) break
      sum += difference * difference
    }
    if (i === cells && sum < mostSum) return at
  }
  return -1
}
