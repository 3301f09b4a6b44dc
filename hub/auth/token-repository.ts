/** Rows of bearer tokens for programs; only their hashes are kept. */
import type { Knex } from 'knex'
import type { Role } from '../../protocol/http/session.ts'

export interface TokenRow {
  readonly id: number
  readonly name: string
  readonly role: Role | 'trainer'
  readonly hash: string
  readonly created_at: number
}

export class TokenRepository {
  readonly #knex: Knex

  constructor({ knex }: { knex: Knex }) {
    this.#knex = knex
  }

  async list(): Promise<TokenRow[]> {
    return await this.#knex('tokens').orderBy('id')
  }

  async findByHash(hash: string): Promise<TokenRow | undefined> {
    return await this.#knex('tokens').where({ hash }).first()
  }

  async insert(row: Omit<TokenRow, 'id'>): Promise<TokenRow> {
    const [inserted] = await this.#knex('tokens').insert(row).returning('id')
    return { ...row, id: inserted.id }
  }

  async delete(id: number): Promise<boolean> {
    return (await this.#knex('tokens').where({ id }).delete()) > 0
  }
}
