/** The demo street as a camera: `demo://street?seed=1&day=60`, by day first, then dusk and rain in turn. */
import { setTimeout as sleep } from 'node:timers/promises'
import { MuninnError } from '../../protocol/errors.ts'
import { type Condition, renderStreet } from '../demo/street.ts'
import type { Source, SourceOptions } from './source.ts'

const defaultRate = 4
/** Seconds of dusk, then of rain. */
const spell = 30

/** The weather at a time since the camera began. */
export function conditionAt(seconds: number, daySeconds: number): Condition {
  if (seconds < daySeconds) return 'day'
  return Math.floor((seconds - daySeconds) / spell) % 2 === 0 ? 'dusk' : 'rain'
}

export async function* streetSource({ source, framesPerSecond, realTime }: SourceOptions): Source {
  const url = new URL(source)
  if (url.host !== 'street') throw new MuninnError('INVALID_INPUT', `${source}: demo://street is the only demo camera`)
  const seed = Number(url.searchParams.get('seed') ?? 1)
  const day = Number(url.searchParams.get('day') ?? 20)
  const rate = framesPerSecond || defaultRate
  const begun = performance.now()
  for (let index = 0; ; index++) {
    const seconds = realTime ? (performance.now() - begun) / 1000 : index / rate
    const { truth, ...picture } = await renderStreet({ seed, seconds, condition: conditionAt(seconds, day) })
    yield { capturedAt: Date.now(), picture: () => picture, dispose: () => {}, truth }
    const ahead = (index + 1) / rate - (performance.now() - begun) / 1000
    if (realTime && ahead > 0) await sleep(ahead * 1000)
  }
}
