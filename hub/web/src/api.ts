/** The hub's HTTP API for the page: the session cookie signs, answers are typed by the protocol, errors carry the hub's own words. */
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import type { Static } from 'typebox'
import type { DatasetVersion } from '../../../protocol/http/datasets.ts'
import type {
  Device,
  DevicePage,
  Enrolment,
  Overview,
  Previews,
  Rollout,
  RolloutSummary,
  Settings,
} from '../../../protocol/http/fleet.ts'
import type { HistoryEntry, LeasedTasks, QueueCounts, SamplePage, SampleView } from '../../../protocol/http/labelling.ts'
import type { ModelVersion } from '../../../protocol/http/models.ts'
import type { Logs, Metrics, Run } from '../../../protocol/http/runs.ts'
import type { Session, Token, User } from '../../../protocol/http/session.ts'
import type { Words } from '../../../protocol/sentences.ts'

export class ApiError extends Error {
  readonly code: string
  readonly status: number
  /** The message as sentences, where the hub gave it so. */
  readonly said: Words | undefined
  constructor(code: string, message: string, status: number, said?: Words) {
    super(message)
    this.code = code
    this.status = status
    this.said = said
  }
}

/** A question without an answer for so long is asked again; live updates wait for those that are under way. */
const patience = 30_000

/** @throws ApiError with the hub's code and words; UNREACHABLE when there is no hub */
export async function call<T>(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<T> {
  let response: Response
  let text: string
  try {
    response = await fetch(path, {
      method,
      credentials: 'same-origin',
      ...(method === 'GET' && { signal: AbortSignal.timeout(patience) }),
      ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
    text = await response.text()
  } catch {
    throw new ApiError('UNREACHABLE', 'the hub does not answer', 0)
  }
  if (response.status === 204) return undefined as T
  let told: unknown = null
  try {
    told = text === '' ? undefined : JSON.parse(text)
  } catch {
    throw new ApiError('INTERNAL', text.slice(0, 200), response.status)
  }
  if (!response.ok) {
    const { code, message, said } = (told ?? {}) as { code?: string; message?: string; said?: Words }
    throw new ApiError(code ?? 'INTERNAL', message ?? response.statusText, response.status, said)
  }
  // The hub's answers are made from the same schemas as these types and checked there.
  return told as T
}

/** What the page reads, by address. */
interface Answers {
  '/api/session': Session
  '/api/overview': Overview
  '/api/settings': Settings
  '/api/models': ModelVersion[]
  '/api/runs': Run[]
  '/api/datasets': DatasetVersion[]
  '/api/rollouts': RolloutSummary[]
  '/api/users': User[]
  '/api/tokens': Token[]
  '/api/tasks/counts': QueueCounts
}

export type {
  DatasetVersion,
  Device,
  Enrolment,
  HistoryEntry,
  ModelVersion,
  Overview,
  QueueCounts,
  Rollout,
  Run,
  SampleView,
  Session,
  Settings,
  Token,
  User,
}
export type Page = Static<typeof SamplePage>
export type Fleet = Static<typeof DevicePage>
export type Leased = Static<typeof LeasedTasks>
export type MetricPoints = Static<typeof Metrics>
export type LogLines = Static<typeof Logs>
export type PreviewList = Static<typeof Previews>

/** A list or object under a fixed address; live events refresh it. */
export function useApi<P extends keyof Answers>(path: P, enabled = true) {
  return useQuery({ queryKey: [path], queryFn: () => call<Answers[P]>('GET', path), enabled })
}

/** Ids of the devices that fit what somebody types: a fleet may be of thousands. */
export function useDeviceIds(search: string) {
  const query = new URLSearchParams({ limit: '50', ...(search && { search }) }).toString()
  return useQuery({
    queryKey: ['/api/devices', query],
    queryFn: () => call<Fleet>('GET', `/api/devices?${query}`),
    select: ({ devices }) => devices.map(({ id }) => id),
    placeholderData: keepPreviousData,
  })
}

export const imageOf = (sample: string, width?: number) => `/api/samples/${sample}/image${width ? `?width=${width}` : ''}`
