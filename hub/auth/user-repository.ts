/** Rows of people and their sessions. */
import type { Knex } from 'knex'
import type { Role } from '../../protocol/http/session.ts'

export interface UserRow {
  readonly id: number
  readonly name: string
  readonly role: Role
  /** null: signs in by link only. */
  readonly password_hash: string | null
  readonly created_at: number
  readonly disabled: boolean
}

export class UserRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  async list(): Promise<UserRow[]> {
    return (await this.#knex('users').orderBy('id')).map(fromRow)
  }

  async find(id: number): Promise<UserRow | undefined> {
    const row = await this.#knex('users').where({ id }).first()
    return row && fromRow(row)
  }

  async findByName(name: string): Promise<UserRow | undefined> {
    const row = await this.#knex('users').where({ name }).first()
    return row && fromRow(row)
  }

  /** @returns undefined when the name is taken */
  async insert(row: Pick<UserRow, 'name' | 'role' | 'password_hash' | 'created_at'>): Promise<UserRow | undefined> {
    await this.#knex('users').insert(row).onConflict('name').ignore()
    const found = await this.findByName(row.name)
    return found?.created_at === row.created_at && found.password_hash === row.password_hash ? found : undefined
  }

  async change(id: number, change: Partial<Pick<UserRow, 'role' | 'password_hash' | 'disabled'>>): Promise<boolean> {
    return (await this.#knex('users').where({ id }).update(change)) > 0
  }

  async countAdmins(): Promise<number> {
    const row = await this.#knex('users').where({ role: 'admin', disabled: false }).count({ count: '*' }).first()
    return Number(row?.count ?? 0)
  }

  // ---- sessions, by the SHA-256 of their cookie

  async beginSession(session: { id: string; user_id: number; created_at: number; expires_at: number }): Promise<void> {
    await this.#knex('sessions').where('expires_at', '<', session.created_at).delete()
    await this.#knex('sessions').insert(session)
  }

  async sessionUser(id: string, now: number): Promise<UserRow | undefined> {
    const row = await this.#knex('sessions')
      .join('users', 'users.id', 'sessions.user_id')
      .where('sessions.id', id)
      .andWhere('sessions.expires_at', '>=', now)
      .andWhere('users.disabled', false)
      .first('users.*')
    return row && fromRow(row)
  }

  async endSession(id: string): Promise<void> {
    await this.#knex('sessions').where({ id }).delete()
  }

  async endSessionsOf(user: number): Promise<void> {
    await this.#knex('sessions').where({ user_id: user }).delete()
  }
}

/** SQLite keeps booleans as 0 and 1. */
const fromRow = (row: UserRow): UserRow => ({ ...row, disabled: Boolean(row.disabled) })
