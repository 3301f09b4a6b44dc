/** Rows of devices: who may connect, what they last said, what they should run. */
import type { Knex } from 'knex'
import type { Static } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import type { DeviceQuery } from '../../protocol/http/fleet.ts'

export interface DeviceRow {
  readonly id: string
  readonly name: string
  readonly site: string
  readonly created_at: number
  readonly password_hash: string
  readonly online: boolean
  readonly last_seen: number | null
  readonly clock_skew: number | null
  readonly status: string | null
  readonly telemetry: string | null
  readonly deployment: string | null
  readonly desired_model: string | null
  readonly desired_deployment: number
  /** Of its last status. */
  readonly cameras: number
  readonly cameras_live: number
  readonly running_model: string | null
}

export interface Presence {
  readonly total: number
  readonly online: number
  readonly cameras: number
  /** Of devices that are online. */
  readonly camerasLive: number
}

export type DeviceChange = Partial<Omit<DeviceRow, 'id' | 'created_at'>>

/** Below SQLite's limit for bound values (32766). */
const idsPerQuery = 1000

export class DeviceRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  async list(trx?: Knex.Transaction): Promise<DeviceRow[]> {
    const rows = await (trx ?? this.#knex)('devices').orderBy('id')
    return rows.map(fromRow)
  }

