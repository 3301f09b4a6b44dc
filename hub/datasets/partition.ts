/** Which labelled samples make a dataset version. Holds that audit samples and near-duplicates of held-out ones are never trained on. Pure. */

import { MuninnError } from '../../protocol/errors.ts'
import type { DatasetRecord, DatasetVersion } from '../../protocol/http/datasets.ts'

/** How many pictures to learn from a version leaves out, by why. */
export type LeftOut = DatasetVersion['leftOut']

export interface HeldOut {
  /** Near-duplicate clusters that have a held-out sample, labelled or not. */
  readonly clusters: ReadonlySet<number>
  /** Samples to learn from that look like a held-out one of another cluster. */
  readonly lookalikes: ReadonlySet<string>
}

/**
 * Takes out of `train` what looks like a held-out sample: whatever is of its cluster, and lookalikes of other clusters (a sample that
 * looks like two clusters is of one of them only). What is held out stays: versions are judged by the same pictures.
 */
export function withoutLeaks(
  records: readonly DatasetRecord[],
  { clusters, lookalikes }: HeldOut,
): { records: DatasetRecord[]; leftOut: LeftOut } {
  const held = new Set(clusters)
  for (const { split, cluster } of records) if (split === 'held-out') held.add(cluster)
  const leftOut = { audit: 0, cluster: 0, lookalike: 0 }
  const kept = records.filter(({ image, split, cluster, audit }) => {
    if (split === 'held-out') return true
    const why = audit ? 'audit' : held.has(cluster) ? 'cluster' : lookalikes.has(image) ? 'lookalike' : null
    if (why) leftOut[why]++
    return why === null
  })
  return { records: kept, leftOut }
}

/**
 * The last look before a version is written.
 * @throws MuninnError INTERNAL naming the first picture that must not be trained on
 */
export function assertNoLeak(records: readonly DatasetRecord[]): void {
  const held = new Map(records.filter(({ split }) => split === 'held-out').map(({ cluster, image }) => [cluster, image]))
  for (const { split, audit, cluster, image } of records) {
    if (split !== 'train') continue
    if (audit) throw new MuninnError('INTERNAL', `audit sample ${image} would be trained on`)
    if (held.has(cluster))
      throw new MuninnError(
        'INTERNAL',
        `sample ${image} would be trained on, yet ${held.get(cluster)} looks like it and is held out`,
      )
  }
}

/** Figures of a version, as shown in its list. */
export function countDataset(records: readonly DatasetRecord[], classes: readonly string[]) {
  const perClass: Record<string, number> = Object.fromEntries(classes.map((name) => [name, 0]))
  let annotations = 0
  let train = 0
  for (const record of records) {
    if (record.split === 'train') train++
    for (const { label } of record.annotations) {
      annotations++
      perClass[label] = (perClass[label] ?? 0) + 1
    }
  }
  return { train, heldOut: records.length - train, annotations, perClass }
}
