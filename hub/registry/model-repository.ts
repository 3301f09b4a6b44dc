/** Rows of model versions, and of the files whose pieces the broker retains. */
import type { Knex } from 'knex'
import type { ModelVersion } from '../../protocol/http/models.ts'

export type ModelRole = ModelVersion['role']

export interface ModelRow {
  readonly sha256: string
  readonly version: number
  readonly manifest: string
  readonly signature: string
  readonly created_at: number
  readonly role: ModelRole
  readonly run_id: number | null
  readonly gate: string | null
  readonly training_file: string | null
}

export class ModelRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  /** Newest first. */
  async list(trx?: Knex.Transaction): Promise<ModelRow[]> {
    return await (trx ?? this.#knex)('models').orderBy('version', 'desc')
  }

  async find(sha256: string, trx?: Knex.Transaction): Promise<ModelRow | undefined> {
    return await (trx ?? this.#knex)('models').where({ sha256 }).first()
  }

  async champion(trx?: Knex.Transaction): Promise<ModelRow | undefined> {
    return await (trx ?? this.#knex)('models').where({ role: 'champion' }).first()
  }

  /** The newest one that passed the gate and waits. */
  async challenger(trx?: Knex.Transaction): Promise<ModelRow | undefined> {
    return await (trx ?? this.#knex)('models').where({ role: 'challenger' }).orderBy('version', 'desc').first()
  }

  async nextVersion(trx?: Knex.Transaction): Promise<number> {
    const row: { last?: number | null } | undefined = await (trx ?? this.#knex)('models').max({ last: 'version' }).first()
    return (row?.last ?? 0) + 1
  }

  async insert(row: ModelRow, trx?: Knex.Transaction): Promise<void> {
    await (trx ?? this.#knex)('models').insert(row)
  }

  async setRole(sha256: string, role: ModelRole, trx?: Knex.Transaction): Promise<void> {
    await (trx ?? this.#knex)('models').where({ sha256 }).update({ role })
  }

  /** There is one champion: the former one is retired, challengers that it overtook are candidates again. */
  async makeChampion(sha256: string, trx: Knex.Transaction): Promise<void> {
    await trx('models').where({ role: 'champion' }).andWhereNot({ sha256 }).update({ role: 'retired' })
    await trx('models').where({ role: 'challenger' }).andWhereNot({ sha256 }).update({ role: 'candidate' })
    await this.setRole(sha256, 'champion', trx)
  }

  async publishedFiles(): Promise<{ sha256: string; pieces: number }[]> {
    return await this.#knex('published_files').select('sha256', 'pieces')
  }

  async rememberPublished(sha256: string, pieces: number): Promise<void> {
    await this.#knex('published_files').insert({ sha256, pieces }).onConflict('sha256').merge()
  }

  async forgetPublished(sha256: string): Promise<void> {
    await this.#knex('published_files').where({ sha256 }).delete()
  }
}
