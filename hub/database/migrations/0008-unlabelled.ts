/** Pictures without labels that a run learns from: a JSON list of samples, as the queue was when the run was made. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('runs', (table) => {
    table.text('unlabelled')
  })
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('runs', (table) => {
    table.dropColumn('unlabelled')
  })
}
