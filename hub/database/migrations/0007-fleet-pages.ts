/** Pages of the fleet, in each of the orders that it is listed in, are read from indexes. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('devices', (table) => {
    table.index(['site', 'id'])
    table.index(['last_seen', 'id'])
  })
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('devices', (table) => {
    table.dropIndex(['site', 'id'])
    table.dropIndex(['last_seen', 'id'])
  })
}
