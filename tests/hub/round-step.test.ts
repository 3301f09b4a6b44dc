import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nextRoundStep, type RoundFacts, type RoundStep } from '../../hub/rounds/next-round-step.ts'
import { inEnglish, quote } from '../../protocol/sentences.ts'

const facts = (change: Partial<RoundFacts>): RoundFacts => ({
  state: 'labelling',
  samples: 50,
  labels: 40,
  heldOut: 12,
  settings: {
    labelsPerRound: 40,
    autoTrain: true,
    autoDeploy: false,
    gate: { minimumGain: 0.01, tolerance: 0, maximumClassLoss: 0.1, minimumImages: 10, firstModelMinimum: 0.1 },
  },
  run: null,
  rollout: null,
  ...change,
})
const run = (change: Partial<NonNullable<RoundFacts['run']>>): RoundFacts['run'] => ({
  state: 'running',
  phase: 'training',
  gate: null,
  error: null,
  ...change,
})
const automatic = { ...facts({}).settings, autoDeploy: true }
const passed = { passed: true, reasons: quote('better'), at: 1 }
const failed = { passed: false, reasons: quote('worse'), at: 1 }

const cases: { name: string; facts: RoundFacts; step: Partial<RoundStep>; says?: RegExp }[] = [
  {
    name: 'mines until a hard frame came',
    facts: facts({ state: 'mining', samples: 0, labels: 0 }),
    step: { kind: 'stay', state: 'mining' },
  },
  {
    name: 'waits for labels',
    facts: facts({ labels: 30 }),
    step: { kind: 'stay', state: 'labelling' },
    says: /10 more labels to train on/,
  },
  {
    name: 'says that held-out labels are missing',
    facts: facts({ heldOut: 4 }),
    step: { kind: 'stay', state: 'labelling' },
    says: /6 more labels on held-out/,
  },
  { name: 'trains when there are enough of both', facts: facts({}), step: { kind: 'train' } },
  {
    name: 'leaves training to people when told so',
    facts: facts({ settings: { ...facts({}).settings, autoTrain: false } }),
    step: { kind: 'stay', state: 'labelling' },
    says: /by hand/,
  },
  {
    name: 'waits for a trainer',
    facts: facts({ run: run({ state: 'queued' }) }),
    step: { kind: 'stay', state: 'training' },
    says: /trainer/,
  },
  { name: 'trains while the trainer does', facts: facts({ run: run({}) }), step: { kind: 'stay', state: 'training' } },
  {
    name: 'is at the gate while the trainer compares',
    facts: facts({ run: run({ phase: 'evaluating' }) }),
    step: { kind: 'stay', state: 'gate' },
  },
  {
    name: 'stops when training failed',
    facts: facts({ run: run({ state: 'failed', error: quote('out of memory') }) }),
    step: { kind: 'end', state: 'stopped' },
    says: /out of memory/,
  },
  {
    name: 'stops when training was cancelled',
    facts: facts({ run: run({ state: 'cancelled' }) }),
    step: { kind: 'end', state: 'stopped' },
  },
  {
    name: 'stops when the gate says no',
    facts: facts({ run: run({ state: 'finished', gate: failed }), settings: automatic }),
    step: { kind: 'end', state: 'stopped' },
    says: /worse/,
  },
  {
    name: 'waits for the manager when the gate says yes',
    facts: facts({ run: run({ state: 'finished', gate: passed }) }),
    step: { kind: 'stay', state: 'waiting' },
  },
  {
    name: 'deploys by itself when told so',
    facts: facts({ run: run({ state: 'finished', gate: passed }), settings: automatic }),
    step: { kind: 'deploy' },
  },
  {
    name: 'follows the rollout',
    facts: facts({ run: run({ state: 'finished', gate: passed }), rollout: { state: 'running', reason: [] } }),
    step: { kind: 'stay', state: 'rollout' },
  },
  {
    name: 'stays with a paused rollout',
    facts: facts({ rollout: { state: 'paused', reason: quote('a rolled back') } }),
    step: { kind: 'stay', state: 'rollout' },
    says: /Paused: a rolled back/,
  },
  {
    name: 'is done when the rollout finished',
    facts: facts({ rollout: { state: 'finished', reason: quote('all') } }),
    step: { kind: 'end', state: 'done' },
  },
  {
    name: 'stops when the rollout went back',
    facts: facts({ rollout: { state: 'rolled-back', reason: quote('too slow') } }),
    step: { kind: 'end', state: 'stopped' },
    says: /too slow/,
  },
  {
    name: 'follows a rollout that a person started after a failed gate',
    facts: facts({ run: run({ state: 'finished', gate: failed }), rollout: { state: 'running', reason: [] } }),
    step: { kind: 'stay', state: 'rollout' },
  },
]

describe('next step of a round', () => {
  for (const each of cases) {
    it(each.name, () => {
      const step = nextRoundStep(each.facts)
      for (const [key, value] of Object.entries(each.step)) assert.deepEqual(step[key as keyof RoundStep], value)
      if (each.says) assert.match('note' in step ? inEnglish(step.note) : '', each.says)
    })
  }
})
