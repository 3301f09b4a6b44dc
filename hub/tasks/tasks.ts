/** The queue of pictures that wait for a person: leases, verdicts, second thoughts. Nothing is overwritten, nothing given to two people. */
import type { Knex } from 'knex'
import type { Static } from 'typebox'
import { type Box, clip } from '../../protocol/boxes.ts'
import { MuninnError } from '../../protocol/errors.ts'
import type { Annotation, HistoryEntry, LeasedTasks, LeaseTasks, Split, Submit, Task } from '../../protocol/http/labelling.ts'
import { parseJson } from '../../protocol/parse.ts'
import { say } from '../../protocol/sentences.ts'
import type { Events } from '../events/events.ts'
import type { OverviewRepository } from '../overview/overview-repository.ts'
import type { ModelRepository } from '../registry/model-repository.ts'
import { manifestOf } from '../registry/registry.ts'
import { type SampleRepository, unlearnable } from '../samples/sample-repository.ts'
import { Annotations, viewSample } from '../samples/sample-view.ts'
import type { SettingsRepository } from '../settings/settings-repository.ts'
import type { TaskRepository, TaskRow } from './task-repository.ts'

interface Parts {
  readonly knex: Knex
  readonly tasks: TaskRepository
  readonly samples: SampleRepository
  readonly models: ModelRepository
  readonly settings: SettingsRepository
  readonly overview: OverviewRepository
  readonly events: Events
  readonly now: () => number
}

/** Where the model says nothing, a box of this score is worth starting from. */
const usualThreshold = 0.4

