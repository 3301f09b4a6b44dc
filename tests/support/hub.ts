/** A real hub in a temporary folder, on free ports, with a clock that tests may turn. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import type { Static, TSchema } from 'typebox'
import { buildHub, type Hub } from '../../hub/hub.ts'
import { HubConfig } from '../../protocol/config.ts'
import { parse } from '../../protocol/parse.ts'

export const adminToken = 'an-admin-token-for-tests-only'

interface Closing {
  after(close: () => Promise<void>): void
}

export interface TestHub {
  readonly hub: Hub
  readonly folder: string
  /** Milliseconds that are added to the real time. */
  readonly clock: { ahead: number }
  /** Sends JSON (or bytes) and gives status and JSON answer. */
  request(
    method: Method,
    url: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<{ status: number; body: unknown; bytes: Buffer }>
  /** As `request`, for an answer that must be 200 and of this form. */
  ask<T extends TSchema>(
    schema: T,
    method: Method,
    url: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Static<T>>
  /** Stops the hub and starts it again on the same folder. */
  restart(): Promise<TestHub>
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** @param t the test (or suite) after which everything is closed and removed */
export async function startTestHub(t: Closing, config: Partial<HubConfig> = {}): Promise<TestHub> {
  const folder = mkdtempSync(join(tmpdir(), 'muninn-hub-'))
  const clock = { ahead: 0 }
  const started = await open(folder, clock, config)
  let current = started
  t.after(async () => {
    await current.hub.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  const wrap = (test: Omit<TestHub, 'restart'>): TestHub => ({
    ...test,
    restart: async () => {
      await current.hub.stop()
      current = await open(folder, clock, config)
      return wrap(current)
    },
  })
  return wrap(started)
}

async function open(folder: string, clock: { ahead: number }, config: Partial<HubConfig>): Promise<Omit<TestHub, 'restart'>> {
  const hub = await buildHub(parse(HubConfig, { dataFolder: folder, port: 0, mqttPort: 0, ...config }, 'test'), {
    log: pino({ level: 'silent' }),
    bootstrapToken: adminToken,
    now: () => Date.now() + clock.ahead,
  })
  await hub.start()
  const request: TestHub['request'] = async (method, url, body, headers = {}) => {
    const binary = body instanceof Uint8Array
    const response = await hub.app.inject({
      method,
      url,
      headers: {
        authorization: `Bearer ${adminToken}`,
        ...(body === undefined ? {} : { 'content-type': binary ? 'application/octet-stream' : 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { payload: binary ? Buffer.from(body) : JSON.stringify(body) }),
    })
    const json = String(response.headers['content-type']).startsWith('application/json')
    return { status: response.statusCode, body: json ? response.json() : response.body, bytes: response.rawPayload }
  }
  return {
    hub,
    folder,
    clock,
    request,
    ask: async (schema, method, url, body, headers) => {
      const answer = await request(method, url, body, headers)
      if (answer.status !== 200) throw new Error(`${method} ${url}: ${answer.status} ${JSON.stringify(answer.body)}`)
      return parse(schema, answer.body, `${method} ${url}`)
    },
  }
}
