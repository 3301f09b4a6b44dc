/** What a rollout does next: which devices it asks, when it pauses, when it is done. Pure; effects are in `rollouts.ts`. */
import { few, quote, say, type Words } from '../../protocol/sentences.ts'
import type { DeploymentState } from '../../protocol/topics.ts'

/** `waiting`: not asked yet. `asked`: asked, and nothing heard of it since. The rest is what the device reports. */
export type RolloutDeviceState = 'waiting' | 'asked' | DeploymentState

export interface RolloutDevice {
  readonly device: string
  readonly state: RolloutDeviceState
  readonly reason: string
  readonly online: boolean
}

export interface RolloutPlan {
  readonly state: 'running' | 'paused' | 'finished' | 'rolled-back'
  /** Index of the wave that runs. */
  readonly wave: number
  readonly waves: readonly (readonly RolloutDevice[])[]
}

export type RolloutStep =
  | { readonly kind: 'wait'; readonly reason: Words }
  | { readonly kind: 'ask'; readonly wave: number; readonly devices: readonly string[] }
  | { readonly kind: 'pause'; readonly reason: Words }
  | { readonly kind: 'finish'; readonly reason: Words }

/**
 * The first wave proves the model; a later one starts when every device of the one before has confirmed it. One that is offline
 * does not hold the others up once any device has confirmed: it was asked, and does what is desired when it comes back.
 */
export function nextStep({ state, wave, waves }: RolloutPlan): RolloutStep {
  if (state !== 'running') return { kind: 'wait', reason: [] }
  const all = waves.flat()
  const failed = all.find((device) => device.state === 'refused' || device.state === 'rolled-back')
  if (failed)
    return {
      kind: 'pause',
      reason: [
        say(failed.state === 'refused' ? 'rollout.refused' : 'rollout.device-rolled-back', { device: failed.device }),
        ...(failed.reason ? quote(failed.reason) : [say('rollout.no-reason')]),
      ],
    }

  const proven = all.some((device) => device.state === 'confirmed')
  const current = waves[wave] ?? []
  const unasked = current.filter((device) => device.state === 'waiting')
  if (unasked.length > 0) return { kind: 'ask', wave, devices: unasked.map(({ device }) => device) }
  const open = current.filter((device) => device.state !== 'confirmed')
  const blocking = open.filter((device) => device.online || !proven)
  if (blocking.length > 0) return { kind: 'wait', reason: waitingFor(blocking) }

  const next = waves.findIndex((devices, index) => index > wave && devices.length > 0)
  if (next >= 0) return { kind: 'ask', wave: next, devices: waves[next]!.map(({ device }) => device) }
  const away = all.filter((device) => device.state !== 'confirmed').map(({ device }) => device)
  if (all.length === 0) return { kind: 'finish', reason: [say('rollout.no-device')] }
  return { kind: 'finish', reason: [away.length > 0 ? say('rollout.away', { devices: few(away) }) : say('rollout.all')] }
}

/** States in which a device that was asked may stand; the others end the waiting. */
const underWay = ['asked', 'fetching', 'verifying', 'self-test', 'probation'] as const

function waitingFor(devices: readonly RolloutDevice[]): Words {
  const named = (those: readonly RolloutDevice[]) => ({ devices: few(those.map(({ device }) => device)) })
  const here = underWay.map((each) => [each, devices.filter(({ state, online }) => online && state === each)] as const)
  const away = devices.filter(({ online }) => !online)
  return [
    ...here.flatMap(([each, those]) => (those.length > 0 ? [say(`rollout.waiting-${each}`, named(those))] : [])),
    ...(away.length > 0 ? [say('rollout.waiting-offline', named(away))] : []),
  ]
}

/**
 * Waves of a new rollout: canaries first, then everyone else.
 * @param devices those of the fleet; online ones are the better canaries, as they prove it now
 * @param chosen canaries that a person named, else `count` are taken
 */
export function planWaves(
  devices: readonly { readonly id: string; readonly online: boolean }[],
  { chosen, count }: { chosen?: readonly string[]; count: number },
): string[][] {
  const byPresence = [...devices]
    .sort((a, b) => Number(b.online) - Number(a.online) || (a.id < b.id ? -1 : 1))
    .map(({ id }) => id)
  const canaries = chosen && chosen.length > 0 ? byPresence.filter((id) => chosen.includes(id)) : byPresence.slice(0, count)
  const rest = byPresence.filter((id) => !canaries.includes(id))
  return [canaries, rest].filter((wave) => wave.length > 0)
}
