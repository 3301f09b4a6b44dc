/** The project's settings: one row of JSON; what is not stored yet has the schema's default. */
import type { Knex } from 'knex'
import { Settings } from '../../protocol/http/fleet.ts'
import { parse, parseJson } from '../../protocol/parse.ts'

const key = 'project'

export class SettingsRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  async get(trx?: Knex.Transaction): Promise<Settings> {
    const row: { value: string } | undefined = await (trx ?? this.#knex)('settings').where({ key }).first('value')
    return row ? parseJson(Settings, row.value, 'stored settings') : parse(Settings, {}, 'default settings')
  }

  async put(settings: Settings, trx?: Knex.Transaction): Promise<void> {
    const row = { key, value: JSON.stringify(settings) }
    await (trx ?? this.#knex)('settings').insert(row).onConflict('key').merge()
  }
}
