/** How the demo labels itself; kept like the settings. */
import type { Knex } from 'knex'
import { Demo } from '../../protocol/http/labelling.ts'
import { parseJson } from '../../protocol/parse.ts'

const key = 'demo'

export class DemoRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  async get(): Promise<Demo> {
    const row: { value: string } | undefined = await this.#knex('settings').where({ key }).first('value')
    return row ? parseJson(Demo, row.value, 'stored demo') : { selfLabel: 'off' }
  }

  async put(demo: Demo): Promise<void> {
    await this.#knex('settings')
      .insert({ key, value: JSON.stringify(demo) })
      .onConflict('key')
      .merge()
  }
}
