/** Rows of dataset versions. Their records are a blob under the version's digest. */
import type { Knex } from 'knex'

export interface DatasetRow {
  readonly id: number
  readonly digest: string
  readonly created_at: number
  readonly created_by: string
  readonly classes: string
  readonly train: number
  readonly held_out: number
  readonly annotations: number
  readonly per_class: string
  /** JSON */
  readonly left_out: string
  /** When a snapshot last gave this version: the same content may be taken again. */
  readonly taken_at: number
}

export class DatasetRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  /** Newest first. */
  async list(): Promise<DatasetRow[]> {
    return await this.#knex('datasets').orderBy('id', 'desc')
  }

  async find(id: number, trx?: Knex.Transaction): Promise<DatasetRow | undefined> {
    return await (trx ?? this.#knex)('datasets').where({ id }).first()
  }

  async findByDigest(digest: string, trx?: Knex.Transaction): Promise<DatasetRow | undefined> {
    return await (trx ?? this.#knex)('datasets').where({ digest }).first()
  }

  /** When the last snapshot was taken; 0 before the first one. */
  async lastTaken(): Promise<number> {
    const row: { last?: number | null } | undefined = await this.#knex('datasets').max({ last: 'taken_at' }).first()
    return row?.last ?? 0
  }

  /** The row that is there when two snapshots have the same content; what was left out beside it may have changed. */
  async insert(row: Omit<DatasetRow, 'id'>, trx?: Knex.Transaction): Promise<DatasetRow> {
    const db = trx ?? this.#knex
    await db('datasets').insert(row).onConflict('digest').merge(['left_out', 'taken_at'])
    return await db('datasets').where({ digest: row.digest }).first()
  }
}
