/** Two slots for model files and a journal, on disk: power may fail at any instruction and one slot still runs. */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { copyFile, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { SignedManifest } from '../../protocol/manifest.ts'
import { parseJson } from '../../protocol/parse.ts'
import { moveDurably, removeTorn, writeDurably } from '../storage/write-file.ts'
import { emptied, emptyJournal, ended, freeSlot, installed, Journal, type NewModel, type Outcome, type Slot } from './journal.ts'

/** @returns the SHA-256 of a file, read in pieces, or null when there is no such file */
export async function hashFile(path: string): Promise<string | null> {
  if (!existsSync(path)) return null
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}

export class ModelStore {
  readonly #folder: string
  readonly #log: Logger
  #journal: Journal = emptyJournal

  constructor({ folder, log }: { folder: string; log: Logger }) {
    this.#folder = folder
    this.#log = log
  }

  /** Where files are put together before they are believed. */
  get incoming(): string {
    return join(this.#folder, 'incoming')
  }

  get journal(): Journal {
    return this.#journal
  }

  path(slot: Slot): string {
    return join(this.#folder, `${slot}.onnx`)
  }

  async start(): Promise<void> {
    await mkdir(this.incoming, { recursive: true, mode: 0o700 })
    await removeTorn(this.#folder)
    const path = join(this.#folder, 'journal.json')
    if (existsSync(path)) {
      try {
        this.#journal = parseJson(Journal, await readFile(path, 'utf8'), path)
      } catch (error) {
        this.#log.error({ error }, 'the journal of models is damaged; it is put aside and the hub is asked again')
        await rename(path, `${path}.damaged`)
      }
    }
    const { trial } = this.#journal
    if (trial) await this.#write({ ...this.#journal, trial: { ...trial, boots: trial.boots + 1 } })
    // A crash between the file's arrival in the slot and the journal's line about it leaves a file that nobody vouches for.
    for (const slot of ['a', 'b'] as const) if (!this.#journal.slots[slot]) await rm(this.path(slot), { force: true })
  }

  /** A clean stop during probation is not the model's fault. */
  async stop(): Promise<void> {
    const { trial } = this.#journal
    if (trial) await this.#write({ ...this.#journal, trial: { ...trial, boots: Math.max(0, trial.boots - 1) } })
  }

  /** Whether the file in the slot is still the one that was put there. */
  async isWhole(slot: Slot): Promise<boolean> {
    const held = this.#journal.slots[slot]
    return held !== null && (await hashFile(this.path(slot))) === held.sha256
  }

  /** Notes that the file of this deployment is about to run for the first time. Returns how many lives of the agent did that. */
  async attempt(deployment: number): Promise<number> {
    const { attempt } = this.#journal
    const lives = attempt?.deployment === deployment ? attempt.lives + 1 : 1
    await this.#write({ ...this.#journal, attempt: { deployment, lives } })
    return lives
  }

  /** The self-test is over and did not kill the agent. */
  async attemptSurvived(): Promise<void> {
    if (this.#journal.attempt) await this.#write({ ...this.#journal, attempt: null })
  }

  /** Moves a proved file into the free slot and puts it on probation. */
  async install(file: string, held: NewModel): Promise<Slot> {
    const slot = freeSlot(this.#journal)
    await this.#write(emptied(this.#journal, slot))
    await moveDurably(file, this.path(slot))
    await this.#write(installed(this.#journal, slot, held))
    return slot
  }

  /** Writes how a deployment ended. */
  async end(outcome: Outcome): Promise<void> {
    await this.#write(ended(this.#journal, outcome))
  }

  /** The file on probation is asked for once more, by another deployment. */
  async renameTrial(deployment: number, seconds: number): Promise<void> {
    const { trial } = this.#journal
    if (trial) await this.#write({ ...this.#journal, trial: { ...trial, deployment, seconds } })
  }

  /** Puts a copy of the file among the incoming ones when a slot still has it: going back needs no download. */
  async offer(sha256: string): Promise<void> {
    const slot = freeSlot(this.#journal)
    // A copy that a crash cut short does not have the right hash, and is fetched after all.
    if (this.#journal.slots[slot]?.sha256 === sha256) await copyFile(this.path(slot), join(this.incoming, sha256)).catch(() => {})
  }

  /** Ends a probation without a verdict: something else was asked for. */
  async abandonTrial(): Promise<void> {
    await this.#write({ ...this.#journal, trial: null })
  }

  /** The same file with another manifest: thresholds may have changed. */
  async restate(slot: Slot, signed: SignedManifest): Promise<void> {
    const held = this.#journal.slots[slot]
    if (held) await this.#write({ ...this.#journal, slots: { ...this.#journal.slots, [slot]: { ...held, signed } } })
  }

  /** Another slot is the proven one from now on, or none: the file of the former no longer runs here (its disk block died, say). */
  async setProven(slot: Slot | null): Promise<void> {
    await this.#write({ ...this.#journal, proven: slot, trial: null })
  }

  /** Removes what earlier downloads left. */
  async tidy(keep: readonly string[]): Promise<void> {
    for (const name of await readdir(this.incoming)) {
      if (!keep.some((sha256) => name.startsWith(sha256))) await rm(join(this.incoming, name), { force: true })
    }
  }

  async #write(journal: Journal): Promise<void> {
    await writeDurably(join(this.#folder, 'journal.json'), JSON.stringify(journal, null, 2))
    this.#journal = journal
  }
}
