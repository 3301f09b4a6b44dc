/** The automatic loop: mine, label, train, gate, roll out, again. What it does next is read from the database, so a restart goes on. */
import type { Knex } from 'knex'
import { MuninnError } from '../../protocol/errors.ts'
import type { Round } from '../../protocol/http/fleet.ts'
import type { Run } from '../../protocol/http/runs.ts'
import { quote, say, type Words } from '../../protocol/sentences.ts'
import { readWords, storeWords } from '../database/words.ts'
import type { DatasetRepository } from '../datasets/dataset-repository.ts'
import type { LabelledRepository } from '../datasets/labelled-repository.ts'
import type { Events } from '../events/events.ts'
import type { ModelRepository } from '../registry/model-repository.ts'
import type { RolloutRepository, RolloutRow } from '../rollouts/rollout-repository.ts'
import type { Rollouts } from '../rollouts/rollouts.ts'
import type { RunRepository } from '../runs/run-repository.ts'
import type { Runs } from '../runs/runs.ts'
import type { SettingsRepository } from '../settings/settings-repository.ts'
import { nextRoundStep, type RoundStep } from './next-round-step.ts'
import type { RoundChange, RoundRepository, RoundRow } from './round-repository.ts'

/** Who the loop is in lists of who did what. */
export const loopName = 'the loop'

interface Parts {
  readonly knex: Knex
  readonly rounds: RoundRepository
  readonly runs: Runs
  readonly runRows: RunRepository
  readonly rollouts: Rollouts
  readonly rolloutRows: RolloutRepository
  readonly datasets: DatasetRepository
  readonly labelled: LabelledRepository
  readonly models: ModelRepository
  readonly settings: SettingsRepository
  readonly events: Events
  readonly now: () => number
}

interface Gathered {
  readonly run: Run | null
  readonly rollout: RolloutRow | null
  readonly labels: number
  readonly step: RoundStep
}

