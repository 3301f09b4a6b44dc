/** Does what the hub desires, one step after another: believe, fetch, self-test, switch, probation, confirm or go back; and tells each step. */

import type { KeyObject } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { Logger } from 'pino'
import { MuninnError } from '../../protocol/errors.ts'
import type { ModelManifest, SignedManifest } from '../../protocol/manifest.ts'
import { inEnglish, say as sentence } from '../../protocol/sentences.ts'
import type { Deployment, DeploymentState, Desired } from '../../protocol/topics.ts'
import { fetchFile, type PieceSource } from './fetch-file.ts'
import { freeSlot, maxLives, type Outcome, runningSlot, type Slot } from './journal.ts'
import { type LoadedModel, loadModel, ModelRunner } from './model-runner.ts'
import type { ModelStore } from './model-store.ts'
import { judgeProbation } from './probation.ts'
import { runSelfTest } from './self-test.ts'
import { claimedModel, verifyManifest } from './verify-manifest.ts'

export interface UpdaterOptions {
  readonly store: ModelStore
  readonly source: PieceSource
  readonly publicKey: KeyObject
  /** Of the inference; 0: as many as there are cores. */
  readonly threads: number
  readonly log: Logger
}

/** What is asked for: a `Desired` that names a model. */
interface Wish {
  readonly deployment: number
  readonly signed: SignedManifest
  readonly probationSeconds: number
}

const superseded = Symbol('another model was asked for')
const wordsOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
/** How often the probation is judged when no frame comes, milliseconds. */
const tick = 500
const reloadAfter = 2000

/** Emits `report` for the hub at each step, `switched` when another model (or none) looks from the next frame on. */
export class Updater extends EventEmitter<{ report: [Deployment]; switched: [LoadedModel | null] }> {
  readonly #options: UpdaterOptions
  readonly runner = new ModelRunner()
  #work: Promise<void> = Promise.resolve()
  #pursued: { wish: Wish; abort: AbortController } | null = null
  #last: Deployment | null = null
  #probation: { since: number; timer: NodeJS.Timeout; ending: boolean } | null = null
  #stopping = false
  #reloadTimer: NodeJS.Timeout | undefined

  constructor(options: UpdaterOptions) {
    super()
    this.#options = options
  }

  get current(): LoadedModel | null {
    return this.runner.current
  }

  /** The last report: told again after a reconnect. */
  get lastReport(): Deployment | null {
    return this.#last
  }

  /** Loads what ran before; a file that no longer runs, or a probation that keeps killing the agent, makes way for the other slot. */
  async start(): Promise<void> {
    const { store, log } = this.#options
    await store.start()
    const { trial, outcome } = store.journal
    if (outcome) this.#last = this.#reportOf(outcome)
    if (trial && trial.boots > maxLives) {
      await this.#endTrial('rolled-back', `the agent died ${trial.boots - 1} times while the model was on probation`)
    }
    await this.#resume()
    log.info({ model: this.current?.manifest.name ?? null, version: this.current?.manifest.version }, 'model')
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#pursued?.abort.abort(superseded)
    this.#stopProbation()
    clearTimeout(this.#reloadTimer)
    await this.#work
    await this.#options.store.stop()
    await this.runner.stop()
  }

  /** Takes up what the hub asks for; the same again, or nothing, changes nothing. */
  desire({ deployment, model, probationSeconds }: Desired): void {
    if (!model || this.#stopping) return
    const now = this.#pursued?.wish
    if (now && now.deployment === deployment && now.signed.manifest === model.manifest) return
    this.#pursued?.abort.abort(superseded)
    const abort = new AbortController()
    const wish = { deployment, signed: model, probationSeconds }
    const pursuit = { wish, abort }
    this.#pursued = pursuit
    this.#exclusively(async () => {
      try {
        if (!abort.signal.aborted) await this.#pursue(wish, abort.signal)
      } finally {
        if (this.#pursued === pursuit) this.#pursued = null
      }
    })
  }

  /** The model that runs failed on a frame: on probation it goes, proven it is loaded afresh. */
  failed(): void {
    if (this.#probation) this.#judge()
    else if (!this.#reloadTimer && !this.#stopping) this.#reloadTimer = setTimeout(() => void this.#reload(), reloadAfter)
  }

  /** Beside the chain of work: a download may take hours, and the cameras do not wait for it. The proven slot is never written to. */
  async #reload(): Promise<void> {
    const { current } = this
    this.#reloadTimer = undefined
    if (!current || this.#probation || this.#stopping) return
    try {
      const fresh = await this.#load(current.slot)
      if (this.current !== current || this.#stopping) return await fresh.detector.stop()
      await this.#switchTo(fresh)
      await this.runner.settle()
    } catch (error) {
      this.#options.log.error({ cause: wordsOf(error) }, 'the model cannot be loaded again; trying the other slot')
      this.#exclusively(() => this.#resume())
    }
  }

  #exclusively(step: () => Promise<void>): void {
    this.#work = this.#work.then(step).catch((error: unknown) => {
      this.#options.log.error({ cause: wordsOf(error) }, 'a step of the model update failed')
    })
  }

  /** Loads the slot that should run, or the other one. */
  async #resume(): Promise<void> {
    const { store, log } = this.#options
    const { trial, proven } = store.journal
    if (trial) {
      try {
        // The proven one first, so that it is the former one: ready to take over.
        const former = proven && (await this.#load(proven).catch(() => null))
        if (former) await this.runner.switchTo(former)
        await this.#switchTo(await this.#load(trial.slot))
        this.#startProbation()
        return
      } catch (error) {
        await this.#endTrial('rolled-back', `it could not be loaded again: ${wordsOf(error)}`)
      }
    }
    const order: (Slot | null)[] = [store.journal.proven, store.journal.proven === 'a' ? 'b' : 'a']
    for (const slot of order) {
      if (!slot || !store.journal.slots[slot]) continue
      try {
        await this.#switchTo(await this.#load(slot))
        await this.runner.settle()
        if (slot !== store.journal.proven) await store.setProven(slot)
        return
      } catch (error) {
        log.error({ slot, cause: wordsOf(error) }, 'a model on disk does not run any more')
      }
    }
    await this.#switchTo(null)
    await this.runner.settle()
  }

  async #load(slot: Slot): Promise<LoadedModel> {
    const { store, threads, publicKey } = this.#options
    const held = store.journal.slots[slot]
    if (!held) throw new MuninnError('NOT_FOUND', `slot ${slot} is empty`)
    if (!(await store.isWhole(slot))) throw new MuninnError('BAD_HASH', `the file in slot ${slot} is damaged`)
    const manifest = verifyManifest(held.signed, publicKey)
    return loadModel({ path: store.path(slot), sha256: held.sha256, manifest, slot, threads })
  }

