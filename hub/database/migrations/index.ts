/** All migrations in order, as code: nothing is looked for on disk. */
import type { Knex } from 'knex'
import * as samples from './0001-samples.ts'
import * as loop from './0002-loop.ts'
import * as scale from './0003-scale.ts'
import * as trainingFiles from './0004-training-files.ts'
import * as reportPage from './0005-report-page.ts'
import * as words from './0006-words.ts'
import * as fleetPages from './0007-fleet-pages.ts'
import * as unlabelled from './0008-unlabelled.ts'
import * as leftOut from './0009-left-out.ts'
import * as unlearnable from './0010-unlearnable.ts'

interface Migration {
  up(knex: Knex): Promise<void>
  down(knex: Knex): Promise<void>
}

const migrations: Readonly<Record<string, Migration>> = {
  '0001-samples': samples,
  '0002-loop': loop,
  '0003-scale': scale,
  '0004-training-files': trainingFiles,
  '0005-report-page': reportPage,
  '0006-words': words,
  '0007-fleet-pages': fleetPages,
  '0008-unlabelled': unlabelled,
  '0009-left-out': leftOut,
  '0010-unlearnable': unlearnable,
}

export const migrationSource: Knex.MigrationSource<string> = {
  getMigrations: async () => Object.keys(migrations),
  getMigrationName: (name) => name,
  getMigration: async (name) => migrations[name]!,
}
