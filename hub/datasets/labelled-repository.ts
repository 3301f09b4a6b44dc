/** What people have labelled, as the loop counts it and datasets take it in. Reads samples, tasks and annotations; writes nothing. */
import type { Knex } from 'knex'
import { Type } from 'typebox'
import type { DatasetRecord } from '../../protocol/http/datasets.ts'
import { Annotation, type Split } from '../../protocol/http/labelling.ts'
import { parseJson } from '../../protocol/parse.ts'
import { unlearnable } from '../samples/sample-repository.ts'

const Annotations = Type.Array(Annotation)
/** Below SQLite's and PostgreSQL's limits for bound values. */
const pageSize = 2000

export interface LabelledRecord extends DatasetRecord {
  /** When its annotations were accepted. */
  readonly labelledAt: number
}

interface LabelledRow {
  readonly id: string
  readonly width: number
  readonly height: number
  readonly camera: string
  readonly captured_at: number
  readonly audit: boolean | number
  readonly cluster: number
  readonly split: Split
  readonly annotations: string
  readonly decided_at: number | null
}

const number = (value: unknown) => Number(value ?? 0)

export class LabelledRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  /** Every accepted sample with its latest annotations, read page by page. */
  async records(): Promise<LabelledRecord[]> {
    const records: LabelledRecord[] = []
    for (let after = ''; ; ) {
      const rows: LabelledRow[] = await this.#knex('samples')
        .join('tasks', 'tasks.sample_id', 'samples.id')
        .where('tasks.state', 'accepted')
        .andWhere('samples.id', '>', after)
        .orderBy('samples.id')
        .limit(pageSize)
        .select(
          'samples.id',
          'width',
          'height',
          'camera',
          'captured_at',
          'audit',
          'cluster',
          'samples.split',
          'tasks.decided_at',
          {
            annotations: this.#knex('annotation_history as h')
              .whereRaw('h.sample_id = samples.id')
              .andWhere('h.verdict', 'accepted')
              .orderBy('h.id', 'desc')
              .limit(1)
              .select('annotations'),
          },
        )
      for (const row of rows) {
        records.push({
          image: row.id,
          width: row.width,
          height: row.height,
          camera: row.camera,
          capturedAt: row.captured_at,
          audit: Boolean(row.audit),
          cluster: row.cluster,
          split: row.split,
          annotations: parseJson(Annotations, row.annotations, 'stored annotations'),
          labelledAt: row.decided_at ?? 0,
        })
      }
      if (rows.length < pageSize) return records
      after = rows.at(-1)!.id
    }
  }

  /**
   * The newest samples that wait for a label and may be trained on: no audit samples, nothing held out, and no near-duplicate of what is.
   * @returns their ids
   */
  async unlabelled(most: number): Promise<{ id: string; thumbnail: Uint8Array }[]> {
    const rows: { id: string; thumbnail: Uint8Array | null }[] = await this.#knex('samples')
      .join('tasks', 'tasks.sample_id', 'samples.id')
      .whereIn('tasks.state', ['open', 'leased'])
      .andWhere({ 'samples.split': 'train', 'samples.audit': false })
      .whereNotIn('samples.cluster', this.#knex('samples').where({ split: 'held-out' }).select('cluster'))
      .orderBy([{ column: 'samples.received_at', order: 'desc' }, { column: 'samples.id' }])
      .limit(most)
      .select('samples.id', 'thumbnail')
    return rows.map(({ id, thumbnail }) => ({ id, thumbnail: thumbnail ?? new Uint8Array() }))
  }

  /** Near-duplicate clusters that have a held-out sample, labelled or not. */
  async heldOutClusters(): Promise<Set<number>> {
    const rows: { cluster: number }[] = await this.#knex('samples').where({ split: 'held-out' }).distinct('cluster')
    return new Set(rows.map(({ cluster }) => cluster))
  }

  /** Thumbnails of a split, page by page: of the accepted ones, or of all. */
  async *thumbnails(split: Split, { accepted }: { accepted: boolean }): AsyncGenerator<{ id: string; thumbnail: Uint8Array }[]> {
    for (let after = ''; ; ) {
      const page = this.#knex('samples').where('samples.split', split).andWhere('samples.id', '>', after)
      if (accepted) page.join('tasks', 'tasks.sample_id', 'samples.id').andWhere('tasks.state', 'accepted')
      const rows: { id: string; thumbnail: Uint8Array | null }[] = await page
        .orderBy('samples.id')
        .limit(pageSize)
        .select('samples.id', 'thumbnail')
      yield rows.flatMap(({ id, thumbnail }) => (thumbnail ? [{ id, thumbnail }] : []))
      if (rows.length < pageSize) return
      after = rows.at(-1)!.id
    }
  }

  /** Accepted labels of the training split since a moment, without those of pictures that look like a held-out one: no version takes them. */
  async acceptedSince(at: number): Promise<number> {
    return await this.#accepted('train', at)
  }

  /** Accepted labels of the held-out split, all of them. */
  async heldOut(): Promise<number> {
    return await this.#accepted('held-out', 0)
  }

  async #accepted(split: Split, at: number): Promise<number> {
    const row = await this.#knex('tasks')
      .where({ state: 'accepted', split })
      .andWhere('decided_at', '>=', at)
      .andWhere('priority', '>', unlearnable)
      .count({ count: '*' })
      .first()
    return number(row?.count)
  }

  /** When the first hard (not audit) sample came in since a moment; null while none has. */
  async firstHardSample(since: number): Promise<number | null> {
    const row: { received_at: number } | undefined = await this.#knex('samples')
      .where({ audit: false })
      .andWhere('received_at', '>=', since)
      .orderBy('received_at')
      .first('received_at')
    return row?.received_at ?? null
  }

  async samplesSince(since: number): Promise<number> {
    return number((await this.#knex('samples').where('received_at', '>=', since).count({ count: '*' }).first())?.count)
  }

  /** @param devices a page of them: they are bound values */
  async samplesByDevice(devices: readonly string[]): Promise<Map<string, number>> {
    const rows: { device_id: string; count: string | number }[] = await this.#knex('samples')
      .whereIn('device_id', devices)
      .select('device_id')
      .count({ count: '*' })
      .groupBy('device_id')
    return new Map(rows.map(({ device_id, count }) => [device_id, number(count)]))
  }
}
