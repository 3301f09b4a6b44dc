/** Opens the hub's database (SQLite in the data folder, or PostgreSQL) and brings its tables up to date. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import knexFactory, { type Knex } from 'knex'
import { migrationSource } from './migrations/index.ts'

/** A connection of the sqlite3 package, as knex hands it over. */
interface SqliteConnection {
  exec(sql: string, done: (error: Error | null) => void): void
}

/** A client of the pg package, likewise. */
interface PostgresConnection {
  setTypeParser(type: number, format: 'text', parse: (text: string) => number): void
}

/** PostgreSQL gives 64-bit integers as text; ours are times, counts and sizes, all below 2^53. */
const int8 = 20

/** @param url postgres://…; left out: SQLite in `folder` */
export function openDatabase({ folder, url }: { folder: string; url?: string }): Knex {
  if (url) {
    return knexFactory({
      client: 'pg',
      connection: url,
      pool: {
        min: 0,
        max: 10,
        afterCreate: (connection: PostgresConnection, done: (error: Error | null, connection: PostgresConnection) => void) => {
          connection.setTypeParser(int8, 'text', Number)
          done(null, connection)
        },
      },
    })
  }
  mkdirSync(folder, { recursive: true })
  return knexFactory({
    client: 'sqlite3',
    connection: { filename: join(folder, 'muninn.sqlite') },
    useNullAsDefault: true,
    pool: {
      // One connection: SQLite has one writer, and so no statement ever meets SQLITE_BUSY within this process.
      min: 1,
      max: 1,
      afterCreate: (connection: SqliteConnection, done: (error: Error | null, connection: SqliteConnection) => void) => {
        // WAL with FULL: a commit is on disk when it returns (sqlite.org, "PRAGMA synchronous"), so an `ack` may be sent.
        const pragmas =
          'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON'
        connection.exec(pragmas, (error) => done(error, connection))
      },
    },
  })
}

export async function migrate(knex: Knex): Promise<void> {
  await knex.migrate.latest({ migrationSource, tableName: 'migrations' })
}
