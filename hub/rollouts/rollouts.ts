/** Sends a model out wave by wave. All state is in the database: a hub that restarts goes on where it was. */
import type { Knex } from 'knex'
import type { Static } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import { type NewRollout, namedOfWave, type Rollout, type RolloutAction, type RolloutSummary } from '../../protocol/http/fleet.ts'
import { GateResult } from '../../protocol/http/models.ts'
import { parseJson } from '../../protocol/parse.ts'
import { quote, say, type Words } from '../../protocol/sentences.ts'
import { readWords, storeWords } from '../database/words.ts'
import type { Events } from '../events/events.ts'
import type { DesiredStates } from '../fleet/desired.ts'
import type { DeviceRepository } from '../fleet/device-repository.ts'
import { deploymentOf } from '../fleet/device-view.ts'
import type { ModelRepository, ModelRow } from '../registry/model-repository.ts'
import { manifestOf } from '../registry/registry.ts'
import type { SettingsRepository } from '../settings/settings-repository.ts'
import { nextStep, planWaves, type RolloutDevice, type RolloutStep } from './next-step.ts'
import type { RolloutRepository, RolloutRow } from './rollout-repository.ts'

interface Parts {
  readonly knex: Knex
  readonly rollouts: RolloutRepository
  readonly models: ModelRepository
  readonly devices: DeviceRepository
  readonly settings: SettingsRepository
  readonly desired: DesiredStates
  readonly events: Events
  readonly now: () => number
}

export class Rollouts {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /**
   * Starts a rollout: the canaries are asked at once.
   * @throws MuninnError NOT_FOUND, NOT_READY (one is under way; no gate and no reason; champion already), INVALID_INPUT (unknown canary)
   */
  async create({ model, canaries, override }: Static<typeof NewRollout>, by: string): Promise<Rollout> {
    const { knex, rollouts, models, devices, now } = this.#parts
    const settings = await this.#parts.settings.get()
    const id = await knex.transaction(async (trx) => {
      const row = await models.find(model, trx)
      if (!row) throw new MuninnError('NOT_FOUND', `there is no model ${model}`)
      checkDeployable(row, override)
      const open = await rollouts.open(trx)
      if (open?.state === 'running') throw new MuninnError('NOT_READY', say('error.rollout-open', { id: open.id }))
      if (open) await this.#rollBack(open, [say('rollout.replaced')], trx)
      const fleet = await devices.list(trx)
      const unknown = (canaries ?? []).filter((id) => !fleet.some((device) => device.id === id))
      if (unknown.length > 0) throw new MuninnError('INVALID_INPUT', `canaries: there is no device ${unknown.join(', ')}`)
      const previous = (await models.champion(trx))?.sha256 ?? null
      const waves = planWaves(fleet, { chosen: canaries, count: settings.rollout.canaries })
      return await rollouts.insert({ model, previous, override: override ?? null, created_at: now(), created_by: by }, waves, trx)
    })
    this.#parts.events.emit({ kind: 'rollout', id })
    await this.advance()
    return await this.get(id)
  }

