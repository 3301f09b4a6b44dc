/** Rows of samples. A sample and its task come into being together. */
import type { Knex } from 'knex'
import type { Static } from 'typebox'
import type { SampleQuery, Split } from '../../protocol/http/labelling.ts'
import { comparedWith } from './near-duplicates.ts'

export interface SampleRow {
  readonly id: string
  readonly device_id: string
  readonly camera: string
  readonly captured_at: number
  readonly received_at: number
  readonly width: number
  readonly height: number
  readonly bytes: number
  readonly model: string | null
  readonly detections: string
  readonly reasons: string
  readonly score: number
  readonly audit: boolean
  readonly split: Split
  readonly cluster: number
  readonly embedding: Uint8Array | null
  readonly thumbnail: Uint8Array
  readonly truth: string | null
}

/** A sample with where its task stands and what was last agreed on it. */
export interface SampleWithTask extends Omit<SampleRow, 'embedding' | 'thumbnail'> {
  readonly task_id: number | null
  readonly task_state: string | null
  readonly annotations: string | null
}

/** Priority of a task whose label no version will train on: below every score. */
export const unlearnable = -1

/** Below SQLite's limit for bound values (32766). */
const rowsPerInsert = 200

export class SampleRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  async known(ids: readonly string[], trx?: Knex.Transaction): Promise<Set<string>> {
    const rows: { id: string }[] = await (trx ?? this.#knex)('samples').whereIn('id', ids).select('id')
    return new Set(rows.map(({ id }) => id))
  }

  async lastCluster(): Promise<number> {
    const row: { last?: number | null } | undefined = await this.#knex('samples').max({ last: 'cluster' }).first()
    return row?.last ?? 0
  }

  /** The latest of a camera within a day, newest first: what a new one is compared with. */
  async latest(
    device: string,
    camera: string,
    from: number,
    to: number,
  ): Promise<Pick<SampleRow, 'cluster' | 'split' | 'thumbnail'>[]> {
    return await this.#knex('samples')
      .where({ device_id: device, camera })
      .andWhere('captured_at', '>=', from)
      .andWhere('captured_at', '<', to)
      .orderBy('captured_at', 'desc')
      .limit(comparedWith)
      .select('cluster', 'split', 'thumbnail')
  }

  /** Tasks whose pictures no version will train on, because something held out looks like them, come last. */
  async insert(rows: readonly SampleRow[], trx: Knex.Transaction): Promise<void> {
    for (let from = 0; from < rows.length; from += rowsPerInsert) {
      const some = rows.slice(from, from + rowsPerInsert)
      const before = await this.#heldAmong([...new Set(some.map(({ cluster }) => cluster))], trx)
      const anew = new Set(some.flatMap(({ split, cluster }) => (split === 'held-out' && !before.has(cluster) ? [cluster] : [])))
      await trx('samples').insert(some)
      await trx('tasks').insert(
        some.map(({ id, score, split, cluster, received_at }) => {
          const priority = split === 'train' && (before.has(cluster) || anew.has(cluster)) ? unlearnable : score
          return { sample_id: id, state: 'open', version: 1, priority, split, received_at }
        }),
      )
      // Once in the life of a cluster, however many pictures of a static scene it holds.
      if (anew.size > 0)
        await trx('tasks')
          .whereIn(
            'sample_id',
            trx('samples')
              .where({ split: 'train' })
              .whereIn('cluster', [...anew])
              .select('id'),
          )
          .update({ priority: unlearnable })
    }
  }

