/** Rows of labelling tasks and the append-only history of what people said. */
import type { Knex } from 'knex'
import type { HistoryEntry, Split, TaskState } from '../../protocol/http/labelling.ts'

export interface TaskRow {
  readonly id: number
  readonly sample_id: string
  readonly state: TaskState
  readonly version: number
  readonly priority: number
  /** Its sample's. */
  readonly split: Split
  readonly leased_by: string | null
  readonly lease_expires_at: number | null
  readonly decided_at: number | null
}

export interface HistoryRow {
  readonly id: number
  readonly sample_id: string
  readonly at: number
  readonly by: string
  readonly verdict: HistoryEntry['verdict']
  readonly annotations: string
  readonly milliseconds: number
}

export class TaskRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  async find(id: number, trx?: Knex.Transaction): Promise<TaskRow | undefined> {
    return await (trx ?? this.#knex)('tasks').where({ id }).first()
  }

  async findBySample(sample: string, trx?: Knex.Transaction): Promise<TaskRow | undefined> {
    return await (trx ?? this.#knex)('tasks').where({ sample_id: sample }).first()
  }

  /** Running leases of a person, the one that ends first before the others. */
  async leasedBy(person: string, now: number, limit: number, trx: Knex.Transaction): Promise<TaskRow[]> {
    return await trx('tasks')
      .where({ state: 'leased', leased_by: person })
      .andWhere('lease_expires_at', '>=', now)
      .orderBy('lease_expires_at')
      .orderBy('id')
      .limit(limit)
  }

  /** Free tasks (open, or their lease ran out), most valuable first. */
  async free(
    now: number,
    limit: number,
    { split, withTruth }: { split: Split; withTruth?: boolean },
    trx: Knex.Transaction,
  ): Promise<TaskRow[]> {
    const best = async (state: TaskState) => {
      const query = trx('tasks').where('tasks.state', state).andWhere('tasks.split', split)
      if (state === 'leased') query.andWhere('tasks.lease_expires_at', '<', now)
      if (withTruth) query.join('samples', 'samples.id', 'tasks.sample_id').whereNotNull('samples.truth')
      const rows: TaskRow[] = await query
        .orderBy('tasks.priority', 'desc')
        .orderBy('tasks.id', 'desc')
        .limit(limit)
        .select('tasks.*')
      return rows
    }
    // Two questions instead of one `or`: each is answered from the end of an index, however many tasks wait.
    return [...(await best('open')), ...(await best('leased'))]
      .sort((a, b) => b.priority - a.priority || b.id - a.id)
      .slice(0, limit)
  }

  /** Accepted or being worked on now, by split. */
  async inHand(now: number, trx: Knex.Transaction): Promise<Record<Split, number>> {
    const rows: { split: Split; count: number | string }[] = await trx('tasks')
      .whereIn('state', ['accepted', 'leased'])
      .andWhere((hand) => hand.where('state', 'accepted').orWhere('lease_expires_at', '>=', now))
      .select('split')
      .count({ count: '*' })
      .groupBy('split')
    const counts: Record<Split, number> = { train: 0, 'held-out': 0 }
    for (const { split, count } of rows) counts[split] = Number(count)
    return counts
  }

  /**
   * Changes a task only while its version still is the one that was seen, so that of two who race for it one wins.
   * @returns whether it was changed
   */
  async change(
    id: number,
    version: number,
    change: Partial<Omit<TaskRow, 'id' | 'sample_id'>>,
    trx: Knex.Transaction,
  ): Promise<boolean> {
    return (await trx('tasks').where({ id, version }).update(change)) > 0
  }

  async remember(row: Omit<HistoryRow, 'id'>, trx: Knex.Transaction): Promise<void> {
    await trx('annotation_history').insert(row)
  }

  /** Oldest first. */
  async history(sample: string, trx?: Knex.Transaction): Promise<HistoryRow[]> {
    return await (trx ?? this.#knex)('annotation_history').where({ sample_id: sample }).orderBy('id')
  }

  async lastSaid(sample: string, trx?: Knex.Transaction): Promise<HistoryRow | undefined> {
    return await (trx ?? this.#knex)('annotation_history').where({ sample_id: sample }).orderBy('id', 'desc').first()
  }

  /** The last annotations anyone gave, even if the task was opened again since. */
  async lastAnnotations(sample: string): Promise<string | null> {
    const row: { annotations: string } | undefined = await this.#knex('annotation_history')
      .where({ sample_id: sample, verdict: 'accepted' })
      .orderBy('id', 'desc')
      .first('annotations')
    return row?.annotations ?? null
  }
}