  async page(query: Static<typeof DeviceQuery>): Promise<{ rows: DeviceRow[]; next: string | null; total: number }> {
    const filter = <T extends Knex.QueryBuilder>(builder: T): T => {
      if (query.online !== undefined) builder.where('online', query.online)
      if (query.search !== undefined) {
        const text = `%${query.search.replace(/[\\%_]/g, '\\$&')}%`
        builder.whereRaw("lower(id || ' ' || name || ' ' || site) like lower(?) escape '\\'", [text])
      }
      return builder
    }
    const page = filter(this.#knex('devices'))
    if (query.cursor !== undefined) after(page, query.sort, query.cursor)
    if (query.sort === 'last-seen') page.orderByRaw('last_seen desc nulls last, id desc')
    else if (query.sort === 'site') page.orderBy('site').orderBy('id')
    else page.orderBy('id')
    const rows: DeviceRow[] = await page.limit(query.limit)
    const counted = await filter(this.#knex('devices')).count({ count: '*' }).first()
    const last = rows.at(-1)
    return {
      rows: rows.map(fromRow),
      next: last && rows.length === query.limit ? cursorOf(last, query.sort) : null,
      total: Number(counted?.count ?? 0),
    }
  }

  async some(ids: readonly string[]): Promise<DeviceRow[]> {
    const rows: DeviceRow[] = []
    for (let from = 0; from < ids.length; from += idsPerQuery)
      rows.push(...(await this.#knex('devices').whereIn('id', ids.slice(from, from + idsPerQuery))))
    return rows.map(fromRow)
  }

  async find(id: string, trx?: Knex.Transaction): Promise<DeviceRow | undefined> {
    const row = await (trx ?? this.#knex)('devices').where({ id }).first()
    return row && fromRow(row)
  }

  async exists(id: string): Promise<boolean> {
    return (await this.#knex('devices').where({ id }).first('id')) !== undefined
  }

  async presence(): Promise<Presence> {
    const rows: { online: boolean | number; devices: number | string; cameras: number | string; live: number | string }[] =
      await this.#knex('devices')
        .select('online')
        .count({ devices: '*' })
        .sum({ cameras: 'cameras', live: 'cameras_live' })
        .groupBy('online')
    const sum = { total: 0, online: 0, cameras: 0, camerasLive: 0 }
    for (const { online, devices, cameras, live } of rows) {
      sum.total += Number(devices)
      sum.cameras += Number(cameras)
      if (!online) continue
      sum.online += Number(devices)
      sum.camerasLive += Number(live)
    }
    return sum
  }

  /** How many devices run each model. */
  async countByRunning(): Promise<Map<string, number>> {
    const rows: { running_model: string; count: number | string }[] = await this.#knex('devices')
      .whereNotNull('running_model')
      .select('running_model')
      .count({ count: '*' })
      .groupBy('running_model')
    return new Map(rows.map(({ running_model, count }) => [running_model, Number(count)]))
  }

  /** What a rollout goes by: far less than the whole rows. */
  async reports(trx: Knex.Transaction): Promise<Pick<DeviceRow, 'id' | 'online' | 'deployment'>[]> {
    const rows: Pick<DeviceRow, 'id' | 'online' | 'deployment'>[] = await trx('devices').select('id', 'online', 'deployment')
    return rows.map((row) => ({ ...row, online: Boolean(row.online) }))
  }

  async passwordHash(id: string): Promise<string | undefined> {
    const row: { password_hash: string } | undefined = await this.#knex('devices').where({ id }).first('password_hash')
    return row?.password_hash
  }

  /** Only while it still is the one that was checked: a new password may have been given in the meantime. */
  async replaceHash(id: string, checked: string, password_hash: string): Promise<void> {
    await this.#knex('devices').where({ id, password_hash: checked }).update({ password_hash })
  }

  /** @returns false when the name is taken */
  async insert(
    row: Pick<DeviceRow, 'id' | 'name' | 'site' | 'created_at' | 'password_hash' | 'desired_model' | 'desired_deployment'>,
    trx?: Knex.Transaction,
  ): Promise<boolean> {
    const db = trx ?? this.#knex
    if (await db('devices').where({ id: row.id }).first('id')) return false
    await db('devices').insert(row)
    return true
  }

  async change(id: string, change: DeviceChange, trx?: Knex.Transaction): Promise<boolean> {
    return (await (trx ?? this.#knex)('devices').where({ id }).update(change)) > 0
  }

  /** Asks for a model with a new deployment number, and gives that number. */
  async desire(id: string, model: string | null, trx: Knex.Transaction): Promise<number> {
    await trx('devices').where({ id }).update({ desired_model: model }).increment('desired_deployment', 1)
    const row: { desired_deployment: number } = await trx('devices').where({ id }).first('desired_deployment')
    return row.desired_deployment
  }

  async delete(id: string): Promise<boolean> {
    return (await this.#knex('devices').where({ id }).delete()) > 0
  }

  /** At start nobody is known to be there; each device says so again when it connects. */
  async allOffline(): Promise<void> {
    await this.#knex('devices').update({ online: false })
  }

  async desiredModels(): Promise<string[]> {
    const rows: { desired_model: string }[] = await this.#knex('devices').whereNotNull('desired_model').distinct('desired_model')
    return rows.map(({ desired_model }) => desired_model)
  }
}

type Sort = Static<typeof DeviceQuery>['sort']

/** The id, which has no white space, and what it is sorted by before it. */
function cursorOf({ id, site, last_seen }: DeviceRow, sort: Sort): string {
  return sort === 'id' ? id : `${id} ${sort === 'site' ? site : (last_seen ?? '')}`
}

/** What comes after a cursor, in the order that `page` sorts by. */
function after(page: Knex.QueryBuilder, sort: Sort, cursor: string): void {
  const [id = ''] = cursor.split(' ', 1)
  const value = cursor.slice(id.length + 1)
  if (sort === 'id') page.where('id', '>', id)
  else if (sort === 'site')
    page.where((rest) => rest.where('site', '>', value).orWhere((same) => same.where('site', value).andWhere('id', '>', id)))
  else if (!/^\d*$/.test(value)) throw new MuninnError('INVALID_INPUT', 'cursor: it is not from a list by last-seen')
  else if (value === '') page.whereNull('last_seen').andWhere('id', '<', id)
  else
    page.where((rest) =>
      rest
        .where('last_seen', '<', Number(value))
        .orWhere((same) => same.where('last_seen', Number(value)).andWhere('id', '<', id))
        .orWhereNull('last_seen'),
    )
}

/** SQLite keeps booleans as 0 and 1. */
const fromRow = (row: DeviceRow): DeviceRow => ({ ...row, online: Boolean(row.online) })
