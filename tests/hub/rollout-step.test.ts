import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nextStep, planWaves, type RolloutDevice, type RolloutPlan, type RolloutStep } from '../../hub/rollouts/next-step.ts'
import { inEnglish, quote, say } from '../../protocol/sentences.ts'

const device = (name: string, state: RolloutDevice['state'], online = true, reason = ''): RolloutDevice => ({
  device: name,
  state,
  online,
  reason,
})
const plan = (waves: RolloutDevice[][], wave = 0, state: RolloutPlan['state'] = 'running'): RolloutPlan => ({
  state,
  wave,
  waves,
})

const cases: { name: string; plan: RolloutPlan; step: Partial<RolloutStep>; says?: RegExp }[] = [
  {
    name: 'asks the canaries first',
    plan: plan([[device('a', 'waiting')], [device('b', 'waiting')]]),
    step: { kind: 'ask', wave: 0, devices: ['a'] },
  },
  {
    name: 'waits while a canary works on it',
    plan: plan([[device('a', 'probation')], [device('b', 'waiting')]]),
    step: { kind: 'wait' },
    says: /end of probation: a\./,
  },
  {
    name: 'asks the next wave when every canary has confirmed',
    plan: plan([[device('a', 'confirmed'), device('c', 'confirmed')], [device('b', 'waiting')]]),
    step: { kind: 'ask', wave: 1, devices: ['b'] },
  },
  {
    name: 'waits for the second of two canaries',
    plan: plan([[device('a', 'confirmed'), device('c', 'fetching')], [device('b', 'waiting')]]),
    step: { kind: 'wait' },
  },
  {
    name: 'pauses when a canary rolls back',
    plan: plan([[device('a', 'rolled-back', true, 'NaN scores')], [device('b', 'waiting')]]),
    step: { kind: 'pause', reason: [say('rollout.device-rolled-back', { device: 'a' }), ...quote('NaN scores')] },
  },
  {
    name: 'pauses when a device of a later wave refuses',
    plan: plan([[device('a', 'confirmed')], [device('b', 'refused', true, 'bad signature'), device('c', 'fetching')]], 1),
    step: { kind: 'pause', reason: [say('rollout.refused', { device: 'b' }), ...quote('bad signature')] },
  },
  {
    name: 'waits for canaries that are all offline: nothing is proved yet',
    plan: plan([[device('a', 'asked', false)], [device('b', 'waiting')]]),
    step: { kind: 'wait' },
    says: /offline: a\./,
  },
  {
    name: 'goes on without an offline canary once another confirmed',
    plan: plan([[device('a', 'asked', false), device('c', 'confirmed')], [device('b', 'waiting')]]),
    step: { kind: 'ask', wave: 1, devices: ['b'] },
  },
  {
    name: 'finishes without a device that is offline',
    plan: plan([[device('a', 'confirmed')], [device('b', 'asked', false)]], 1),
    step: { kind: 'finish' },
    says: /Offline.*: b\./,
  },
  {
    name: 'finishes when all have confirmed',
    plan: plan([[device('a', 'confirmed')], [device('b', 'confirmed')]], 1),
    step: { kind: 'finish' },
  },
  { name: 'finishes at once without devices', plan: plan([]), step: { kind: 'finish' } },
  {
    name: 'asks a device again that went back to waiting (resumed)',
    plan: plan([[device('a', 'confirmed')], [device('b', 'waiting'), device('c', 'confirmed')]], 1),
    step: { kind: 'ask', wave: 1, devices: ['b'] },
  },
  {
    name: 'does nothing while paused',
    plan: plan([[device('a', 'confirmed')], [device('b', 'waiting')]], 0, 'paused'),
    step: { kind: 'wait' },
  },
  { name: 'does nothing once finished', plan: plan([[device('a', 'rolled-back')]], 0, 'finished'), step: { kind: 'wait' } },
]

describe('next rollout step', () => {
  for (const each of cases) {
    it(each.name, () => {
      const step = nextStep(each.plan)
      for (const [key, value] of Object.entries(each.step)) assert.deepEqual(step[key as keyof RolloutStep], value)
      if (each.says) assert.match('reason' in step ? inEnglish(step.reason) : '', each.says)
    })
  }
})

describe('waves of a rollout', () => {
  const fleet = [
    { id: 'a', online: false },
    { id: 'b', online: true },
    { id: 'c', online: true },
  ]
  it('chooses canaries that are online', () => {
    assert.deepEqual(planWaves(fleet, { count: 1 }), [['b'], ['c', 'a']])
  })
  it('takes the canaries a person chose', () => {
    assert.deepEqual(planWaves(fleet, { chosen: ['a'], count: 1 }), [['a'], ['b', 'c']])
  })
  it('has one wave when every device is a canary', () => {
    assert.deepEqual(planWaves(fleet, { count: 9 }), [['b', 'c', 'a']])
  })
  it('has no wave without devices', () => {
    assert.deepEqual(planWaves([], { count: 1 }), [])
  })
})
