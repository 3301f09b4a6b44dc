/** Counts for the first page. */
import type { Knex } from 'knex'
import type { TaskState } from '../../protocol/http/labelling.ts'

export class OverviewRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  /** @param now leases that ran out before count as open again */
  async tasks(now: number): Promise<Record<TaskState, number>> {
    const counts: Record<TaskState, number> = { open: 0, leased: 0, accepted: 0, rejected: 0 }
    const rows: { state: TaskState; count: number | string }[] = await this.#knex('tasks')
      .select('state')
      .count({ count: '*' })
      .groupBy('state')
    for (const { state, count } of rows) counts[state] = Number(count)
    const expired = await this.#knex('tasks')
      .where({ state: 'leased' })
      .andWhere('lease_expires_at', '<', now)
      .count({ count: '*' })
      .first()
    const returned = Number(expired?.count ?? 0)
    return { ...counts, open: counts.open + returned, leased: counts.leased - returned }
  }

  async samples(now: number): Promise<{ total: number; lastHour: number; bytes: number; latest: string[] }> {
    const all: { count?: number | string; bytes?: number | string | null } | undefined = await this.#knex('samples')
      .count({ count: '*' })
      .sum({ bytes: 'bytes' })
      .first()
    const recent = await this.#knex('samples')
      .where('received_at', '>=', now - 3_600_000)
      .count({ count: '*' })
      .first()
    const latest: { id: string }[] = await this.#knex('samples')
      .where({ audit: false })
      .orderBy('received_at', 'desc')
      .limit(12)
      .select('id')
    return {
      total: Number(all?.count ?? 0),
      lastHour: Number(recent?.count ?? 0),
      bytes: Number(all?.bytes ?? 0),
      latest: latest.map(({ id }) => id),
    }
  }
}
