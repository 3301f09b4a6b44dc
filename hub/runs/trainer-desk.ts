/** What trainers talk to: they lease a run, say how it goes, hand in checkpoints and the model. A dead trainer's run is taken again. */
import { randomBytes } from 'node:crypto'
import type { Knex } from 'knex'
import { type Static, Type } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import type { GateResult } from '../../protocol/http/models.ts'
import type { Run } from '../../protocol/http/runs.ts'
import type { FailRun, FinishRun, Heartbeat, LeaseRun, RunLease } from '../../protocol/http/trainers.ts'
import type { FileReference } from '../../protocol/manifest.ts'
import { parseJson } from '../../protocol/parse.ts'
import { Sha256 } from '../../protocol/primitives.ts'
import { quote, say, type Words } from '../../protocol/sentences.ts'
import type { Blobs } from '../blobs/blobs.ts'
import { storeWords } from '../database/words.ts'
import type { DatasetRepository } from '../datasets/dataset-repository.ts'
import type { Events } from '../events/events.ts'
import { decideGate } from '../gate/gate.ts'
import type { ModelRepository } from '../registry/model-repository.ts'
import { manifestOf, type Registry } from '../registry/registry.ts'
import type { SettingsRepository } from '../settings/settings-repository.ts'
import type { RunRepository, RunRow } from './run-repository.ts'
import type { Runs } from './runs.ts'

/** Heartbeats come every few seconds; after this long without one the trainer is taken for dead. */
export const leaseSeconds = 60
/** A run that fails in this many hands fails for good. */
export const maxAttempts = 5
/** A trainer that asked for work this recently is there. */
const presentSeconds = 90

/** Files that a trainer hands in at the end. */
const uploadColumns = {
  model: 'uploaded_model',
  'training-file': 'uploaded_training_file',
  'self-test': 'uploaded_self_test',
  report: 'report_page',
} as const
type UploadKind = keyof typeof uploadColumns

const Samples = Type.Array(Sha256)

interface Parts {
  readonly knex: Knex
  readonly runs: RunRepository
  readonly views: Runs
  readonly datasets: DatasetRepository
  readonly models: ModelRepository
  readonly registry: Registry
  readonly settings: SettingsRepository
  readonly blobs: Blobs
  readonly events: Events
  readonly now: () => number
}

export class TrainerDesk {
  readonly #parts: Parts
  /** When each trainer was last heard of; only to show who is there. */
  readonly #seen = new Map<string, number>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Trainers could not reach a hub that was away: their leases begin anew. */
  async start(): Promise<void> {
    await this.#parts.runs.extendLeases(this.#leaseEnd())
  }

  /** How many trainers are there now. */
  get trainers(): number {
    const since = this.#parts.now() - presentSeconds * 1000
    for (const [name, at] of this.#seen) if (at < since) this.#seen.delete(name)
    return this.#seen.size
  }

  /**
   * The run that this trainer had when it was started again, else the next one; null when there is nothing to do. A name proves nothing
   * (two trainers may have one): only the lease itself does. A run of a dead trainer comes with the step of its last checkpoint.
   */
  async lease({ trainer, device, held }: Static<typeof LeaseRun>): Promise<RunLease | null> {
    const { knex, runs, models, now } = this.#parts
    this.#seen.set(trainer, now())
    await this.reclaim()
    const own = held && (await this.#held(held, trainer))
    const lease = randomBytes(24).toString('base64url')
    const id = await knex.transaction(async (trx) => {
      const row = own ?? (await runs.oldestQueued(trx))
      if (!row) return null
      // The champion of now: what the challenger must beat, even if it changed while the run waited.
      const champion = (await models.champion(trx))?.sha256 ?? null
      const taken = await runs.change(
        row.id,
        { state: row.state, lease: row.lease },
        {
          state: 'running',
          trainer,
          lease,
          champion,
          lease_expires_at: this.#leaseEnd(),
          attempts: row.attempts + 1,
          started_at: row.started_at ?? now(),
          error: null,
          progress: null,
        },
        trx,
      )
      if (!taken) return null
      await runs.dropPointsAfter(row.id, row.checkpoint_step ?? -1, trx)
      const attempt = say('run.attempt', { number: row.attempts + 1, trainer, device: device || '?' })
      const from = row.checkpoint_step === null ? [] : [say('run.resumed', { step: row.checkpoint_step })]
      await runs.tell(row.id, now(), [[attempt, ...from]], trx)
      return row.id
    })
    if (id === null) return null
    this.#parts.events.emit({ kind: 'run', id })
    const row = await this.#running(id, lease)
    const model = async (sha256: string | null) => (sha256 === null ? undefined : await models.find(sha256))
    const [base, champion] = [await model(row.base), await model(row.champion)]
    const made = base?.run_id ? await runs.find(base.run_id) : undefined
    return {
      run: await this.#parts.views.view(row),
      lease,
      leaseSeconds,
      baseManifest: base ? manifestOf(base) : null,
      baseTrainingFile: base ? (base.training_file ?? base.sha256) : null,
      championManifest: champion ? manifestOf(champion) : null,
      baseDataset: made?.dataset_id ?? null,
      unlabelled: row.unlabelled === null ? [] : parseJson(Samples, row.unlabelled, 'stored pictures without labels'),
      checkpointStep: row.checkpoint_step,
    }
  }

  /** The run of a lease that still is the right one. One that has killed its trainer too often fails instead. */
  async #held({ run, lease }: NonNullable<Static<typeof LeaseRun>['held']>, trainer: string): Promise<RunRow | undefined> {
    const row = await this.#parts.runs.find(run)
    if (row?.state !== 'running' || row.lease !== lease) return undefined
    if (row.attempts < maxAttempts) return row
    await this.#giveUpAttempt(row, [say('run.restarted', { trainer })], true)
    return undefined
  }

  /** Puts runs back into the queue whose trainer has gone silent; those tried too often fail. */
  async reclaim(): Promise<void> {
    const { runs, now } = this.#parts
    for (const row of await runs.expired(now()))
      await this.#giveUpAttempt(row, [say('run.silent', { trainer: row.trainer ?? '?' })], true)
  }

  async #giveUpAttempt(row: RunRow, reason: Words, retry: boolean): Promise<void> {
    const { runs, now } = this.#parts
    const again = retry && row.attempts < maxAttempts
    const words = again || !retry ? reason : [...reason, say('run.given-up', { count: row.attempts })]
    const error = storeWords(words)
    const change = again
      ? ({ state: 'queued', lease: null, lease_expires_at: null, error } as const)
      : ({ state: 'failed', lease_expires_at: null, error, finished_at: now() } as const)
    if (!(await runs.change(row.id, { state: 'running', lease: row.lease }, change))) return
    await runs.tell(row.id, now(), [[...words, ...(again ? [say('run.waits-again')] : [])]])
    this.#parts.events.emit({ kind: 'run', id: row.id })
  }