  async #switchTo(model: LoadedModel | null): Promise<void> {
    await this.runner.switchTo(model)
    this.emit('switched', model)
  }

  async #pursue(wish: Wish, signal: AbortSignal): Promise<void> {
    const { store, publicKey, log } = this.#options
    const { trial, outcome } = store.journal
    const claimed = claimedModel(wish.signed)
    if (trial?.deployment === wish.deployment) return
    if (outcome?.deployment === wish.deployment && outcome.model === claimed) {
      const stillThere = outcome.state !== 'confirmed' || this.current?.sha256 === outcome.model
      if (stillThere) {
        this.#say(this.#reportOf(outcome))
        return
      }
    }
    try {
      const manifest = verifyManifest(wish.signed, publicKey)
      if (trial && store.journal.slots[trial.slot]?.sha256 === manifest.file.sha256) {
        await store.renameTrial(wish.deployment, wish.probationSeconds)
        this.#startProbation()
        return
      }
      if (trial) await this.#abandonTrial()
      const { current } = this
      if (current?.sha256 === manifest.file.sha256) return await this.#adoptManifest(current, manifest, wish)
      await this.#bringIn(manifest, wish, signal)
    } catch (error) {
      if (error === superseded) return
      log.warn({ deployment: wish.deployment, cause: wordsOf(error) }, 'a model was refused')
      await this.#finish({ deployment: wish.deployment, model: claimed, state: 'refused', reason: wordsOf(error) })
    }
  }

  /** The file runs already; only what the manifest says of it may be new. */
  async #adoptManifest(current: LoadedModel, manifest: ModelManifest, wish: Wish): Promise<void> {
    await this.#options.store.restate(current.slot, wish.signed)
    this.runner.restate(manifest)
    this.emit('switched', this.current)
    await this.#finish({
      deployment: wish.deployment,
      model: current.sha256,
      state: 'confirmed',
      reason: inEnglish(sentence('update.running-already')),
    })
  }

  async #bringIn(manifest: ModelManifest, wish: Wish, signal: AbortSignal): Promise<void> {
    const { store, threads } = this.#options
    const { sha256 } = manifest.file
    const say = (state: DeploymentState, progress = 0, reason = '') =>
      this.#tell({ deployment: wish.deployment, model: sha256, state, progress, reason })
    await store.tidy([sha256, ...(manifest.selfTest ? [manifest.selfTest.sha256] : [])])

    await store.offer(sha256)
    const file = await this.#fetch(manifest, signal, say)
    const selfTest = manifest.selfTest && (await this.#fetchSelfTest(manifest.selfTest, signal))
    say('verifying', 0, inEnglish(sentence('update.verified')))

    signal.throwIfAborted()
    say('self-test')
    const lives = await store.attempt(wish.deployment)
    if (lives > maxLives) throw new MuninnError('BAD_MODEL', inEnglish(sentence('update.died', { count: lives - 1 })))
    // The slot is where it will be; it is read from `incoming` until then, and the runtime has read it whole.
    const fresh = await loadModel({ path: file, sha256, manifest, slot: freeSlot(store.journal), threads })
    try {
      await runSelfTest(fresh.detector, manifest, selfTest)
      await store.attemptSurvived()
      signal.throwIfAborted()
      await store.install(file, {
        manifest,
        signed: wish.signed,
        deployment: wish.deployment,
        probationSeconds: wish.probationSeconds,
      })
    } catch (error) {
      await fresh.detector.stop()
      throw error
    }
    await this.#switchTo(fresh)
    say('probation')
    this.#startProbation()
  }

  async #fetch(
    manifest: ModelManifest,
    signal: AbortSignal,
    say: (state: DeploymentState, progress: number, reason?: string) => void,
  ): Promise<string> {
    const { store, source } = this.#options
    let told = 0
    say('fetching', 0)
    return fetchFile({
      file: manifest.file,
      source,
      folder: store.incoming,
      signal,
      onProgress: (share) => {
        if (share - told < 0.1) return
        told = share
        say('fetching', share)
      },
      onWaiting: (missing) => say('fetching', told, inEnglish(sentence('update.waiting', { count: missing }))),
    })
  }

  async #fetchSelfTest(file: { sha256: string; bytes: number }, signal: AbortSignal): Promise<Uint8Array> {
    const { store, source } = this.#options
    return readFile(await fetchFile({ file, source, folder: store.incoming, signal, onProgress: () => {} }))
  }

  #startProbation(): void {
    this.#stopProbation()
    const timer = setInterval(() => this.#judge(), tick)
    this.#probation = { since: performance.now(), timer, ending: false }
  }

  #stopProbation(): void {
    clearInterval(this.#probation?.timer)
    this.#probation = null
  }

  #judge(): void {
    const probation = this.#probation
    const { trial } = this.#options.store.journal
    if (!probation || !trial || probation.ending) return
    const { seen } = this.runner
    const seconds = (performance.now() - probation.since) / 1000
    const verdict = judgeProbation({ ...seen, seconds, probationSeconds: trial.seconds })
    const model = this.current?.sha256
    if (verdict.state === 'going-on') {
      const last = this.#last?.state === 'probation' ? this.#last.progress : -1
      if (model && verdict.progress - last >= 0.1) {
        this.#tell({ deployment: trial.deployment, model, state: 'probation', progress: verdict.progress, reason: '' })
      }
      return
    }
    probation.ending = true
    this.#exclusively(async () => {
      // Something else may have been asked for, and taken up, in the meantime.
      if (this.#probation !== probation) return
      if (verdict.state === 'passed') {
        await this.#endTrial('confirmed', inEnglish(sentence('update.without-fault', { count: seen.frames })))
        await this.runner.settle()
      } else await this.#rollBack(verdict.reason)
    })
  }

  async #rollBack(reason: string): Promise<void> {
    this.#options.log.warn({ reason }, 'the new model goes back')
    this.#stopProbation()
    await this.#backToProven()
    await this.#endTrial('rolled-back', reason)
  }

  async #abandonTrial(): Promise<void> {
    this.#stopProbation()
    await this.#options.store.abandonTrial()
    await this.#backToProven()
  }

  async #backToProven(): Promise<void> {
    const { proven } = this.#options.store.journal
    if (await this.runner.goBack()) this.emit('switched', this.current)
    else await this.#switchTo(proven ? await this.#load(proven).catch(() => null) : null)
  }

  async #endTrial(state: Outcome['state'], reason: string): Promise<void> {
    const { trial, slots } = this.#options.store.journal
    this.#stopProbation()
    if (!trial) return
    await this.#finish({ deployment: trial.deployment, model: slots[trial.slot]!.sha256, state, reason })
  }

  async #finish(end: Omit<Outcome, 'at'>): Promise<void> {
    const outcome = { ...end, reason: end.reason.slice(0, 1000), at: Date.now() }
    await this.#options.store.end(outcome)
    this.#say(this.#reportOf(outcome))
  }

  #reportOf({ deployment, model, state, reason, at }: Outcome): Deployment {
    return { v: 1, deployment, model, state, progress: 1, reason, running: this.#runningModel(), at }
  }

  #runningModel(): string | null {
    const slot = runningSlot(this.#options.store.journal)
    return this.current?.sha256 ?? (slot && (this.#options.store.journal.slots[slot]?.sha256 ?? null))
  }

  #tell(step: Pick<Deployment, 'deployment' | 'model' | 'state' | 'progress' | 'reason'>): void {
    this.#say({ v: 1, ...step, running: this.#runningModel(), at: Date.now() })
  }

  #say(report: Deployment): void {
    this.#last = report
    this.emit('report', report)
  }
}
