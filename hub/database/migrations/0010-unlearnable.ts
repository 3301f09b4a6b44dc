/** Tasks whose pictures look like a held-out one come last in the queue: nothing would be learnt from their labels. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  const held = knex('samples').where({ split: 'held-out' }).select('cluster')
  await knex('tasks')
    .whereIn('sample_id', knex('samples').where({ split: 'train' }).whereIn('cluster', held).select('id'))
    .update({ priority: -1 })
}

export async function down(knex: Knex): Promise<void> {
  const scores = knex('samples').whereRaw('samples.id = tasks.sample_id').select('score')
  await knex('tasks').where('priority', '<', 0).update({ priority: scores })
}
