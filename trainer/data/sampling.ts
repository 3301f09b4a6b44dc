/** How often each picture is shown: rare classes more often, old pictures as often as the recipe says; pure. */
import { Random } from '../detector/random.ts'
import type { LabelledSample } from './sample.ts'

type Seen = Pick<LabelledSample, 'labels' | 'old'>

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

/** How often each picture comes in an epoch, on average; together they come as often as there are pictures. */
export function sharesOf(
  samples: readonly Seen[],
  { repeatBelow, replay }: { repeatBelow: number; replay: number | null },
): number[] {
  const factors = repeatBelow > 0 ? repeatFactors(samples, repeatBelow) : samples.map(() => 1)
  const sum = (old: boolean) => factors.reduce((total, factor, i) => total + ((samples[i]!.old ?? false) === old ? factor : 0), 0)
  const [young, old] = [sum(false), sum(true)]
  const oldShare = replay === null || young === 0 || old === 0 ? old / (young + old) : replay
  const n = samples.length
  return factors.map((factor, i) => (samples[i]!.old ? (factor / old) * oldShare * n : (factor / young) * (1 - oldShare) * n))
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
