/** Rows of rollouts and of what each of their devices said. */
import type { Knex } from 'knex'
import type { RolloutDeviceState, RolloutPlan } from './next-step.ts'

export interface RolloutRow {
  readonly id: number
  readonly model: string
  readonly previous: string | null
  readonly state: RolloutPlan['state']
  readonly reason: string
  readonly override: string | null
  readonly created_at: number
  readonly created_by: string
  readonly finished_at: number | null
  readonly wave: number
}

export interface RolloutDeviceRow {
  readonly rollout_id: number
  readonly device_id: string
  readonly wave: number
  readonly state: RolloutDeviceState
  readonly reason: string
  readonly deployment: number | null
  readonly confirmed_at: number | null
}

export class RolloutRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  /** Newest first. */
  async list(limit = 100): Promise<RolloutRow[]> {
    return await this.#knex('rollouts').orderBy('id', 'desc').limit(limit)
  }

  async find(id: number, trx?: Knex.Transaction): Promise<RolloutRow | undefined> {
    return await (trx ?? this.#knex)('rollouts').where({ id }).first()
  }

  async latest(trx?: Knex.Transaction): Promise<RolloutRow | undefined> {
    return await (trx ?? this.#knex)('rollouts').orderBy('id', 'desc').first()
  }

  /** Running or paused; there is never more than one. */
  async open(trx?: Knex.Transaction): Promise<RolloutRow | undefined> {
    return await (trx ?? this.#knex)('rollouts').whereIn('state', ['running', 'paused']).orderBy('id', 'desc').first()
  }

  async latestOf(model: string, trx?: Knex.Transaction): Promise<RolloutRow | undefined> {
    return await (trx ?? this.#knex)('rollouts').where({ model }).orderBy('id', 'desc').first()
  }

  async insert(
    row: Pick<RolloutRow, 'model' | 'previous' | 'override' | 'created_at' | 'created_by'>,
    waves: readonly (readonly string[])[],
    trx: Knex.Transaction,
  ): Promise<number> {
    const [inserted] = await trx('rollouts')
      .insert({ ...row, state: 'running' satisfies RolloutRow['state'], reason: '', wave: 0 })
      .returning('id')
    const devices = waves.flatMap((wave, index) =>
      wave.map((device_id) => ({
        rollout_id: inserted.id,
        device_id,
        wave: index,
        state: 'waiting' satisfies RolloutDeviceState,
        reason: '',
      })),
    )
    for (let from = 0; from < devices.length; from += 100) await trx('rollout_devices').insert(devices.slice(from, from + 100))
    return inserted.id
  }

  async change(id: number, change: Partial<Omit<RolloutRow, 'id'>>, trx?: Knex.Transaction): Promise<void> {
    await (trx ?? this.#knex)('rollouts').where({ id }).update(change)
  }

  async devices(rollout: number, trx?: Knex.Transaction): Promise<RolloutDeviceRow[]> {
    return await (trx ?? this.#knex)('rollout_devices').where({ rollout_id: rollout }).orderBy('wave').orderBy('device_id')
  }

  /** How many devices of each wave are in which state. */
  async states(rollout: number): Promise<{ wave: number; state: RolloutDeviceState; count: number }[]> {
    const rows: { wave: number; state: RolloutDeviceState; count: number | string }[] = await this.#knex('rollout_devices')
      .select('wave', 'state')
      .count({ count: '*' })
      .where({ rollout_id: rollout })
      .groupBy('wave', 'state')
    return rows.map((row) => ({ ...row, count: Number(row.count) }))
  }

  /** The first devices of a wave: those that said no, then those under way, then those that wait, then those that run it. */
  async firstDevices(rollout: number, wave: number, limit: number): Promise<RolloutDeviceRow[]> {
    return await this.#knex('rollout_devices')
      .where({ rollout_id: rollout, wave })
      .orderByRaw(
        "case when state in ('refused', 'rolled-back') then 0 when state = 'waiting' then 2 when state = 'confirmed' then 3 else 1 end",
      )
      .orderBy('device_id')
      .limit(limit)
  }

  async changeDevice(
    rollout: number,
    device: string,
    change: Partial<Omit<RolloutDeviceRow, 'rollout_id' | 'device_id'>>,
    trx?: Knex.Transaction,
  ): Promise<void> {
    await (trx ?? this.#knex)('rollout_devices').where({ rollout_id: rollout, device_id: device }).update(change)
  }

  /** The device's place in the rollout that asked it with this deployment number. */
  async byDeployment(device: string, deployment: number, trx?: Knex.Transaction): Promise<RolloutDeviceRow | undefined> {
    return await (trx ?? this.#knex)('rollout_devices')
      .where({ device_id: device, deployment })
      .orderBy('rollout_id', 'desc')
      .first()
  }

  async countByState(): Promise<Record<string, number>> {
    const rows: { state: string; count: number | string }[] = await this.#knex('rollouts')
      .select('state')
      .count({ count: '*' })
      .groupBy('state')
    return Object.fromEntries(rows.map(({ state, count }) => [state, Number(count)]))
  }

  async firstConfirmation(rollout: number): Promise<number | null> {
    const row: { first?: number | null } | undefined = await this.#knex('rollout_devices')
      .where({ rollout_id: rollout })
      .min({ first: 'confirmed_at' })
      .first()
    return row?.first ?? null
  }
}
