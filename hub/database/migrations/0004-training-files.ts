/** The float file beside an int8 model: what is deployed and what is trained on are two files then. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('models', (table) => {
    /** null: the model itself can be trained. */
    table.string('training_file', 64)
  })
  await knex.schema.alterTable('runs', (table) => {
    table.string('uploaded_training_file', 64)
  })
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('models', (table) => {
    table.dropColumn('training_file')
  })
  await knex.schema.alterTable('runs', (table) => {
    table.dropColumn('uploaded_training_file')
  })
}
