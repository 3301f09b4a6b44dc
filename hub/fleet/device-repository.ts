/** Rows of devices: who may connect, what they last said, what they should run. */
import type { Knex } from 'knex'

export interface DeviceRow {
  readonly id: string
  readonly name: string
  readonly site: string
  readonly created_at: number
  readonly password_hash: string
  readonly online: boolean
  readonly last_seen: number | null
  readonly clock_skew: number | null
  readonly status: string | null
  readonly telemetry: string | null
  readonly deployment: string | null
  readonly desired_model: string | null
  readonly desired_deployment: number
}

export type DeviceChange = Partial<Omit<DeviceRow, 'id' | 'created_at'>>

export class DeviceRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  async list(trx?: Knex.Transaction): Promise<DeviceRow[]> {
    const rows = await (trx ?? this.#knex)('devices').orderBy('id')
    return rows.map(fromRow)
  }

  async find(id: string, trx?: Knex.Transaction): Promise<DeviceRow | undefined> {
    const row = await (trx ?? this.#knex)('devices').where({ id }).first()
    return row && fromRow(row)
  }

  async passwordHash(id: string): Promise<string | undefined> {
    const row: { password_hash: string } | undefined = await this.#knex('devices').where({ id }).first('password_hash')
    return row?.password_hash
  }

  /** @returns false when the name is taken */
  async insert(
    row: Pick<DeviceRow, 'id' | 'name' | 'site' | 'created_at' | 'password_hash' | 'desired_model' | 'desired_deployment'>,
    trx?: Knex.Transaction,
  ): Promise<boolean> {
    const db = trx ?? this.#knex
    if (await db('devices').where({ id: row.id }).first('id')) return false
    await db('devices').insert(row)
    return true
  }

  async change(id: string, change: DeviceChange, trx?: Knex.Transaction): Promise<boolean> {
    return (await (trx ?? this.#knex)('devices').where({ id }).update(change)) > 0
  }

  /** Asks for a model with a new deployment number, and gives that number. */
  async desire(id: string, model: string | null, trx: Knex.Transaction): Promise<number> {
    await trx('devices').where({ id }).update({ desired_model: model }).increment('desired_deployment', 1)
    const row: { desired_deployment: number } = await trx('devices').where({ id }).first('desired_deployment')
    return row.desired_deployment
  }

  async delete(id: string): Promise<boolean> {
    return (await this.#knex('devices').where({ id }).delete()) > 0
  }

  /** At start nobody is known to be there; each device says so again when it connects. */
  async allOffline(): Promise<void> {
    await this.#knex('devices').update({ online: false })
  }

  async desiredModels(): Promise<string[]> {
    const rows: { desired_model: string }[] = await this.#knex('devices').whereNotNull('desired_model').distinct('desired_model')
    return rows.map(({ desired_model }) => desired_model)
  }
}

/** SQLite keeps booleans as 0 and 1. */
const fromRow = (row: DeviceRow): DeviceRow => ({ ...row, online: Boolean(row.online) })