  /** @throws MuninnError NOT_FOUND, NOT_READY naming why the action does not fit */
  async act(id: number, { action, reason }: Static<typeof RolloutAction>, by: string): Promise<Rollout> {
    const { knex, rollouts } = this.#parts
    const words = [...(reason ? quote(reason) : [say('rollout.no-reason')]), say('rollout.by', { name: by })]
    await knex.transaction(async (trx) => {
      const row = await rollouts.find(id, trx)
      if (!row) throw new MuninnError('NOT_FOUND', `there is no rollout ${id}`)
      if (action === 'rollback') {
        const latest = await rollouts.latest(trx)
        if (row.state === 'rolled-back') throw new MuninnError('NOT_READY', say('error.rollout-rolled-back', { id }))
        if (row.state === 'finished' && latest?.id !== id)
          throw new MuninnError('NOT_READY', say('error.rollout-not-latest', { id }))
        if (row.previous === null) throw new MuninnError('NOT_READY', say('error.nothing-before'))
        await this.#rollBack(row, words, trx)
      } else if (action === 'pause') {
        if (row.state !== 'running') throw new MuninnError('NOT_READY', say('error.rollout-not-running', { id }))
        await rollouts.change(id, { state: 'paused', reason: storeWords(words) }, trx)
      } else {
        if (row.state !== 'paused') throw new MuninnError('NOT_READY', say('error.rollout-not-paused', { id }))
        // Devices that failed are asked anew: a device never tries the same deployment number twice.
        for (const device of await rollouts.devices(id, trx))
          if (device.state === 'refused' || device.state === 'rolled-back')
            await rollouts.changeDevice(id, device.device_id, { state: 'waiting', deployment: null, reason: '' }, trx)
        await rollouts.change(id, { state: 'running', reason: storeWords(words) }, trx)
      }
    })
    this.#parts.events.emit({ kind: 'rollout', id })
    if (action === 'rollback') {
      this.#parts.events.emit({ kind: 'model' })
      await this.#parts.desired.publish()
    }
    await this.advance()
    return await this.get(id)
  }

  /** Takes in what devices have reported and does every step that follows from it. */
  async advance(): Promise<void> {
    const { rollouts, desired, events } = this.#parts
    for (;;) {
      const row = (await rollouts.open()) ?? (await rollouts.latest())
      if (!row) return
      const { asked, changed } = await this.#advanceOnce(row.id)
      if (changed) events.emit({ kind: 'rollout', id: row.id })
      if (asked === 'all') {
        events.emit({ kind: 'model' })
        await desired.publish()
      } else if (asked.length > 0) await desired.publish(asked)
      else return
    }
  }

  /** @returns the devices that must be told, and whether anything changed at all */
  async #advanceOnce(id: number): Promise<{ asked: readonly string[] | 'all'; changed: boolean }> {
    const { knex, rollouts, models, devices } = this.#parts
    return await knex.transaction(async (trx) => {
      const row = await rollouts.find(id, trx)
      if (!row) return { asked: [], changed: false }
      const { members, changed } = await this.#takeReports(id, trx)
      const waves: RolloutDevice[][] = []
      for (const { wave, ...device } of members) {
        waves[wave] ??= []
        waves[wave].push(device)
      }
      const step = nextStep({ state: row.state, wave: row.wave, waves: Array.from(waves, (wave) => wave ?? []) })
      return (
        (await this.#take(row, step, { models, devices, trx })) ?? {
          asked: [],
          changed: changed || (await this.#note(row, step, trx)),
        }
      )
    })
  }

