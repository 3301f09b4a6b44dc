/** Server-sent events: each says what changed, and what shows it is fetched again. */
import { type QueryClient, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import type { HubEvent } from '../../../protocol/http/fleet.ts'
import { pulse } from '../../../protocol/http/pulse.ts'

const affected: Readonly<Record<HubEvent['kind'], readonly string[]>> = {
  sample: ['/api/overview', '/api/samples', '/api/tasks/counts'],
  task: ['/api/overview', '/api/samples', '/api/tasks/counts'],
  dataset: ['/api/datasets', '/api/overview'],
  run: ['/api/runs', '/api/overview'],
  model: ['/api/models', '/api/overview'],
  device: ['/api/devices', '/api/overview'],
  telemetry: ['/api/devices'],
  rollout: ['/api/rollouts', '/api/overview', '/api/models'],
  round: ['/api/overview', '/api/tasks/counts'],
  settings: ['/api/settings', '/api/overview'],
}

/** What no event is told of. */
const untold = ['/api/users', '/api/tokens']

/** A hub that is started anew is back within this: nobody need hear of it. */
const grace = 5_000

/** A stream that is silent for so long is dead: two pulses did not come, and half an interval is for a slow line. */
const silence = 2.5 * pulse.milliseconds

/** A burst of samples is one refresh, not a hundred. */
const gather = 400

/**
 * Fetches again what is shown of a path. What is under way when the event comes is waited for, since its answer may be older than the
 * event; cancelling it instead would lose the further page that somebody has just asked for.
 */
async function refresh(queries: QueryClient, path: string): Promise<void> {
  const queryKey = [path]
  const underWay = queries.getQueryCache().findAll({ queryKey, fetchStatus: 'fetching' })
  await Promise.allSettled(underWay.map((query) => query.promise))
  await queries.invalidateQueries({ queryKey }, { cancelRefetch: false })
}

/** @param tell is told since when nothing is heard of the hub, and null as soon as it is heard again */
function listen(queries: QueryClient, tell: (since: number | null) => void): () => void {
  const waiting = new Set<string>()
  let timer: ReturnType<typeof setTimeout> | undefined
  let closed = false
  // The next refresh waits for the answers to the last one: on a slow line, or with a large fleet, each would cancel the one before.
  const flush = async () => {
    const keys = [...waiting]
    waiting.clear()
    await Promise.allSettled(keys.map((key) => refresh(queries, key)))
    timer = closed || waiting.size === 0 ? undefined : setTimeout(flush, gather)
  }
  let lost: ReturnType<typeof setTimeout> | undefined
  let again: ReturnType<typeof setTimeout> | undefined
  let source: EventSource
  const lose = (since: number) => {
    lost ??= setTimeout(() => tell(since), grace)
  }
  // A laptop that slept may find this overdue though all is well: the new stream then opens within the grace, and nothing is told.
  const hear = () => {
    const heard = Date.now()
    clearTimeout(again)
    again = setTimeout(() => {
      lose(heard)
      source.close()
      open()
    }, silence)
  }
  const open = () => {
    source = new EventSource('/api/events')
    hear()
    source.addEventListener(pulse.event, hear)
    source.onmessage = ({ data }) => {
      hear()
      const { kind } = JSON.parse(data) as HubEvent
      for (const key of affected[kind] ?? []) waiting.add(key)
      timer ??= setTimeout(flush, gather)
    }
    // After a break everything may have changed.
    source.onopen = () => {
      hear()
      clearTimeout(lost)
      lost = undefined
      tell(null)
      for (const key of [...Object.values(affected).flat(), ...untold]) waiting.add(key)
      timer ??= setTimeout(flush, gather)
    }
    source.onerror = () => {
      lose(Date.now())
      if (source.readyState !== EventSource.CLOSED) return
      // What answered was no stream, as a proxy's "bad gateway": the browser gives up for good (WHATWG HTML, 9.2.3). Or nobody is signed in.
      clearTimeout(again)
      again = setTimeout(open, grace)
      void queries.invalidateQueries({ queryKey: ['/api/session'] })
    }
  }
  open()
  return () => {
    closed = true
    for (const each of [timer, lost, again]) clearTimeout(each)
    source.close()
  }
}

/** Keeps what is shown up to date. @returns since when nothing is heard of the hub; null while it is */
export function useLive(): number | null {
  const queries = useQueryClient()
  const [lostSince, setLostSince] = useState<number | null>(null)
  useEffect(() => listen(queries, setLostSince), [queries])
  return lostSince
}