  /** Keeps the lease and takes in curves and log lines. @throws MuninnError LEASE_LOST */
  async heartbeat(
    id: number,
    lease: string,
    { progress, points, lines }: Static<typeof Heartbeat>,
  ): Promise<{ cancel: boolean }> {
    const { knex, runs } = this.#parts
    const row = await runs.find(id)
    if (row?.state === 'cancelled' && row.lease === lease) return { cancel: true }
    const { trainer } = await this.#running(id, lease)
    await knex.transaction(async (trx) => {
      const change = { progress: JSON.stringify(progress), lease_expires_at: this.#leaseEnd() }
      if (!(await runs.change(id, { state: 'running', lease }, change, trx))) throw lost(id)
      await runs.addPoints(id, points, trx)
      await runs.addLines(id, lines, trx)
    })
    if (trainer !== null) this.#seen.set(trainer, this.#parts.now())
    this.#parts.events.emit({ kind: 'run', id })
    return { cancel: false }
  }

  /** Remembers a checkpoint (already a blob); the one before it is removed. @throws MuninnError LEASE_LOST */
  async checkpoint(id: number, lease: string, file: FileReference, step: number): Promise<void> {
    const { runs, blobs } = this.#parts
    const { checkpoint: before } = await this.#running(id, lease)
    const change = { checkpoint: file.sha256, checkpoint_step: step, lease_expires_at: this.#leaseEnd() }
    if (!(await runs.change(id, { state: 'running', lease }, change))) throw lost(id)
    if (before !== null && before !== file.sha256 && !(await runs.usesCheckpoint(before))) await blobs.remove(before)
  }

  /** SHA-256 of the last checkpoint. @throws MuninnError NOT_FOUND, LEASE_LOST */
  async lastCheckpoint(id: number, lease: string): Promise<{ sha256: string; step: number }> {
    const { checkpoint, checkpoint_step: step } = await this.#running(id, lease)
    if (checkpoint === null || step === null) throw new MuninnError('NOT_FOUND', `run ${id} has no checkpoint`)
    return { sha256: checkpoint, step }
  }

  /** Remembers an uploaded file (already a blob). @throws MuninnError LEASE_LOST, BAD_MODEL */
  async upload(id: number, lease: string, kind: UploadKind, file: FileReference): Promise<FileReference> {
    await this.#running(id, lease)
    if (kind === 'model' || kind === 'training-file') await this.#parts.registry.checkFile(file.sha256)
    const change = { [uploadColumns[kind]]: file.sha256, lease_expires_at: this.#leaseEnd() }
    if (!(await this.#parts.runs.change(id, { state: 'running', lease }, change))) throw lost(id)
    return file
  }

  /**
   * Takes the model and asks the gate. Sent twice (the first answer was lost), it does nothing the second time.
   * @throws MuninnError LEASE_LOST, BAD_HASH (the model is not the one uploaded), BAD_MODEL, INVALID_INPUT
   */
  async finish(id: number, lease: string, done: Static<typeof FinishRun>): Promise<Run> {
    const { knex, runs, models, datasets, registry, settings, now } = this.#parts
    const before = await runs.find(id)
    if (before?.state === 'finished' && before.lease === lease && before.model === done.model)
      return await this.#parts.views.get(id)
    const run = await this.#running(id, lease)
    await this.#checkFinish(run, done)
    const file = await registry.checkFile(done.model)
    const selfTest = done.selfTest === null ? null : { sha256: done.selfTest, bytes: await this.#parts.blobs.size(done.selfTest) }
    const { gate: gateSettings, projectName } = await settings.get()
    const at = now()
    await knex.transaction(async (trx) => {
      const champion = (await models.champion(trx))?.sha256 ?? null
      const gate: GateResult = { ...decideGate({ report: done.report, settings: gateSettings, model: done.model, champion }), at }
      const known = await models.find(done.model, trx)
      if (!known) {
        const { challenger } = done.report
        const dataset = await datasets.find(run.dataset_id, trx)
        await registry.add(
          {
            name: projectName,
            file,
            input: done.input,
            classes: done.classes,
            thresholds: done.thresholds,
            architecture: done.architecture,
            lineage: { base: run.base, dataset: dataset?.digest ?? null, run: id },
            metrics: { mAP50: challenger.mAP50.value, 'mAP50-95': challenger['mAP50-95'].value },
            selfTest,
            role: gate.passed ? 'challenger' : 'candidate',
            gate,
            trainingFile: done.trainingFile ?? null,
          },
          id,
          at,
          trx,
        )
      }
      const change = {
        state: 'finished',
        finished_at: at,
        lease_expires_at: null,
        model: done.model,
        gate: JSON.stringify(gate),
        report: JSON.stringify(done.report),
      } as const
      if (!(await runs.change(id, { state: 'running', lease }, change, trx))) throw lost(id)
      await runs.tell(id, at, [[say(gate.passed ? 'gate.yes' : 'gate.no')], ...gate.reasons.map((reason) => [reason])], trx)
    })
    await this.#dropCheckpoint(id)
    this.#parts.events.emit({ kind: 'model', id: done.model })
    this.#parts.events.emit({ kind: 'run', id })
    return await this.#parts.views.get(id)
  }

  /** @throws MuninnError LEASE_LOST */
  async fail(id: number, lease: string, { error, retry }: Static<typeof FailRun>): Promise<Run> {
    const row = await this.#parts.runs.find(id)
    // A trainer that was told to stop says so; nothing is left to do.
    if (!(row?.state === 'cancelled' && row.lease === lease))
      await this.#giveUpAttempt(await this.#running(id, lease), quote(error), retry)
    return await this.#parts.views.get(id)
  }

  async #checkFinish(run: RunRow, done: Static<typeof FinishRun>): Promise<void> {
    if (run.uploaded_model !== done.model)
      throw new MuninnError(
        'BAD_HASH',
        `the model ${done.model} is not the file that was uploaded (${run.uploaded_model ?? 'none'})`,
      )
    if (done.selfTest !== null && run.uploaded_self_test !== done.selfTest)
      throw new MuninnError(
        'BAD_HASH',
        `the self-test ${done.selfTest} is not the file that was uploaded (${run.uploaded_self_test ?? 'none'})`,
      )
    if (done.trainingFile && run.uploaded_training_file !== done.trainingFile)
      throw new MuninnError(
        'BAD_HASH',
        `the training file ${done.trainingFile} is not the file that was uploaded (${run.uploaded_training_file ?? 'none'})`,
      )
    if (done.report.challenger.model !== done.model)
      throw new MuninnError(
        'INVALID_INPUT',
        'report.challenger.model is not the model that was handed in: what is gated must be what is deployed',
      )
    if (new Set(done.classes).size !== done.classes.length)
      throw new MuninnError('INVALID_INPUT', 'classes: a name stands there twice')
    const dataset = await this.#parts.datasets.find(run.dataset_id)
    const missing = dataset ? (JSON.parse(dataset.classes) as string[]).filter((name) => !done.classes.includes(name)) : []
    if (missing.length > 0) throw new MuninnError('INVALID_INPUT', `classes: the dataset also has ${missing.join(', ')}`)
  }

  /** Nobody goes on from a finished run's checkpoint. */
  async #dropCheckpoint(id: number): Promise<void> {
    const { runs, blobs } = this.#parts
    const row = await runs.find(id)
    if (!row || row.checkpoint === null) return
    await runs.change(id, {}, { checkpoint: null, checkpoint_step: null })
    if (!(await runs.usesCheckpoint(row.checkpoint))) await blobs.remove(row.checkpoint)
  }

  /** An expired lease still counts as long as nobody else has taken the run. */
  async #running(id: number, lease: string): Promise<RunRow> {
    const row = await this.#parts.runs.find(id)
    if (!row) throw new MuninnError('NOT_FOUND', `there is no run ${id}`)
    if (row.state !== 'running' || row.lease !== lease) throw lost(id)
    return row
  }

  #leaseEnd(): number {
    return this.#parts.now() + leaseSeconds * 1000
  }
}

const lost = (id: number) =>
  new MuninnError('LEASE_LOST', `the lease on run ${id} ran out, or the run was given to another trainer or ended`)