  /** What a running rollout waits for is shown as its reason. */
  async #note(row: RolloutRow, step: RolloutStep, trx: Knex.Transaction): Promise<boolean> {
    if (row.state !== 'running' || step.kind !== 'wait') return false
    const reason = storeWords(step.reason)
    if (reason === row.reason) return false
    await this.#parts.rollouts.change(row.id, { reason }, trx)
    return true
  }

  async #take(
    row: RolloutRow,
    step: RolloutStep,
    { models, devices, trx }: { models: ModelRepository; devices: DeviceRepository; trx: Knex.Transaction },
  ): Promise<{ asked: readonly string[] | 'all'; changed: true } | undefined> {
    const { rollouts, now } = this.#parts
    switch (step.kind) {
      case 'wait':
        return undefined
      case 'pause':
        await rollouts.change(row.id, { state: 'paused', reason: storeWords(step.reason) }, trx)
        return { asked: [], changed: true }
      case 'ask':
        await rollouts.change(row.id, { wave: step.wave }, trx)
        for (const device of step.devices) {
          const deployment = await devices.desire(device, row.model, trx)
          await rollouts.changeDevice(row.id, device, { state: 'asked', reason: '', deployment }, trx)
        }
        return { asked: step.devices, changed: true }
      case 'finish':
        await rollouts.change(row.id, { state: 'finished', reason: storeWords(step.reason), finished_at: now() }, trx)
        await models.makeChampion(row.model, trx)
        // Devices that were added while it ran.
        for (const device of await devices.list(trx))
          if (device.desired_model !== row.model) await devices.desire(device.id, row.model, trx)
        return { asked: 'all', changed: true }
    }
  }

  /** Reads from each device's last report where it stands with this rollout. */
  async #takeReports(
    id: number,
    trx: Knex.Transaction,
  ): Promise<{ members: (RolloutDevice & { wave: number })[]; changed: boolean }> {
    const { rollouts, devices, now } = this.#parts
    const fleet = new Map((await devices.reports(trx)).map((device) => [device.id, device]))
    const members: (RolloutDevice & { wave: number })[] = []
    let changed = false
    for (const row of await rollouts.devices(id, trx)) {
      const device = fleet.get(row.device_id)
      if (!device) continue
      const report = deploymentOf(device)
      let { state, reason } = row
      if (report && row.deployment !== null && report.deployment === row.deployment) {
        if (report.state !== state || report.reason !== reason) {
          ;({ state, reason } = report)
          const confirmed = state === 'confirmed' && row.confirmed_at === null ? { confirmed_at: now() } : {}
          await rollouts.changeDevice(id, row.device_id, { state, reason, ...confirmed }, trx)
          changed = true
        }
      }
      members.push({ device: row.device_id, wave: row.wave, state, reason, online: device.online })
    }
    return { members, changed }
  }

  async #rollBack(row: RolloutRow, reason: Words, trx: Knex.Transaction): Promise<void> {
    const { rollouts, models, devices, now } = this.#parts
    for (const device of await devices.list(trx))
      if (device.desired_model === row.model && row.previous !== null) await devices.desire(device.id, row.previous, trx)
    if (row.state === 'finished' && row.previous !== null) await models.makeChampion(row.previous, trx)
    else if ((await models.find(row.model, trx))?.role === 'challenger') await models.setRole(row.model, 'candidate', trx)
    await rollouts.change(row.id, { state: 'rolled-back', reason: storeWords(reason), finished_at: now() }, trx)
  }

  /** Newest first. */
  async list(): Promise<RolloutSummary[]> {
    return (await this.#parts.rollouts.list()).map(summary)
  }

  /** @throws MuninnError NOT_FOUND */
  async get(id: number): Promise<Rollout> {
    const { rollouts } = this.#parts
    const row = await rollouts.find(id)
    if (!row) throw new MuninnError('NOT_FOUND', `there is no rollout ${id}`)
    const counts = await rollouts.states(id)
    const waves = Array.from({ length: Math.max(-1, ...counts.map(({ wave }) => wave)) + 1 }, async (_, wave) => ({
      states: Object.fromEntries(counts.filter((each) => each.wave === wave).map(({ state, count }) => [state, count])),
      devices: (await rollouts.firstDevices(id, wave, namedOfWave)).map(({ device_id, state, reason }) => ({
        device: device_id,
        state,
        reason,
      })),
    }))
    return { ...summary(row), waves: await Promise.all(waves) }
  }
}

const summary = (row: RolloutRow): RolloutSummary => ({
  id: row.id,
  model: row.model,
  previous: row.previous,
  state: row.state,
  reason: readWords(row.reason),
  createdAt: row.created_at,
  createdBy: row.created_by,
  finishedAt: row.finished_at,
  wave: row.wave,
})

/** A model goes out when it passed the gate, was champion before, or a person gives a reason. */
function checkDeployable(row: ModelRow, override: string | undefined): void {
  const model = `${manifestOf(row).name} v${row.version}`
  if (row.role === 'champion') throw new MuninnError('NOT_READY', say('error.champion-already', { model }))
  if (row.role === 'retired' || override) return
  const gate = row.gate === null ? null : parseJson(GateResult, row.gate, 'stored gate result')
  if (gate?.passed) return
  throw new MuninnError('NOT_READY', [
    ...(gate ? [say('error.gate-failed', { model }), ...gate.reasons.slice(0, 1)] : [say('error.never-gated', { model })]),
    say('error.give-reason'),
  ])
}
