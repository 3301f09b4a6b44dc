/** Which labelled samples make a dataset version. Holds that audit samples and near-duplicates of held-out ones are never trained on. Pure. */

import { MuninnError } from '../../protocol/errors.ts'
import type { DatasetRecord } from '../../protocol/http/training.ts'

/** Takes out of `train` whatever shares a near-duplicate cluster with a held-out sample: labelled (`records`) or not (`heldOutClusters`). */
export function withoutLeaks(
  records: readonly DatasetRecord[],
  heldOutClusters: ReadonlySet<number>,
): { records: DatasetRecord[]; left: DatasetRecord[] } {
  const held = new Set(heldOutClusters)
  for (const { split, cluster } of records) if (split === 'held-out') held.add(cluster)
  const leaks = ({ split, cluster, audit }: DatasetRecord) => split === 'train' && (audit || held.has(cluster))
  return { records: records.filter((record) => !leaks(record)), left: records.filter(leaks) }
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
