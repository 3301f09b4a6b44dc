/** Tables of the loop: settings, datasets, runs, models, devices, rollouts, rounds. Times are milliseconds since 1970; JSON is text. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  if (!(await knex.schema.hasTable('settings')))
    await knex.schema.createTable('settings', (table) => {
      table.string('key', 64).primary()
      table.text('value').notNullable()
    })

  if (!(await knex.schema.hasTable('devices')))
    await knex.schema.createTable('devices', (table) => {
      table.string('id', 64).primary()
      table.string('name', 128).notNullable()
      table.string('site', 128).notNullable()
      table.bigInteger('created_at').notNullable()
      table.string('password_hash', 256).notNullable()
      table.boolean('online').notNullable().defaultTo(false)
      table.bigInteger('last_seen')
      table.bigInteger('clock_skew')
      table.text('status')
      table.text('telemetry')
      table.text('deployment')
      table.string('desired_model', 64)
      /** Counts up with each change of the model (`Desired.deployment`). */
      table.integer('desired_deployment').notNullable().defaultTo(0)
    })

  await knex.schema.createTable('datasets', (table) => {
    table.increments('id')
    table.string('digest', 64).notNullable().unique()
    table.bigInteger('created_at').notNullable()
    table.string('created_by', 128).notNullable()
    table.text('classes').notNullable()
    table.integer('train').notNullable()
    table.integer('held_out').notNullable()
    table.integer('annotations').notNullable()
    table.text('per_class').notNullable()
  })

  await knex.schema.createTable('runs', (table) => {
    table.increments('id')
    table.string('state', 16).notNullable().index()
    table.integer('dataset_id').notNullable().references('datasets.id')
    table.string('base', 64)
    table.string('champion', 64)
    table.text('settings').notNullable()
    table.bigInteger('created_at').notNullable()
    table.string('created_by', 128).notNullable()
    table.bigInteger('started_at')
    table.bigInteger('finished_at')
    table.string('trainer', 128)
    table.integer('attempts').notNullable().defaultTo(0)
    table.text('progress')
    table.text('error')
    table.string('model', 64)
    table.text('gate')
    table.text('report')
    table.string('lease', 64)
    table.bigInteger('lease_expires_at')
    table.string('checkpoint', 64)
    table.integer('checkpoint_step')
    /** Uploaded by the trainer and not yet a model version. */
    table.string('uploaded_model', 64)
    table.string('uploaded_self_test', 64)
  })
  await knex.schema.createTable('run_metrics', (table) => {
    table.integer('run_id').notNullable().references('runs.id').onDelete('CASCADE')
    table.integer('step').notNullable()
    table.bigInteger('at').notNullable()
    table.text('values').notNullable()
    table.primary(['run_id', 'step'])
  })
  await knex.schema.createTable('run_logs', (table) => {
    table.increments('n')
    table.integer('run_id').notNullable().references('runs.id').onDelete('CASCADE')
    table.bigInteger('at').notNullable()
    table.text('text').notNullable()
    table.index(['run_id', 'n'])
  })

  await knex.schema.createTable('models', (table) => {
    table.string('sha256', 64).primary()
    table.integer('version').notNullable().unique()
    /** The exact text that `signature` is for. */
    table.text('manifest').notNullable()
    table.string('signature', 128).notNullable()
    table.bigInteger('created_at').notNullable()
    table.string('role', 16).notNullable().index()
    table.integer('run_id').references('runs.id')
    table.text('gate')
  })
  /** Files whose pieces are retained by the broker, so that they can be cleared again. */
  await knex.schema.createTable('published_files', (table) => {
    table.string('sha256', 64).primary()
    table.integer('pieces').notNullable()
  })

  await knex.schema.createTable('rollouts', (table) => {
    table.increments('id')
    table.string('model', 64).notNullable().references('models.sha256')
    table.string('previous', 64)
    table.string('state', 16).notNullable().index()
    table.text('reason').notNullable()
    table.text('override')
    table.bigInteger('created_at').notNullable()
    table.string('created_by', 128).notNullable()
    table.bigInteger('finished_at')
    table.integer('wave').notNullable().defaultTo(0)
  })
  await knex.schema.createTable('rollout_devices', (table) => {
    table.integer('rollout_id').notNullable().references('rollouts.id').onDelete('CASCADE')
    table.string('device_id', 64).notNullable().references('devices.id').onDelete('CASCADE')
    table.integer('wave').notNullable()
    table.string('state', 16).notNullable()
    table.text('reason').notNullable()
    /** The `Desired.deployment` it was asked with. */
    table.integer('deployment')
    table.bigInteger('confirmed_at')
    table.primary(['rollout_id', 'device_id'])
    table.index(['device_id'])
  })

  await knex.schema.createTable('rounds', (table) => {
    table.increments('number')
    table.string('state', 16).notNullable().index()
    table.text('note').notNullable().defaultTo('')
    table.bigInteger('started_at').notNullable()
    /** Samples received from here on belong to this round: since the last round's snapshot. */
    table.bigInteger('samples_from').notNullable()
    table.bigInteger('first_sample_at')
    table.bigInteger('trained_at')
    table.bigInteger('deployed_at')
    table.bigInteger('ended_at')
    table.integer('labels').notNullable().defaultTo(0)
    table.integer('samples').notNullable().defaultTo(0)
    table.integer('run_id').references('runs.id')
    table.integer('rollout_id').references('rollouts.id')
    table.string('model_before', 64)
  })
}

export async function down(knex: Knex): Promise<void> {
  for (const name of [
    'rounds',
    'rollout_devices',
    'rollouts',
    'published_files',
    'models',
    'run_logs',
    'run_metrics',
    'runs',
    'datasets',
    'devices',
    'settings',
  ])
    await knex.schema.dropTableIfExists(name)
}