export class Rounds {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Labels since the last snapshot, and how many a round needs: what the queue shows. */
  async progress(): Promise<{ sinceSnapshot: number; needed: number }> {
    const { labelsPerRound } = await this.#parts.settings.get()
    return { sinceSnapshot: await this.#labels(), needed: labelsPerRound }
  }

  /** Does every step that can be done now. */
  async advance(): Promise<void> {
    const { rounds } = this.#parts
    for (;;) {
      const row = (await rounds.latest()) ?? (await this.#begin(0))
      if (!(await this.#advanceOnce(row))) return
    }
  }

  /**
   * A run that a person starts belongs to the round that is open. One whose round waits for a manager, or has a run, ends that round.
   * @throws MuninnError NOT_READY while the round trains or rolls out
   */
  async start(create: (also: (run: number, trx: Knex.Transaction) => Promise<void>) => Promise<Run>): Promise<Run> {
    const { rounds, events } = this.#parts
    const row = (await rounds.latest()) ?? (await this.#begin(0))
    const { run, rollout } = await this.#gather(row)
    if (run?.state === 'queued' || run?.state === 'running')
      throw new MuninnError('NOT_READY', say('error.run-open', { id: run.id }))
    if (rollout?.state === 'running' || rollout?.state === 'paused')
      throw new MuninnError('NOT_READY', say('error.rollout-open', { id: rollout.id }))
    let { number } = row
    if (run) {
      await this.#end(row, run, 'stopped', [say('round.overtaken')], null)
      number = (await rounds.latest())!.number
    }
    const labels = await this.#labels()
    const made = await create(
      async (id, trx) => await rounds.change(number, { run_id: id, state: 'training', labels, note: '' }, trx),
    )
    events.emit({ kind: 'round', id: number })
    return made
  }

  async #advanceOnce(row: RoundRow): Promise<boolean> {
    const { rounds, runs, rollouts, models, knex } = this.#parts
    const { run, rollout, step, labels } = await this.#gather(row)
    switch (step.kind) {
      case 'stay': {
        const change = await this.#seen(row, { run, rollout, labels })
        return await this.#apply(row, { ...change, state: step.state, note: storeWords(step.note) })
      }
      case 'train':
        // A round whose labels were all there at its start never stood still to have its samples counted.
        await this.#apply(row, await this.#seen(row, { run, rollout, labels }))
        try {
          await runs.create(
            {},
            loopName,
            async (id, trx) => {
              const model_before = (await models.champion(trx))?.sha256 ?? null
              await rounds.change(row.number, { run_id: id, state: 'training', labels, note: '', model_before }, trx)
            },
            knex,
          )
        } catch (error) {
          // Nothing to train on after leaks were taken out, say: shown, and tried again with the next label.
          if (!(error instanceof MuninnError) || error.code !== 'NOT_READY') throw error
          return await this.#apply(row, { note: storeWords(error.said ?? quote(error.message)) })
        }
        this.#parts.events.emit({ kind: 'round', id: row.number })
        return true
      case 'deploy':
        if (!run?.model) return false
        try {
          await rollouts.create({ model: run.model }, loopName)
        } catch (error) {
          if (!(error instanceof MuninnError) || error.code !== 'NOT_READY') throw error
          return await this.#apply(row, { state: 'waiting', note: storeWords(error.said ?? quote(error.message)) })
        }
        return true
      case 'end':
        await this.#apply(row, await this.#seen(row, { run, rollout, labels }))
        await this.#end(row, run, step.state, step.note, rollout)
        return true
    }
  }

  async #gather(row: RoundRow): Promise<Gathered> {
    const { runs, rolloutRows, labelled, settings } = this.#parts
    const run = row.run_id === null ? null : await runs.get(row.run_id)
    const found = run?.model ? await rolloutRows.latestOf(run.model) : undefined
    // The same file may have been sent out in an earlier round.
    const rollout = found && found.created_at >= (run?.finishedAt ?? 0) ? found : null
    const labels = run ? row.labels : await this.#labels()
    const step = nextRoundStep({
      state: row.state,
      samples: row.first_sample_at !== null ? 1 : (await labelled.firstHardSample(row.samples_from)) === null ? 0 : 1,
      labels,
      heldOut: await labelled.heldOut(),
      settings: await settings.get(),
      run: run && { state: run.state, phase: run.progress?.phase ?? null, gate: run.gate, error: run.error },
      rollout: rollout && { state: rollout.state, reason: readWords(rollout.reason) },
    })
    return { run, rollout, labels, step }
  }

  /** Facts about the round that are worth keeping as they come in. */
  async #seen(row: RoundRow, { run, rollout, labels }: Omit<Gathered, 'step'>): Promise<RoundChange> {
    const { labelled, rolloutRows, models } = this.#parts
    return {
      labels,
      first_sample_at: row.first_sample_at ?? (await labelled.firstHardSample(row.samples_from)),
      ...(run ? {} : { samples: await labelled.samplesSince(row.samples_from) }),
      model_before: row.model_before ?? run?.champion ?? (run ? null : ((await models.champion())?.sha256 ?? null)),
      trained_at: run?.state === 'finished' ? run.finishedAt : null,
      rollout_id: rollout?.id ?? null,
      deployed_at: rollout ? await rolloutRows.firstConfirmation(rollout.id) : null,
    }
  }

  /** @returns whether anything changed: then the next step may be due */
  async #apply(row: RoundRow, change: RoundChange): Promise<boolean> {
    const changed = Object.entries(change).some(([key, value]) => row[key as keyof RoundChange] !== value)
    if (!changed) return false
    await this.#parts.rounds.change(row.number, change)
    this.#parts.events.emit({ kind: 'round', id: row.number })
    return change.state !== undefined && change.state !== row.state
  }

  async #end(row: RoundRow, run: Run | null, state: 'done' | 'stopped', note: Words, rollout: RolloutRow | null): Promise<void> {
    const { knex, rounds, now, events, models } = this.#parts
    await knex.transaction(async (trx) => {
      await rounds.change(row.number, { state, note: storeWords(note), ended_at: now(), rollout_id: rollout?.id ?? null }, trx)
      const model_before = (await models.champion(trx))?.sha256 ?? null
      await rounds.begin({ started_at: now(), samples_from: run?.createdAt ?? row.samples_from, model_before }, trx)
    })
    events.emit({ kind: 'round', id: row.number })
  }

  async #begin(samplesFrom: number): Promise<RoundRow> {
    const { rounds, models, now } = this.#parts
    await rounds.begin({ started_at: now(), samples_from: samplesFrom, model_before: (await models.champion())?.sha256 ?? null })
    return (await rounds.latest())!
  }

  async #labels(): Promise<number> {
    return await this.#parts.labelled.acceptedSince(await this.#parts.datasets.lastTaken())
  }

  /** Newest first. */
  async list(limit: number): Promise<Round[]> {
    const rows = await this.#parts.rounds.list(limit)
    return await Promise.all(rows.map((row) => this.#view(row)))
  }

  async #view(row: RoundRow): Promise<Round> {
    const run = row.run_id === null ? null : await this.#parts.runs.get(row.run_id)
    const { first_sample_at: first, deployed_at: deployed } = row
    return {
      number: row.number,
      state: row.state,
      note: readWords(row.note),
      startedAt: row.started_at,
      firstSampleAt: first,
      trainedAt: row.trained_at,
      deployedAt: deployed,
      labels: row.labels,
      samples: row.samples,
      dataset: run?.dataset.id ?? null,
      run: row.run_id,
      rollout: row.rollout_id,
      modelBefore: row.model_before,
      modelAfter: run?.model ?? null,
      mAP50Before: run?.report?.champion?.mAP50.value ?? null,
      mAP50After: run?.report?.challenger.mAP50.value ?? null,
      gate: run?.gate ?? null,
      minutes: first !== null && deployed !== null ? Math.max(0, deployed - first) / 60_000 : null,
    }
  }
}
