/** Rows of training runs, their live curves and log lines. */
import type { Knex } from 'knex'
import type { LogLine, MetricPoint, RunState } from '../../protocol/http/runs.ts'
import { inEnglish, type Words } from '../../protocol/sentences.ts'
import { storeWords } from '../database/words.ts'

export interface RunRow {
  readonly id: number
  readonly state: RunState
  readonly dataset_id: number
  readonly base: string | null
  readonly champion: string | null
  readonly settings: string
  readonly created_at: number
  readonly created_by: string
  readonly started_at: number | null
  readonly finished_at: number | null
  readonly trainer: string | null
  readonly attempts: number
  readonly progress: string | null
  readonly error: string | null
  readonly model: string | null
  readonly gate: string | null
  readonly report: string | null
  readonly lease: string | null
  readonly lease_expires_at: number | null
  readonly checkpoint: string | null
  readonly checkpoint_step: number | null
  readonly uploaded_model: string | null
  readonly uploaded_self_test: string | null
  readonly uploaded_training_file: string | null
  /** The report as an HTML page. */
  readonly report_page: string | null
  /** JSON list of samples without labels to learn from. */
  readonly unlabelled: string | null
}

export type NewRunRow = Pick<RunRow, 'dataset_id' | 'base' | 'champion' | 'settings' | 'created_at' | 'created_by' | 'unlabelled'>
export type RunChange = Partial<Omit<RunRow, 'id'>>

export interface LogRow {
  readonly n: number
  readonly at: number
  readonly text: string
  /** The hub's own lines, as sentences. */
  readonly said: string | null
}

export class RunRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  /** Newest first. */
  async list(limit = 200): Promise<RunRow[]> {
    return await this.#knex('runs').orderBy('id', 'desc').limit(limit)
  }

  async find(id: number, trx?: Knex.Transaction): Promise<RunRow | undefined> {
    return await (trx ?? this.#knex)('runs').where({ id }).first()
  }

  async insert(row: NewRunRow, trx?: Knex.Transaction): Promise<number> {
    const [inserted] = await (trx ?? this.#knex)('runs')
      .insert({ ...row, state: 'queued' satisfies RunState })
      .returning('id')
    return inserted.id
  }

  async oldestQueued(trx?: Knex.Transaction): Promise<RunRow | undefined> {
    return await (trx ?? this.#knex)('runs').where({ state: 'queued' }).orderBy('id').first()
  }

  async expired(now: number, trx?: Knex.Transaction): Promise<RunRow[]> {
    return await (trx ?? this.#knex)('runs').where({ state: 'running' }).andWhere('lease_expires_at', '<', now)
  }

  /** The run that works now, else the next in the queue. */
  async current(): Promise<RunRow | undefined> {
    return await this.#knex('runs').whereIn('state', ['running', 'queued']).orderBy('state', 'desc').orderBy('id').first()
  }

  /**
   * Changes a run only while it still is as `expected` says, so that two who race for it cannot both win.
   * @returns whether it was changed
   */
  async change(
    id: number,
    expected: Partial<Pick<RunRow, 'state' | 'lease'>>,
    change: RunChange,
    trx?: Knex.Transaction,
  ): Promise<boolean> {
    return (
      (await (trx ?? this.#knex)('runs')
        .where({ id, ...expected })
        .update(change)) > 0
    )
  }

  /** A hub that was away must not take runs from trainers that could not reach it. */
  async extendLeases(expiresAt: number): Promise<void> {
    await this.#knex('runs')
      .where({ state: 'running' })
      .andWhere('lease_expires_at', '<', expiresAt)
      .update({ lease_expires_at: expiresAt })
  }

  async countByState(): Promise<{ state: RunState; count: number }[]> {
    const rows: { state: RunState; count: number | string }[] = await this.#knex('runs')
      .select('state')
      .count({ count: '*' })
      .groupBy('state')
    return rows.map(({ state, count }) => ({ state, count: Number(count) }))
  }

  /** Blobs that a run still needs to be taken up again. */
  async usesCheckpoint(sha256: string, trx?: Knex.Transaction): Promise<boolean> {
    return (await (trx ?? this.#knex)('runs').where({ checkpoint: sha256 }).first('id')) !== undefined
  }

  // ---- curves and logs

  /** Points of a step that is there already are joined with it: sending a heartbeat twice does no harm. */
  async addPoints(run: number, points: readonly MetricPoint[], trx: Knex.Transaction): Promise<void> {
    const joined = new Map<number, MetricPoint>()
    const steps = points.map(({ step }) => step)
    for (let from = 0; from < steps.length; from += 500) {
      const known = await trx('run_metrics')
        .where({ run_id: run })
        .whereIn('step', steps.slice(from, from + 500))
      for (const { step, at, values } of known) joined.set(step, { step, at, values: JSON.parse(values) })
    }
    for (const { step, at, values } of points) joined.set(step, { step, at, values: { ...joined.get(step)?.values, ...values } })
    const rows = [...joined.values()].map(({ step, at, values }) => ({ run_id: run, step, at, values: JSON.stringify(values) }))
    for (let from = 0; from < rows.length; from += 100)
      await trx('run_metrics')
        .insert(rows.slice(from, from + 100))
        .onConflict(['run_id', 'step'])
        .merge()
  }

  /** A run taken up from a checkpoint goes through the later steps again. */
  async dropPointsAfter(run: number, step: number, trx: Knex.Transaction): Promise<void> {
    await trx('run_metrics').where({ run_id: run }).andWhere('step', '>', step).delete()
  }

  async points(run: number, after: number, limit: number): Promise<MetricPoint[]> {
    const rows: { step: number; at: number; values: string }[] = await this.#knex('run_metrics')
      .where({ run_id: run })
      .andWhere('step', '>', after)
      .orderBy('step')
      .limit(limit)
    return rows.map(({ step, at, values }) => ({ step, at, values: JSON.parse(values) }))
  }

  /** What the hub itself has to say, a line each. */
  async tell(run: number, at: number, words: readonly Words[], trx?: Knex.Transaction): Promise<void> {
    const lines = words.map((line) => ({ at, text: `hub: ${inEnglish(line)}`, said: storeWords(line) }))
    await this.addLines(run, lines, trx)
  }

  async addLines(run: number, lines: readonly (LogLine & { said?: string })[], trx?: Knex.Transaction): Promise<void> {
    const rows = lines.map(({ at, text, said = null }) => ({ run_id: run, at, text, said }))
    for (let from = 0; from < rows.length; from += 100) await (trx ?? this.#knex)('run_logs').insert(rows.slice(from, from + 100))
  }

  async lines(run: number, after: number, limit: number): Promise<LogRow[]> {
    return await this.#knex('run_logs')
      .where({ run_id: run })
      .andWhere('n', '>', after)
      .orderBy('n')
      .limit(limit)
      .select('n', 'at', 'text', 'said')
  }
}
