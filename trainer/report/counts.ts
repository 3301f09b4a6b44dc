/** How much of what a data set holds. */
import { type LabelledSample, objectsOf } from '../data/sample.ts'
import type { DataCounts } from './content.ts'

/** @param classes of the labels of both splits */
export function countData({
  digest,
  classes,
  training,
  heldOut,
  notes,
}: {
  digest: string
  classes: readonly string[]
  training: readonly LabelledSample[]
  heldOut: readonly LabelledSample[]
  notes: readonly string[]
}): DataCounts {
  const real = (samples: readonly LabelledSample[]) => samples.flatMap(objectsOf)
  const split = (name: 'training' | 'held out', samples: readonly LabelledSample[]) => ({
    name,
    pictures: samples.length,
    boxes: real(samples).length,
    empty: samples.filter((sample) => objectsOf(sample).length === 0).length,
  })
  const [a, b] = [real(training), real(heldOut)]
  const of = (labels: readonly { label: number }[], i: number) => labels.filter(({ label }) => label === i).length
  return {
    digest,
    splits: [split('training', training), split('held out', heldOut)],
    perClass: classes.map((label, i) => ({ label, training: of(a, i), heldOut: of(b, i) })),
    notes,
  }
}
