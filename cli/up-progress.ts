/** Tells in the terminal, in one line a change, where the loop stands. */
import { Overview } from '../protocol/http/fleet.ts'
import type { HubApi } from '../trainer/hub-client/hub-api.ts'

/** Asks the hub every few seconds and says what changed; a hub that is away for a moment is asked again. */
export function followLoop(api: HubApi, say: (words: string) => void): { stop(): void } {
  let last = ''
  let finished: number | null = null
  const tell = (words: string) => say(`${new Date().toLocaleTimeString()}  ${words}`)
  const timer = setInterval(() => {
    api.get('/api/overview', Overview).then(
      (overview) => {
        // A round that ended is told though the next one begins in the same moment; those of earlier starts are not told again.
        const done = overview.rounds.filter(({ state }) => state === 'done').sort((a, b) => a.number - b.number)
        for (const round of done) if (finished !== null && round.number > finished) tell(result(round))
        finished = done.at(-1)?.number ?? 0
        const words = describe(overview)
        if (words !== last) tell(words)
        last = words
      },
      () => {},
    )
  }, 5000)
  return { stop: () => clearInterval(timer) }
}

function result({ number, minutes, mAP50Before, mAP50After, labels }: Overview['rounds'][number]): string {
  const points = (value: number | null) => (value === null ? '?' : value.toFixed(3))
  return `round ${number}: done in ${minutes?.toFixed(1) ?? '?'} min with ${labels} labels; mAP50 ${points(mAP50Before)} -> ${points(mAP50After)}`
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
  switch (round.state) {
    case 'mining':
    case 'labelling':
      return `round ${round.number}: ${round.state}, ${labels}; ${model}; ${fleet}`
    default:
      return `round ${round.number}: ${round.state}; ${model}; ${fleet}`
  }
}
