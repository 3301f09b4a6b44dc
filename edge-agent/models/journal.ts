/** What the two slots hold and which one runs, as pure steps; the store writes each step to disk before it takes effect. */
import { type Static, Type } from 'typebox'
import { type ModelManifest, SignedManifest } from '../../protocol/manifest.ts'
import { Sha256, Time } from '../../protocol/primitives.ts'

const strict = { additionalProperties: false }
const counter = Type.Integer({ minimum: 0 })

export const Slot = Type.Enum(['a', 'b'])
export type Slot = Static<typeof Slot>

/** A file in a slot. The hub's signature stays beside it: what runs after a restart was believed on this device. */
const Held = Type.Object({ sha256: Sha256, signed: SignedManifest }, strict)

/** How a deployment ended; it is not tried again. */
export const Outcome = Type.Object(
  {
    deployment: counter,
    model: Sha256,
    state: Type.Enum(['confirmed', 'refused', 'rolled-back']),
    reason: Type.String(),
    at: Time,
  },
  strict,
)
export type Outcome = Static<typeof Outcome>

export const Journal = Type.Object(
  {
    v: Type.Literal(1),
    /** The slot of the model that has proved itself. */
    proven: Type.Union([Slot, Type.Null()]),
    slots: Type.Object({ a: Type.Union([Held, Type.Null()]), b: Type.Union([Held, Type.Null()]) }, strict),
    /** The slot on probation, and how often the agent has started in it. */
    trial: Type.Union([
      Type.Object({ slot: Slot, deployment: counter, boots: counter, seconds: Type.Number({ minimum: 0 }) }, strict),
      Type.Null(),
    ]),
    /** The deployment whose file is being run for the first time: a file that kills the agent leaves this behind. */
    attempt: Type.Union([Type.Object({ deployment: counter, lives: counter }, strict), Type.Null()]),
    outcome: Type.Union([Outcome, Type.Null()]),
  },
  strict,
)
export type Journal = Static<typeof Journal>

/** A file that passed its self-test, and the probation it goes on. */
export interface NewModel {
  readonly manifest: ModelManifest
  readonly signed: SignedManifest
  readonly deployment: number
  readonly probationSeconds: number
}

/** Starts of the agent in one probation (or in one self-test) after which the model is to blame. */
export const maxLives = 3

export const emptyJournal: Journal = {
  v: 1,
  proven: null,
  slots: { a: null, b: null },
  trial: null,
  attempt: null,
  outcome: null,
}

/** The slot that runs: the one on probation, else the proven one. */
export const runningSlot = (journal: Journal): Slot | null => journal.trial?.slot ?? journal.proven

/** The slot that a new file may overwrite: never the proven one. */
export const freeSlot = (journal: Journal): Slot => (journal.proven === 'a' ? 'b' : 'a')

/** Before a new file is written: the slot holds nothing that may be trusted after a crash. */
export const emptied = (journal: Journal, slot: Slot): Journal => ({
  ...journal,
  trial: null,
  slots: { ...journal.slots, [slot]: null },
})

export const installed = (journal: Journal, slot: Slot, held: NewModel): Journal => ({
  ...journal,
  slots: { ...journal.slots, [slot]: { sha256: held.manifest.file.sha256, signed: held.signed } },
  trial: { slot, deployment: held.deployment, boots: 1, seconds: held.probationSeconds },
  attempt: null,
})

/** `confirmed` makes the slot that runs the proven one; `rolled-back` leaves it; `refused` never had a slot, so a probation goes on. */
export const ended = (journal: Journal, outcome: Outcome): Journal => ({
  ...journal,
  proven: outcome.state === 'confirmed' ? runningSlot(journal) : journal.proven,
  trial: outcome.state === 'refused' ? journal.trial : null,
  attempt: null,
  outcome,
})
