/** Tables of samples, labelling and accounts. Times are milliseconds since 1970; JSON is text. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('samples', (table) => {
    /** SHA-256 of the JPEG, which is a blob. */
    table.string('id', 64).primary()
    table.string('device_id', 64).notNullable()
    table.string('camera', 64).notNullable()
    table.bigInteger('captured_at').notNullable()
    table.bigInteger('received_at').notNullable()
    table.integer('width').notNullable()
    table.integer('height').notNullable()
    table.integer('bytes').notNullable()
    table.string('model', 64)
    table.text('detections').notNullable()
    /** JSON list */
    table.text('reasons').notNullable()
    table.double('score').notNullable()
    table.boolean('audit').notNullable()
    table.string('split', 16).notNullable()
    table.integer('cluster').notNullable()
    table.binary('embedding')
    /** Small and grey, for near-duplicates. */
    table.binary('thumbnail')
    table.text('truth')
    table.index(['received_at', 'id'])
    table.index(['device_id', 'camera', 'captured_at'])
    table.index(['cluster'])
  })
  await knex.schema.createTable('tasks', (table) => {
    table.increments('id')
    table.string('sample_id', 64).notNullable().unique().references('samples.id').onDelete('CASCADE')
    table.string('state', 16).notNullable()
    table.integer('version').notNullable().defaultTo(1)
    table.double('priority').notNullable()
    table.string('leased_by', 128)
    table.bigInteger('lease_expires_at')
    /** When it was last accepted or rejected. */
    table.bigInteger('decided_at')
    table.index(['state', 'priority'])
    table.index(['state', 'decided_at'])
  })
  /** Append-only: the newest entry of a sample is what counts. */
  await knex.schema.createTable('annotation_history', (table) => {
    table.increments('id')
    table.string('sample_id', 64).notNullable().references('samples.id').onDelete('CASCADE')
    table.bigInteger('at').notNullable()
    table.string('by', 128).notNullable()
    table.string('verdict', 16).notNullable()
    table.text('annotations').notNullable()
    table.integer('milliseconds').notNullable()
    table.index(['sample_id', 'id'])
  })
  await knex.schema.createTable('users', (table) => {
    table.increments('id')
    table.string('name', 64).notNullable().unique()
    table.string('role', 16).notNullable()
    table.string('password_hash', 256)
    table.bigInteger('created_at').notNullable()
    table.boolean('disabled').notNullable().defaultTo(false)
  })
  await knex.schema.createTable('sessions', (table) => {
    /** SHA-256 of the cookie. */
    table.string('id', 64).primary()
    table.integer('user_id').notNullable().references('users.id').onDelete('CASCADE')
    table.bigInteger('created_at').notNullable()
    table.bigInteger('expires_at').notNullable()
  })
  await knex.schema.createTable('tokens', (table) => {
    table.increments('id')
    table.string('name', 64).notNullable()
    table.string('role', 16).notNullable()
    /** SHA-256 of the bearer token. */
    table.string('hash', 64).notNullable().unique()
    table.bigInteger('created_at').notNullable()
  })
}

export async function down(knex: Knex): Promise<void> {
  for (const name of ['tokens', 'sessions', 'users', 'annotation_history', 'tasks', 'samples'])
    await knex.schema.dropTableIfExists(name)
}
