/** What a dataset version leaves out and why; and when a snapshot last gave it. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('datasets', (table) => {
    /** JSON. Of versions before this was counted: zeros. */
    table.text('left_out').notNullable().defaultTo('{"audit":0,"cluster":0,"lookalike":0}')
    table.bigInteger('taken_at').notNullable().defaultTo(0)
  })
  await knex('datasets').update({ taken_at: knex.ref('created_at') })
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('datasets', (table) => {
    table.dropColumns('left_out', 'taken_at')
  })
}
