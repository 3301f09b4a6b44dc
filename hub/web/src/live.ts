/** Server-sent events: each says what changed, and what shows it is fetched again. */
import { type QueryClient, useQueryClient } from '@tanstack/react-query'
import { useEffect } from 'react'
import type { HubEvent } from '../../../protocol/http/fleet.ts'

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

function listen(queries: QueryClient): () => void {
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
  const source = new EventSource('/api/events')
  source.onmessage = ({ data }) => {
    const { kind } = JSON.parse(data) as HubEvent
    for (const key of affected[kind] ?? []) waiting.add(key)
    timer ??= setTimeout(flush, gather)
  }
  // After a break everything may have changed.
  source.onopen = () => {
    for (const keys of Object.values(affected)) for (const key of keys) waiting.add(key)
    timer ??= setTimeout(flush, gather)
  }
  return () => {
    closed = true
    clearTimeout(timer)
    source.close()
  }
}

export function useLive(): void {
  const queries = useQueryClient()
  useEffect(() => listen(queries), [queries])
}