export class Tasks {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /**
   * The next tasks for a person: their running leases first (begun anew), then the most valuable free ones, with enough held-out
   * pictures among them to judge by.
   * @param only pictures whose truth is known (the demo's own labeller)
   * @throws MuninnError NOT_FOUND, LEASE_LOST when the sample asked for is someone else's just now
   */
  async lease(
    wanted: Static<typeof LeaseTasks>,
    person: string,
    only: { withTruth?: boolean } = {},
  ): Promise<Static<typeof LeasedTasks>> {
    const { knex, tasks, settings, now } = this.#parts
    const { leaseSeconds, heldOutShare } = await settings.get()
    const expires = now() + leaseSeconds * 1000
    const rows = await knex.transaction(async (trx) => {
      if (wanted.sample !== undefined) return [await this.#leaseOne(wanted.sample, person, expires, trx)]
      const mine = await tasks.leasedBy(person, now(), wanted.count, trx)
      const leased: TaskRow[] = []
      for (const row of mine) {
        const change = { lease_expires_at: expires }
        if (await tasks.change(row.id, row.version, change, trx)) leased.push({ ...row, ...change })
      }
      const hand = await tasks.inHand(now(), trx)
      while (leased.length < wanted.count) {
        const first: Split = hand['held-out'] < heldOutShare * (hand['held-out'] + hand.train + 1) ? 'held-out' : 'train'
        const other: Split = first === 'train' ? 'held-out' : 'train'
        const best = async (split: Split) => {
          const [row] = await tasks.free(now(), 1, { ...only, split }, trx)
          return row && { row, split }
        }
        const found = await best(first)
        // A label that nothing will be learnt from is asked for when nothing else waits.
        const better = found && found.row.priority > unlearnable ? found : ((await best(other)) ?? found)
        if (!better) break
        hand[better.split]++
        leased.push(await this.#take(better.row, person, expires, trx))
      }
      return leased
    })
    if (rows.length > 0) this.#parts.events.emit({ kind: 'task' })
    const counts = await this.#parts.overview.tasks(now())
    return { tasks: await Promise.all(rows.map((row) => this.#view(row))), open: counts.open }
  }

  async #leaseOne(sample: string, person: string, expires: number, trx: Knex.Transaction): Promise<TaskRow> {
    const row = await this.#parts.tasks.findBySample(sample, trx)
    if (!row) throw new MuninnError('NOT_FOUND', `there is no sample ${sample}`)
    if (row.state === 'leased' && row.leased_by !== person && (row.lease_expires_at ?? 0) >= this.#parts.now())
      throw new MuninnError('LEASE_LOST', say('error.picture-taken', { name: row.leased_by ?? '' }))
    if (row.state === 'accepted' || row.state === 'rejected') throw new MuninnError('NOT_READY', say('error.picture-decided'))
    return await this.#take(row, person, expires, trx)
  }

  async #take(row: TaskRow, person: string, expires: number, trx: Knex.Transaction): Promise<TaskRow> {
    const own = row.state === 'leased' && row.leased_by === person
    const change = {
      state: 'leased',
      leased_by: person,
      lease_expires_at: expires,
      version: own ? row.version : row.version + 1,
    } as const
    if (!(await this.#parts.tasks.change(row.id, row.version, change, trx))) throw changed(row.id)
    return { ...row, ...change }
  }

  /** @throws MuninnError NOT_FOUND */
  async get(id: number): Promise<Task> {
    return await this.#view(await this.#find(id))
  }

  /**
   * Takes a verdict. The same one sent again (its answer was lost) is taken as done.
   * @throws MuninnError NOT_FOUND, VERSION_CONFLICT, LEASE_LOST, INVALID_INPUT naming the box or class
   */
  async submit(id: number, said: Static<typeof Submit>, person: string): Promise<Task> {
    const { knex, tasks, samples, settings, now } = this.#parts
    const row = await this.#find(id)
    const sample = await samples.find(row.sample_id)
    if (!sample) throw new MuninnError('NOT_FOUND', `task ${id} has no sample`)
    const classes = (await settings.get()).classes.map(({ name }) => name)
    const annotations = said.verdict === 'rejected' ? [] : checkAnnotations(said.annotations, classes, sample)
    const text = JSON.stringify(annotations)
    await knex.transaction(async (trx) => {
      const task = await this.#find(id, trx)
      const last = await tasks.lastSaid(task.sample_id, trx)
      if (task.state === said.verdict && task.version === said.version + 1 && last?.by === person && last.annotations === text)
        return
      if (task.version !== said.version) throw changed(id)
      if (task.state === 'leased' && task.leased_by !== person)
        throw new MuninnError('LEASE_LOST', say('error.picture-taken', { name: task.leased_by ?? '' }))
      if (task.state !== 'leased' && task.state !== 'open') throw changed(id)
      const at = now()
      const change = { state: said.verdict, version: task.version + 1, leased_by: null, lease_expires_at: null, decided_at: at }
      if (!(await tasks.change(id, task.version, change, trx))) throw changed(id)
      const entry = {
        sample_id: task.sample_id,
        at,
        by: person,
        verdict: said.verdict,
        annotations: text,
        milliseconds: said.milliseconds,
      }
      await tasks.remember(entry, trx)
    })
    this.#parts.events.emit({ kind: 'task', id })
    return await this.get(id)
  }

  /** Opens a decided task again and leases it to whoever asks. @throws MuninnError NOT_FOUND, NOT_READY */
  async reopen(id: number, person: string): Promise<Task> {
    const { knex, tasks, settings, now } = this.#parts
    const { leaseSeconds } = await settings.get()
    await knex.transaction(async (trx) => {
      const task = await this.#find(id, trx)
      if (task.state !== 'accepted' && task.state !== 'rejected')
        throw new MuninnError('NOT_READY', `task ${id} is ${task.state}, not decided`)
      const change = {
        state: 'leased',
        version: task.version + 1,
        leased_by: person,
        lease_expires_at: now() + leaseSeconds * 1000,
        decided_at: null,
      } as const
      if (!(await tasks.change(id, task.version, change, trx))) throw changed(id)
      await tasks.remember(
        { sample_id: task.sample_id, at: now(), by: person, verdict: 'reopened', annotations: '[]', milliseconds: 0 },
        trx,
      )
    })
    this.#parts.events.emit({ kind: 'task', id })
    return await this.get(id)
  }

  /** Gives a lease back before it runs out. @throws MuninnError NOT_FOUND, LEASE_LOST */
  async release(id: number, person: string): Promise<Task> {
    const { knex, tasks } = this.#parts
    await knex.transaction(async (trx) => {
      const task = await this.#find(id, trx)
      if (task.state !== 'leased' || task.leased_by !== person)
        throw new MuninnError('LEASE_LOST', say('error.lease-over', { id, name: person }))
      const change = { state: 'open', leased_by: null, lease_expires_at: null, version: task.version + 1 } as const
      if (!(await tasks.change(id, task.version, change, trx))) throw changed(id)
    })
    this.#parts.events.emit({ kind: 'task', id })
    return await this.get(id)
  }

  /** Oldest first. @throws MuninnError NOT_FOUND */
  async history(sample: string): Promise<HistoryEntry[]> {
    if (!(await this.#parts.samples.find(sample))) throw new MuninnError('NOT_FOUND', `there is no sample ${sample}`)
    return (await this.#parts.tasks.history(sample)).map(({ at, by, verdict, annotations, milliseconds }) => ({
      at,
      by,
      verdict,
      annotations: parseJson(Annotations, annotations, 'stored annotations'),
      milliseconds,
    }))
  }

  async #find(id: number, trx?: Knex.Transaction): Promise<TaskRow> {
    const row = await this.#parts.tasks.find(id, trx)
    if (!row) throw new MuninnError('NOT_FOUND', `there is no task ${id}`)
    return row
  }

  async #view(row: TaskRow): Promise<Task> {
    const sample = await this.#parts.samples.find(row.sample_id)
    if (!sample) throw new MuninnError('NOT_FOUND', `task ${row.id} has no sample`)
    const view = viewSample(sample)
    const said = await this.#parts.tasks.lastAnnotations(row.sample_id)
    const boxes: Task['boxes'] =
      said === null
        ? await this.#fromModel(view.model, view.detections)
        : parseJson(Annotations, said, 'stored annotations').map((each) => ({ ...each, score: null }))
    const free = row.state === 'leased' && (row.lease_expires_at ?? 0) < this.#parts.now()
    return {
      id: row.id,
      sample: view,
      state: free ? 'open' : row.state,
      version: row.version,
      priority: row.priority,
      leasedBy: free ? null : row.leased_by,
      leaseExpiresAt: free ? null : row.lease_expires_at,
      boxes,
    }
  }

  async #fromModel(model: string | null, detections: Task['sample']['detections']): Promise<Task['boxes']> {
    const row = model === null ? undefined : await this.#parts.models.find(model)
    const thresholds = row ? manifestOf(row).thresholds : {}
    return detections
      .filter(({ label, score }) => score >= (thresholds[label] ?? usualThreshold))
      .map(({ box, label, score }) => ({ box, label, source: 'model', score }))
  }
}

/** Boxes are cut to the picture; what is nothing there, or has a class that the project does not know, is refused. */
function checkAnnotations(
  annotations: readonly Annotation[],
  classes: readonly string[],
  picture: { width: number; height: number },
): Annotation[] {
  return annotations.map(({ box, label, source }, index) => {
    if (!classes.includes(label)) throw new MuninnError('INVALID_INPUT', say('error.no-class', { label, index }))
    const [x1, y1, x2, y2]: Box = clip(box, picture.width, picture.height)
    if (!(x2 > x1 && y2 > y1)) throw new MuninnError('INVALID_INPUT', say('error.empty-box', { index }))
    return { box: [x1, y1, x2, y2], label, source }
  })
}

const changed = (id: number) => new MuninnError('VERSION_CONFLICT', say('error.task-changed', { id }))
