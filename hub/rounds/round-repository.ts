/** Rows of rounds of the loop, and the counts that they are decided by. */
import type { Knex } from 'knex'
import type { RoundState } from './next-round-step.ts'

export interface RoundRow {
  readonly number: number
  readonly state: RoundState
  readonly note: string
  readonly started_at: number
  readonly samples_from: number
  readonly first_sample_at: number | null
  readonly trained_at: number | null
  readonly deployed_at: number | null
  readonly ended_at: number | null
  readonly labels: number
  readonly samples: number
  readonly run_id: number | null
  readonly rollout_id: number | null
  readonly model_before: string | null
}

export type RoundChange = Partial<Omit<RoundRow, 'number' | 'started_at'>>

export class RoundRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  /** Newest first. */
  async list(limit = 50): Promise<RoundRow[]> {
    return await this.#knex('rounds').orderBy('number', 'desc').limit(limit)
  }

  async latest(trx?: Knex.Transaction): Promise<RoundRow | undefined> {
    return await (trx ?? this.#knex)('rounds').orderBy('number', 'desc').first()
  }

  async begin(row: Pick<RoundRow, 'started_at' | 'samples_from' | 'model_before'>, trx?: Knex.Transaction): Promise<void> {
    await (trx ?? this.#knex)('rounds').insert({ ...row, state: 'mining' satisfies RoundState })
  }

  async change(number: number, change: RoundChange, trx?: Knex.Transaction): Promise<void> {
    await (trx ?? this.#knex)('rounds').where({ number }).update(change)
  }
}