  async #heldAmong(clusters: readonly number[], trx: Knex.Transaction): Promise<Set<number>> {
    const held = trx('samples').where({ split: 'held-out' }).whereIn('cluster', clusters)
    return new Set<number>(await held.distinct().pluck('cluster'))
  }

  async find(id: string): Promise<SampleWithTask | undefined> {
    const [row] = await this.#withTasks().where('samples.id', id)
    return row && fromRow(row)
  }

  /** Newest first. */
  async page(query: Static<typeof SampleQuery>): Promise<{ rows: SampleWithTask[]; next: string | null; total: number }> {
    const filter = <T extends Knex.QueryBuilder>(builder: T): T => {
      if (query.camera !== undefined) builder.where('samples.camera', query.camera)
      if (query.device !== undefined) builder.where('samples.device_id', query.device)
      if (query.split !== undefined) builder.where('samples.split', query.split)
      if (query.state !== undefined) builder.where('tasks.state', query.state)
      if (query.reason !== undefined) builder.whereLike('samples.reasons', `%"${query.reason}"%`)
      if (query.label !== undefined) {
        const text = `%"label":${JSON.stringify(query.label)}%`
        const agreed = this.#knex('annotation_history as h').whereRaw('h.sample_id = samples.id').whereLike('h.annotations', text)
        builder.where((any) => any.whereLike('samples.detections', text).orWhereExists(agreed.select('h.id')))
      }
      return builder
    }
    // The same two values stand in both tables: each question is answered in the order of one index.
    const [time, name] =
      query.state === undefined ? ['samples.received_at', 'samples.id'] : ['tasks.received_at', 'tasks.sample_id']
    const [at, id] = query.cursor?.split(' ') ?? []
    const page = filter(this.#withTasks())
    if (at !== undefined && id !== undefined)
      page
        .where(time, '<=', Number(at))
        .andWhere((older) =>
          older.where(time, '<', Number(at)).orWhere((same) => same.where(time, Number(at)).andWhere(name, '<', id)),
        )
    page.orderBy(time, 'desc').orderBy(name, 'desc').limit(query.limit)
    // Every sample has one task: the other table is only asked where the question needs it.
    const { camera, device, split, reason, label, state } = query
    const byState = [camera, device, split, reason, label].every((each) => each === undefined)
    const all = this.#knex(state !== undefined && byState ? 'tasks' : 'samples')
    if (state !== undefined && !byState) all.join('tasks', 'tasks.sample_id', 'samples.id')
    const [rows, counted] = await this.#atOnce(async (trx) => {
      const found: SampleWithTask[] = await page.transacting(trx)
      return [found, await filter(all).count({ count: '*' }).transacting(trx).first()]
    })
    const last = rows.at(-1)
    return {
      rows: rows.map(fromRow),
      next: last && rows.length === query.limit ? `${last.received_at} ${last.id}` : null,
      total: Number(counted?.count ?? 0),
    }
  }

  /**
   * Answers several questions from one state of the database, or a sample that comes in between would be in the count and not on the page.
   * SQLite's transactions are always so; PostgreSQL's as of REPEATABLE READ (its manual, 13.2.2).
   */
  async #atOnce<T>(ask: (trx: Knex.Transaction) => Promise<T>): Promise<T> {
    const sqlite = this.#knex.client.config.client === 'sqlite3'
    return await this.#knex.transaction(ask, sqlite ? {} : { isolationLevel: 'repeatable read', readOnly: true })
  }

  async truth(id: string): Promise<string | null> {
    const row: { truth: string | null } | undefined = await this.#knex('samples').where({ id }).first('truth')
    return row?.truth ?? null
  }

  #withTasks() {
    return this.#knex('samples')
      .leftJoin('tasks', 'tasks.sample_id', 'samples.id')
      .select(
        ...[
          'id',
          'device_id',
          'camera',
          'captured_at',
          'received_at',
          'width',
          'height',
          'bytes',
          'model',
          'detections',
          'reasons',
        ].map((column) => `samples.${column}`),
        ...['score', 'audit', 'split', 'cluster', 'truth'].map((column) => `samples.${column}`),
        { task_id: 'tasks.id', task_state: 'tasks.state', annotations: this.#latestAnnotations() },
      )
  }

  /** What was last accepted; null after a rejection or while it is open again. */
  #latestAnnotations() {
    return this.#knex('annotation_history as h')
      .whereRaw('h.sample_id = samples.id')
      .andWhere('h.verdict', 'accepted')
      .whereRaw("tasks.state = 'accepted'")
      .orderBy('h.id', 'desc')
      .limit(1)
      .select('annotations')
  }
}

/** SQLite keeps booleans as 0 and 1. */
const fromRow = (row: SampleWithTask): SampleWithTask => ({ ...row, audit: Boolean(row.audit) })
