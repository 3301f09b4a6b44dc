/** Which pictures are held out when nobody said so: whole runs of near-duplicates, so that no picture is measured whose twin was learnt. Pure. */
import { Random } from '../detector/random.ts'
import { clustersOf, difference } from './look-alikes.ts'

export interface HoldOutPicture {
  /** Small and grey; all of one size. */
  readonly thumbnail: Uint8Array
  readonly labels: readonly { readonly label: number; readonly ignore?: boolean }[]
}

/**
 * Mean squared difference of grey thumbnails (0..255) below which two pictures show the same moment. The hub, whose cameras stand still,
 * also asks that no part of them differs much, or a dark street would be one moment all night. Pictures of a folder are as often taken on the
 * move or by hand, and that would lose a third of the true pairs among them (24 of 69 in four public sets, where this finds no false one).
 */
export const sameMoment = 12
/** Names in the order of time: neighbours differ by less than this share of what any two pictures differ by. */
const filmShare = 0.5
/** Runs of a film are no longer than this share of the cut, so that it comes from several places. */
const longest = 0.5

/**
 * @param pictures in time order
 * @returns for each picture, whether it is held out; none when there are too few to spare any
 */
export function holdOut(pictures: readonly HoldOutPicture[], { share, seed }: { share: number; seed: number }): boolean[] {
  const held = pictures.map(() => false)
  const wanted = Math.round(pictures.length * share)
  if (wanted < 1 || pictures.length < 8) return held
  const blocks = blocksOf(pictures, Math.max(1, Math.floor(wanted * longest)))
  // Rarest class first, each to its own share of boxes (iterative stratification: Sechidis et al. 2011), blocks by chance.
  const perClass = new Map<number, number>()
  for (const { labels } of pictures)
    for (const { label, ignore } of labels) if (!ignore) perClass.set(label, (perClass.get(label) ?? 0) + 1)
  const free = new Set(new Random(seed).shuffle<readonly number[]>(blocks))
  let taken = 0
  const take = (block: readonly number[]) => {
    free.delete(block)
    taken += block.length
    for (const i of block) held[i] = true
  }
  const boxes = (block: readonly number[], label: number) =>
    block.reduce((sum, i) => sum + pictures[i]!.labels.filter((each) => each.label === label && !each.ignore).length, 0)
  for (const [label, total] of [...perClass].sort((a, b) => a[1] - b[1])) {
    let left = Math.round(total * share) - held.reduce((sum, each, i) => sum + (each ? boxes([i], label) : 0), 0)
    for (const block of free) {
      const count = boxes(block, label)
      // A class must stay in training with more boxes than it gives away.
      if (left <= 0 || count === 0 || count > total / 2) continue
      if (taken > 0 && taken + block.length > wanted * 1.1) continue
      take(block)
      left -= count
    }
  }
  for (const block of free) if (taken + block.length <= wanted) take(block)
  return held
}

/** Pictures that must stay together: near-duplicates, and runs of a film of at most `most` pictures. */
function blocksOf(pictures: readonly HoldOutPicture[], most: number): number[][] {
  const clusters = new Map<number, number[]>()
  const thumbnails = pictures.map(({ thumbnail }) => thumbnail)
  for (const [i, first] of clustersOf(thumbnails, sameMoment).entries()) {
    const cluster = clusters.get(first)
    if (cluster) cluster.push(i)
    else clusters.set(first, [i])
  }
  // In a film, neighbours look alike though nothing is the same: runs of it stay together up to the next cut.
  const cut = cutOf(pictures)
  const blocks: number[][] = []
  for (const cluster of clusters.values()) {
    const last = blocks.at(-1)
    const near = last && difference(pictures[last.at(-1)!]!.thumbnail, pictures[cluster[0]!]!.thumbnail, cut) < cut
    if (last && near && last.length + cluster.length <= most) last.push(...cluster)
    else blocks.push(cluster)
  }
  return blocks
}

/** Difference that tells a cut of a film: what any two of its pictures differ by. 0 where the pictures are no film. */
function cutOf(pictures: readonly HoldOutPicture[]): number {
  const random = new Random(pictures.length)
  const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!
  const of = (other: (i: number) => number) =>
    median(
      pictures.slice(1).map(({ thumbnail }, i) => difference(thumbnail, pictures[other(i)]!.thumbnail, Number.POSITIVE_INFINITY)),
    )
  const any = of(() => random.integer(pictures.length))
  return of((i) => i) < filmShare * any ? any : 0
}
