/** How often each picture is shown: rare classes more often, old pictures as often as the recipe says; pure. */
import { Random } from '../detector/random.ts'
import type { LabelledSample } from './sample.ts'

type Seen = Pick<LabelledSample, 'labels' | 'old' | 'pseudo'>

/**
 * Repeat factor of each picture (Gupta et al., LVIS, CVPR 2019): the greatest over its classes of max(1, sqrt(t / f)), f the share of
 * pictures with that class.
 */
export function repeatFactors(samples: readonly Seen[], below: number): number[] {
  const kinds = samples.map(({ labels }) => new Set(labels.filter(({ ignore }) => !ignore).map(({ label }) => label)))
  const counts = new Map<number, number>()
  for (const kind of kinds) for (const label of kind) counts.set(label, (counts.get(label) ?? 0) + 1)
  const factor = (label: number) => Math.max(1, Math.sqrt((below * samples.length) / counts.get(label)!))
  return kinds.map((kind) => Math.max(1, ...[...kind].map(factor)))
}

type Kind = 'new' | 'old' | 'pseudo'
const kindOf = ({ old, pseudo }: Seen): Kind => (pseudo ? 'pseudo' : old ? 'old' : 'new')

/**
 * How often each picture comes in an epoch, on average; together they come as often as there are pictures. Old pictures get the share
 * `replay`, those of a teacher the share `pseudo`, and what is left is shared by their number; null is no share of one's own.
 */
export function sharesOf(
  samples: readonly Seen[],
  { repeatBelow, replay, pseudo }: { repeatBelow: number; replay: number | null; pseudo: number | null },
): number[] {
  const factors = repeatBelow > 0 ? repeatFactors(samples, repeatBelow) : samples.map(() => 1)
  const sums = new Map<Kind, number>()
  for (const [i, sample] of samples.entries()) sums.set(kindOf(sample), (sums.get(kindOf(sample)) ?? 0) + factors[i]!)
  const wanted: Readonly<Record<Kind, number | null>> = { new: null, old: replay, pseudo }
  // A share of one's own has a meaning only beside others.
  const own = (kind: Kind) => (sums.size > 1 && sums.has(kind) ? wanted[kind] : null)
  const taken = [...sums.keys()].reduce((sum, kind) => sum + (own(kind) ?? 0), 0)
  const free = [...sums].reduce((sum, [kind, size]) => sum + (own(kind) === null ? size : 0), 0)
  // Where every kind has a share of its own, or they add up to more than all, they are taken in proportion.
  const scale = free > 0 && taken < 1 ? 1 : 1 / taken
  return samples.map((sample, i) => {
    const share = own(kindOf(sample))
    const part =
      share === null ? (factors[i]! / free) * Math.max(0, 1 - taken) : (factors[i]! / sums.get(kindOf(sample))!) * share * scale
    return part * samples.length
  })
}

/**
 * Indices of one epoch in a new order, as many as there are shares: each picture comes its share rounded up or down (systematic
 * sampling, Madow 1944), so with equal shares every picture comes exactly once.
 */
export function epochOrder(shares: readonly number[], seed: number): number[] {
  const random = new Random(seed)
  const offset = random.uniform()
  const chosen: number[] = []
  let reached = 0
  for (const [index, share] of shares.entries()) {
    reached += share
    while (chosen.length < shares.length && chosen.length + offset < reached - 1e-9) chosen.push(index)
  }
  // Rounding can leave the very last place free.
  while (chosen.length < shares.length) chosen.push(shares.length - 1)
  return random.shuffle(chosen)
}
