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

  async latest(trx?: Knex.Transaction): Promise<DatasetRow | undefined> {
    return await (trx ?? this.#knex)('datasets').orderBy('id', 'desc').first()
  }

  /** Keeps the row that is there when two snapshots of the same content meet. */
  async insert(row: Omit<DatasetRow, 'id'>, trx?: Knex.Transaction): Promise<DatasetRow> {
    const db = trx ?? this.#knex
    await db('datasets').insert(row).onConflict('digest').ignore()
    return await db('datasets').where({ digest: row.digest }).first()
  }
}
