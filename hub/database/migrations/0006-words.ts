/** What the hub says to people is kept as sentences with values, so that each reader gets it in their language; older texts stay as they are, quoted. */
import type { Knex } from 'knex'

const quoted = (text: string) => ({ key: 'quote', values: { text } })

/** Columns that hold words, and the key of their table. */
const worded = [
  ['rounds', 'number', 'note'],
  ['rollouts', 'id', 'reason'],
  ['runs', 'id', 'error'],
] as const
const gated = [
  ['runs', 'id'],
  ['models', 'sha256'],
] as const

export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('run_logs', (table) => {
    /** The hub's own lines as sentences; `text` is their English. */
    table.text('said')
  })
  for (const [table, key, column] of worded)
    for (const row of await knex(table).whereNotNull(column).andWhereNot(column, '').select(key, column))
      await knex(table)
        .where(key, row[key])
        .update({ [column]: JSON.stringify([quoted(row[column])]) })
  for (const [table, key] of gated)
    for (const row of await knex(table).whereNotNull('gate').select(key, 'gate')) {
      const gate: { reasons: string[] } = JSON.parse(row.gate)
      await knex(table)
        .where(key, row[key])
        .update({ gate: JSON.stringify({ ...gate, reasons: gate.reasons.map(quoted) }) })
    }
}

interface Stored {
  readonly values: { readonly text?: string }
}

/** Sentences that are no quotes have no text to go back to: their keys stand in. */
const textOf = (said: Stored & { key: string }) => said.values.text ?? said.key

export async function down(knex: Knex): Promise<void> {
  for (const [table, key] of gated)
    for (const row of await knex(table).whereNotNull('gate').select(key, 'gate')) {
      const gate: { reasons: (Stored & { key: string })[] } = JSON.parse(row.gate)
      await knex(table)
        .where(key, row[key])
        .update({ gate: JSON.stringify({ ...gate, reasons: gate.reasons.map(textOf) }) })
    }
  for (const [table, key, column] of worded)
    for (const row of await knex(table).whereNotNull(column).andWhereNot(column, '').select(key, column))
      await knex(table)
        .where(key, row[key])
        .update({ [column]: (JSON.parse(row[column]) as (Stored & { key: string })[]).map(textOf).join(' ') })
  await knex.schema.alterTable('run_logs', (table) => {
    table.dropColumn('said')
  })
}
