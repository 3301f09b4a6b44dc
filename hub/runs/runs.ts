/** The queue of training runs, as people see it: start, cancel, look. The trainer's side is in `trainer-desk.ts`. */
import type { Knex } from 'knex'
import type { Static } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import { GateResult } from '../../protocol/http/models.ts'
import { RunReport } from '../../protocol/http/reports.ts'
import { type Logs, type NewRun, type Run, RunProgress } from '../../protocol/http/runs.ts'
import { TrainingSettings } from '../../protocol/http/training-settings.ts'
import { parse, parseJson } from '../../protocol/parse.ts'
import { say } from '../../protocol/sentences.ts'
import { readWords, storeWords } from '../database/words.ts'
import type { DatasetRepository } from '../datasets/dataset-repository.ts'
import { type Datasets, viewDataset } from '../datasets/datasets.ts'
import type { Events } from '../events/events.ts'
import type { ModelRepository } from '../registry/model-repository.ts'
import type { SettingsRepository } from '../settings/settings-repository.ts'
import type { RunRepository, RunRow } from './run-repository.ts'

export class Runs {
  readonly #runs: RunRepository
  readonly #datasets: DatasetRepository
  readonly #snapshots: Datasets
  readonly #models: ModelRepository
  readonly #settings: SettingsRepository
  readonly #events: Events
  readonly #now: () => number

  constructor(parts: {
    runs: RunRepository
    datasets: DatasetRepository
    snapshots: Datasets
    models: ModelRepository
    settings: SettingsRepository
    events: Events
    now: () => number
  }) {
    this.#runs = parts.runs
    this.#datasets = parts.datasets
    this.#snapshots = parts.snapshots
    this.#models = parts.models
    this.#settings = parts.settings
    this.#events = parts.events
    this.#now = parts.now
  }

  /**
   * Queues a run. Without a dataset a snapshot is taken; without a base it starts from the champion.
   * @param also done in the same transaction, e.g. to give a round its run
   * @throws MuninnError NOT_FOUND, NOT_READY when the dataset has nothing to train on
   */
  async create(
    wanted: Static<typeof NewRun>,
    by: string,
    also?: (run: number, trx: Knex.Transaction) => Promise<void>,
    knex?: Knex,
  ): Promise<Run> {
    const dataset = wanted.dataset === undefined ? await this.#snapshots.snapshot(by) : await this.#snapshots.get(wanted.dataset)
    if (dataset.train === 0) throw new MuninnError('NOT_READY', say('error.all-held-out', { id: dataset.id }))
    const champion = (await this.#models.champion())?.sha256 ?? null
    const base = wanted.base === undefined ? champion : wanted.base
    if (base !== null && !(await this.#models.find(base)))
      throw new MuninnError('NOT_FOUND', `there is no model ${base} to start from`)
    const settings = parse(TrainingSettings, { ...(await this.#settings.get()).training, ...wanted.settings }, 'settings')
    const { teacher } = settings
    if (teacher !== null && settings.unlabelled === 0)
      throw new MuninnError('INVALID_INPUT', say('error.teacher-without-pictures'))
    if (teacher !== null && !(await this.#models.find(teacher))) throw new MuninnError('NOT_FOUND', say('error.no-teacher'))
    const row = {
      dataset_id: dataset.id,
      base,
      champion,
      settings: JSON.stringify(settings),
      unlabelled: JSON.stringify(await this.#snapshots.unlabelled(settings.unlabelled)),
      created_at: this.#now(),
      created_by: by,
    }
    const insert = async (trx?: Knex.Transaction) => await this.#runs.insert(row, trx)
    const id =
      also && knex
        ? await knex.transaction(async (trx) => {
            const run = await insert(trx)
            await also(run, trx)
            return run
          })
        : await insert()
    this.#events.emit({ kind: 'run', id })
    return await this.get(id)
  }

  /** A queued run is gone at once; a running one is told at its next heartbeat. @throws MuninnError NOT_FOUND, NOT_READY */
  async cancel(id: number, by: string): Promise<Run> {
    await this.#find(id)
    const change = {
      state: 'cancelled',
      finished_at: this.#now(),
      error: storeWords([say('run.cancelled', { name: by })]),
    } as const
    const done =
      (await this.#runs.change(id, { state: 'queued' }, change)) || (await this.#runs.change(id, { state: 'running' }, change))
    if (!done) throw new MuninnError('NOT_READY', say('error.run-over', { id }))
    this.#events.emit({ kind: 'run', id })
    return await this.get(id)
  }

  /** Newest first. */
  async list(): Promise<Run[]> {
    return await Promise.all((await this.#runs.list()).map((row) => this.view(row)))
  }

  /** @throws MuninnError NOT_FOUND */
  async get(id: number): Promise<Run> {
    return await this.view(await this.#find(id))
  }

  async metrics(id: number, after: number) {
    await this.#find(id)
    return { points: await this.#runs.points(id, after, 20_000) }
  }

  async logs(id: number, after: number): Promise<Static<typeof Logs>> {
    await this.#find(id)
    const lines = await this.#runs.lines(id, after, 5000)
    return { lines: lines.map(({ said, ...line }) => ({ ...line, said: said === null ? null : readWords(said) })) }
  }

  /** SHA-256 of the report as a page. @throws MuninnError NOT_FOUND */
  async page(id: number): Promise<string> {
    const { report_page: page } = await this.#find(id)
    if (page === null)
      throw new MuninnError('NOT_FOUND', `run ${id} has no report page: it is not finished, or its trainer made none`)
    return page
  }

  async #find(id: number): Promise<RunRow> {
    const row = await this.#runs.find(id)
    if (!row) throw new MuninnError('NOT_FOUND', `there is no run ${id}`)
    return row
  }

  async view(row: RunRow): Promise<Run> {
    const dataset = await this.#datasets.find(row.dataset_id)
    if (!dataset) throw new MuninnError('INTERNAL', `run ${row.id} has no dataset`)
    return {
      id: row.id,
      state: row.state,
      dataset: viewDataset(dataset),
      base: row.base,
      champion: row.champion,
      settings: parseJson(TrainingSettings, row.settings, 'stored training settings'),
      createdAt: row.created_at,
      createdBy: row.created_by,
      startedAt: row.started_at,
      finishedAt: row.finished_at,
      trainer: row.trainer,
      attempts: row.attempts,
      progress: row.progress === null ? null : parseJson(RunProgress, row.progress, 'stored progress'),
      error: row.error === null ? null : readWords(row.error),
      model: row.model,
      gate: row.gate === null ? null : parseJson(GateResult, row.gate, 'stored gate result'),
      report: row.report === null ? null : parseJson(RunReport, row.report, 'stored report'),
      page: row.report_page !== null,
    }
  }
}
