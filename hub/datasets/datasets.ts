/** Dataset versions: snapshots of what people accepted, immutable and content-addressed. */
import { setImmediate } from 'node:timers/promises'
import { Type } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import { DatasetRecord, DatasetVersion } from '../../protocol/http/datasets.ts'
import { parse, parseJson } from '../../protocol/parse.ts'
import { say } from '../../protocol/sentences.ts'
import type { Blobs } from '../blobs/blobs.ts'
import type { Events } from '../events/events.ts'
import { NearDuplicateIndex } from '../samples/near-duplicate-index.ts'
import { addedAfter } from '../settings/class-times.ts'
import type { SettingsRepository } from '../settings/settings-repository.ts'
import type { DatasetRepository, DatasetRow } from './dataset-repository.ts'
import { datasetText } from './dataset-text.ts'
import type { LabelledRepository } from './labelled-repository.ts'
import { assertNoLeak, countDataset, withoutLeaks } from './partition.ts'

const lookupsAtATime = 64

export class Datasets {
  readonly #datasets: DatasetRepository
  readonly #labelled: LabelledRepository
  readonly #settings: SettingsRepository
  readonly #blobs: Blobs
  readonly #events: Events
  readonly #now: () => number

  constructor(parts: {
    datasets: DatasetRepository
    labelled: LabelledRepository
    settings: SettingsRepository
    blobs: Blobs
    events: Events
    now: () => number
  }) {
    this.#datasets = parts.datasets
    this.#labelled = parts.labelled
    this.#settings = parts.settings
    this.#blobs = parts.blobs
    this.#events = parts.events
    this.#now = parts.now
  }

  /**
   * A version of everything accepted now, what was learnt before included: no round can forget for want of old pictures. The same content
   * gives the version that is there.
   * @throws MuninnError NOT_READY when nothing is labelled yet
   */
  async snapshot(by: string): Promise<DatasetVersion> {
    // Taken before reading: a label that comes in between counts for the next round, too, rather than for none.
    const at = this.#now()
    const accepted = await this.#labelled.records()
    const { classes: wanted } = await this.#settings.get()
    const named = wanted.map(({ name }) => name)
    const classes =
      named.length > 0 ? named : [...new Set(accepted.flatMap(({ annotations }) => annotations.map(({ label }) => label)))].sort()
    const known = new Set(classes)
    const cleaned = accepted.map(({ labelledAt, ...record }) => {
      const notExhaustive = addedAfter(wanted, labelledAt)
      return {
        ...record,
        annotations: record.annotations.filter(({ label }) => known.has(label)),
        ...(notExhaustive.length > 0 && { notExhaustive }),
      }
    })
    const { records, leftOut } = withoutLeaks(cleaned, {
      clusters: await this.#labelled.heldOutClusters(),
      lookalikes: await this.#lookalikes(),
    })
    if (records.length === 0) throw new MuninnError('NOT_READY', say('error.nothing-labelled'))
    assertNoLeak(records)

    const { sha256: digest } = await this.#blobs.put(Buffer.from(datasetText({ classes, records })))
    const { train, heldOut, annotations, perClass } = countDataset(records, classes)
    const row = await this.#datasets.insert({
      digest,
      created_at: at,
      created_by: by,
      classes: JSON.stringify(classes),
      train,
      held_out: heldOut,
      annotations,
      per_class: JSON.stringify(perClass),
      left_out: JSON.stringify(leftOut),
      taken_at: at,
    })
    this.#events.emit({ kind: 'dataset', id: row.id })
    return viewDataset(row)
  }

  /** Pictures without labels that a run may learn from, the newest ones. */
  async unlabelled(most: number): Promise<string[]> {
    if (most === 0) return []
    const held = await this.#heldOut()
    // Some of them may look like a held-out one.
    const candidates = await this.#labelled.unlabelled(2 * most)
    return candidates.flatMap(({ id, thumbnail }) => (held.find(thumbnail) === undefined ? [id] : [])).slice(0, most)
  }

  /** Accepted samples to learn from that look like any held-out one, of whatever camera or day. */
  async #lookalikes(): Promise<Set<string>> {
    const held = await this.#heldOut()
    const found = new Set<string>()
    for await (const page of this.#labelled.thumbnails('train', { accepted: true }))
      for (const [i, { id, thumbnail }] of page.entries()) {
        // A fleet's pictures take seconds; others are answered in between.
        if (i % lookupsAtATime === 0) await setImmediate()
        if (held.find(thumbnail) !== undefined) found.add(id)
      }
    return found
  }

  async #heldOut(): Promise<NearDuplicateIndex> {
    const held = new NearDuplicateIndex()
    for await (const page of this.#labelled.thumbnails('held-out', { accepted: false }))
      for (const { id, thumbnail } of page) held.add(id, thumbnail)
    return held
  }

  /** Newest first. */
  async list(): Promise<DatasetVersion[]> {
    return (await this.#datasets.list()).map(viewDataset)
  }

  /** @throws MuninnError NOT_FOUND */
  async get(id: number): Promise<DatasetVersion> {
    const row = await this.#datasets.find(id)
    if (!row) throw new MuninnError('NOT_FOUND', `there is no dataset version ${id}`)
    return viewDataset(row)
  }

  /** @throws MuninnError NOT_FOUND */
  async records(id: number): Promise<DatasetRecord[]> {
    const { digest } = await this.get(id)
    const [, ...lines] = Buffer.from(await this.#blobs.get(digest))
      .toString('utf8')
      .trimEnd()
      .split('\n')
    return parse(
      Type.Array(DatasetRecord),
      lines.map((line) => JSON.parse(line)),
      `dataset ${digest}`,
    )
  }
}

const Names = Type.Array(Type.String())
const Counts = Type.Record(Type.String(), Type.Integer())

export function viewDataset(row: DatasetRow): DatasetVersion {
  return {
    id: row.id,
    digest: row.digest,
    createdAt: row.created_at,
    createdBy: row.created_by,
    classes: parseJson(Names, row.classes, 'stored classes'),
    train: row.train,
    heldOut: row.held_out,
    annotations: row.annotations,
    perClass: parseJson(Counts, row.per_class, 'stored counts'),
    leftOut: parseJson(DatasetVersion.properties.leftOut, row.left_out, 'stored counts'),
  }
}
