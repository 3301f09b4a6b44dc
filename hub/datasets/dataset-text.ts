/** The canonical text of a dataset version: same content, same text, same digest, whatever order it was read in. Pure. */
import { createHash } from 'node:crypto'
import type { DatasetRecord } from '../../protocol/http/datasets.ts'
import type { Annotation } from '../../protocol/http/labelling.ts'

export interface DatasetContent {
  readonly classes: readonly string[]
  readonly records: readonly DatasetRecord[]
}

/**
 * JSON lines: first `{"classes": […]}`, then a record a line by image id, keys in a fixed order, annotations by label and place.
 * Its SHA-256 is the version's digest, so the text itself is kept as a blob under it.
 */
export function datasetText({ classes, records }: DatasetContent): string {
  const sorted = [...records].sort((a, b) => compare(a.image, b.image))
  return `${[JSON.stringify({ classes }), ...sorted.map(recordLine)].join('\n')}\n`
}

export function datasetDigest(content: DatasetContent): string {
  return createHash('sha256').update(datasetText(content)).digest('hex')
}

function recordLine(record: DatasetRecord): string {
  const { image, width, height, camera, capturedAt, audit, cluster, split } = record
  const annotations = record.annotations
    .map(({ label, box, source }) => ({ label, box, source }))
    .sort((a, b) => compare(a.label, b.label) || compareBoxes(a, b) || compare(a.source, b.source))
  // Left out where every class was looked for, so that versions from before there was such a list keep their digest.
  const partial = record.notExhaustive && { notExhaustive: record.notExhaustive.toSorted(compare) }
  return JSON.stringify({ image, width, height, camera, capturedAt, audit, cluster, split, annotations, ...partial })
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
const compareBoxes = (a: Pick<Annotation, 'box'>, b: Pick<Annotation, 'box'>) => {
  for (let i = 0; i < 4; i++) if (a.box[i]! !== b.box[i]!) return a.box[i]! - b.box[i]!
  return 0
}
