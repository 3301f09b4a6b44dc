/** What keeps the hub's answers quick with 100 000 samples and thousands of devices: counts and queues are read from indexes alone. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('tasks', (table) => {
    /** The sample's own, which never changes: the queue is counted and chosen from by split. */
    table.string('split', 16).notNullable().defaultTo('train')
    /** Likewise: lists of one state go by it. */
    table.bigInteger('received_at').notNullable().defaultTo(0)
  })
  const own = (column: string) => knex('samples').whereRaw('samples.id = tasks.sample_id').select(column)
  await knex('tasks').update({ split: own('split'), received_at: own('received_at') })
  await knex.schema.alterTable('tasks', (table) => {
    table.dropIndex(['state', 'priority'])
    table.dropIndex(['state', 'decided_at'])
    table.index(['state', 'split', 'priority', 'id'])
    table.index(['state', 'split', 'decided_at'])
    table.index(['state', 'lease_expires_at'])
    table.index(['state', 'received_at', 'sample_id'])
  })
  await knex.schema.alterTable('samples', (table) => {
    table.index(['received_at', 'bytes'])
    table.index(['camera', 'received_at'])
    table.index(['device_id', 'received_at'])
    table.index(['split', 'received_at'])
    table.index(['split', 'cluster'])
    table.index(['audit', 'received_at'])
  })
  await knex.schema.alterTable('devices', (table) => {
    /** Of its last status. */
    table.integer('cameras').notNullable().defaultTo(0)
    table.integer('cameras_live').notNullable().defaultTo(0)
    table.string('running_model', 64)
    table.index(['online', 'cameras', 'cameras_live'])
    table.index(['running_model'])
  })
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('devices', (table) => {
    table.dropIndex(['online', 'cameras', 'cameras_live'])
    table.dropIndex(['running_model'])
    table.dropColumns('cameras', 'cameras_live', 'running_model')
  })
  await knex.schema.alterTable('samples', (table) => {
    for (const columns of [
      ['received_at', 'bytes'],
      ['camera', 'received_at'],
      ['device_id', 'received_at'],
      ['split', 'received_at'],
      ['split', 'cluster'],
      ['audit', 'received_at'],
    ])
      table.dropIndex(columns)
  })
  await knex.schema.alterTable('tasks', (table) => {
    table.dropIndex(['state', 'split', 'priority', 'id'])
    table.dropIndex(['state', 'split', 'decided_at'])
    table.dropIndex(['state', 'lease_expires_at'])
    table.dropIndex(['state', 'received_at', 'sample_id'])
    table.index(['state', 'priority'])
    table.index(['state', 'decided_at'])
    table.dropColumns('split', 'received_at')
  })
}
