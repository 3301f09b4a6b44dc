/** Where a round of the loop goes next, from what is known of it. Pure; effects are in `rounds.ts`. */
import type { Round, Settings } from '../../protocol/http/fleet.ts'
import type { GateResult } from '../../protocol/http/models.ts'
import type { RunProgress, RunState } from '../../protocol/http/runs.ts'
import { say, type Words } from '../../protocol/sentences.ts'

export type RoundState = Round['state']

export interface RoundFacts {
  readonly state: RoundState
  /** Hard (not audit) samples since the round began. */
  readonly samples: number
  /** Accepted labels of the training split since the last snapshot. */
  readonly labels: number
  /** Accepted labels of the held-out split, all of them. */
  readonly heldOut: number
  readonly settings: Pick<Settings, 'labelsPerRound' | 'autoTrain' | 'autoDeploy' | 'gate'>
  readonly run: {
    readonly state: RunState
    readonly phase: RunProgress['phase'] | null
    readonly gate: GateResult | null
    readonly error: Words | null
  } | null
  readonly rollout: { readonly state: 'running' | 'paused' | 'finished' | 'rolled-back'; readonly reason: Words } | null
}

export type RoundStep =
  /** Nothing to do but to show `state` and `note` (what it waits for). */
  | { readonly kind: 'stay'; readonly state: RoundState; readonly note: Words }
  | { readonly kind: 'train' }
  | { readonly kind: 'deploy' }
  /** The round is over; the next one begins. */
  | { readonly kind: 'end'; readonly state: 'done' | 'stopped'; readonly note: Words }

const stay = (state: RoundState, ...note: Words): RoundStep => ({ kind: 'stay', state, note })

export function nextRoundStep(facts: RoundFacts): RoundStep {
  if (facts.state === 'done' || facts.state === 'stopped') return stay(facts.state)
  if (facts.rollout) return fromRollout(facts.rollout)
  if (facts.run) return fromRun(facts.run, facts.settings)
  return fromLabels(facts)
}

function fromLabels({ samples, labels, heldOut, settings }: RoundFacts): RoundStep {
  if (samples === 0 && labels === 0) return stay('mining', say('round.mining'))
  const missing = settings.labelsPerRound - labels
  const missingHeldOut = settings.gate.minimumImages - heldOut
  const wants = [
    ...(missing > 0 ? [say('round.needs-labels', { count: missing })] : []),
    ...(missingHeldOut > 0 ? [say('round.needs-held-out', { count: missingHeldOut })] : []),
  ]
  if (wants.length > 0) return stay('labelling', ...wants)
  if (!settings.autoTrain) return stay('labelling', say('round.by-hand'))
  return { kind: 'train' }
}

function fromRun(run: NonNullable<RoundFacts['run']>, settings: RoundFacts['settings']): RoundStep {
  switch (run.state) {
    case 'queued':
      return stay('training', say('round.no-trainer'))
    case 'running':
      return run.phase === 'evaluating' ? stay('gate', say('round.evaluating')) : stay('training')
    case 'failed':
      return { kind: 'end', state: 'stopped', note: [say('round.failed'), ...(run.error ?? [])] }
    case 'cancelled':
      return { kind: 'end', state: 'stopped', note: [say('round.cancelled')] }
    case 'finished':
      if (!run.gate) return stay('gate')
      if (!run.gate.passed)
        return { kind: 'end', state: 'stopped', note: [say('round.held-back'), ...run.gate.reasons.slice(0, 1)] }
      return settings.autoDeploy ? { kind: 'deploy' } : stay('waiting', say('round.passed'))
  }
}

function fromRollout({ state, reason }: NonNullable<RoundFacts['rollout']>): RoundStep {
  switch (state) {
    case 'running':
      return stay('rollout', ...reason)
    case 'paused':
      return stay('rollout', say('round.paused'), ...reason)
    case 'finished':
      return { kind: 'end', state: 'done', note: reason }
    case 'rolled-back':
      return { kind: 'end', state: 'stopped', note: [say('round.rolled-back'), ...reason] }
  }
}
