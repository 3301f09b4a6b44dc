/** A part of the training pictures that is kept back to choose or to fit something on; never the held-out ones. */
import { Random } from '../detector/random.ts'
import type { LabelledSample } from './sample.ts'

export interface Cut {
  readonly training: readonly LabelledSample[]
  readonly validation: readonly LabelledSample[]
}

/**
 * Cuts by group, so that neighbouring frames lie on one side: groups are drawn until the share is reached. A group with more than half
 * of the pictures is always trained on.
 */
export function validationCut(samples: readonly LabelledSample[], share: number, seed: number): Cut {
  const groupOf = ({ group, path }: LabelledSample) => group ?? path
  const sizes = new Map<string, number>()
  for (const sample of samples) sizes.set(groupOf(sample), (sizes.get(groupOf(sample)) ?? 0) + 1)
  const chosen = new Set<string>()
  let pictures = 0
  for (const group of new Random(seed * 31 + 7).shuffle([...sizes.keys()].sort())) {
    if (pictures >= share * samples.length) break
    if (sizes.get(group)! * 2 > samples.length) continue
    chosen.add(group)
    pictures += sizes.get(group)!
  }
  const of = (kept: boolean) => samples.filter((sample) => chosen.has(groupOf(sample)) === kept)
  return { training: of(false), validation: of(true) }
}
