/** Tells in the terminal, in one line a change, where the loop stands. */
import { Overview } from '../protocol/http/fleet.ts'
import type { HubApi } from '../trainer/hub-client/hub-api.ts'

/** Asks the hub every few seconds and says what changed; a hub that is away for a moment is asked again. */
export function followLoop(api: HubApi, say: (words: string) => void): { stop(): void } {
  let last = ''
  const timer = setInterval(() => {
    api.get('/api/overview', Overview).then(
      (overview) => {
        const words = describe(overview)
        if (words !== last) say(`${new Date().toLocaleTimeString()}  ${words}`)
        last = words
      },
      () => {},
    )
  }, 5000)
  return { stop: () => clearInterval(timer) }
}

function describe({ rounds, queue, champion, devices }: Overview): string {
  const round = rounds.reduce<Overview['rounds'][number] | undefined>(
    (latest, each) => (!latest || each.number > latest.number ? each : latest),
    undefined,
  )
  const fleet = `${devices.online} of ${devices.total} devices online`
  if (!round) return `${fleet}; no hard frames yet`
  const model = champion ? `champion ${champion.name} v${champion.version}` : 'no model yet'
  const labels = `${queue.sinceSnapshot} of ${queue.needed} labels`
  const points = (value: number | null) => (value === null ? '?' : value.toFixed(3))
  switch (round.state) {
    case 'done':
      return `round ${round.number}: done in ${round.minutes?.toFixed(1) ?? '?'} min; mAP50 ${points(round.mAP50Before)} -> ${points(round.mAP50After)}; ${model}`
    case 'mining':
    case 'labelling':
      return `round ${round.number}: ${round.state}, ${labels}; ${model}; ${fleet}`
    default:
      return `round ${round.number}: ${round.state}; ${model}; ${fleet}`
  }
}
