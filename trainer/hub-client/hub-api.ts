/** A thin typed client of the hub's HTTP API for programs: bearer token in, schema-checked values out. */
import type { Static, TSchema } from 'typebox'
import { type ErrorCode, errors, MuninnError } from '../../protocol/errors.ts'
import { parse } from '../../protocol/parse.ts'

export class HubApi {
  readonly #url: string
  readonly #token: string

  constructor({ url, token }: { url: string; token: string }) {
    this.#url = url.replace(/\/$/, '')
    this.#token = token
  }

  /** @throws MuninnError with the hub's own code, or UNAVAILABLE when it does not answer. */
  async request(method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    const binary = body instanceof Uint8Array
    let response: Response
    try {
      response = await fetch(this.#url + path, {
        method,
        headers: {
          ...headers,
          authorization: `Bearer ${this.#token}`,
          ...(body === undefined ? {} : { 'content-type': binary ? 'application/octet-stream' : 'application/json' }),
        },
        body: body === undefined ? undefined : binary ? new Uint8Array(body) : JSON.stringify(body),
      })
    } catch (cause) {
      throw new MuninnError('UNAVAILABLE', `the hub at ${this.#url} does not answer`, { cause })
    }
    if (response.ok) return response
    const told = await response.text()
    const { code, message } = readError(told)
    throw new MuninnError(code, `${method} ${path}: ${message || response.statusText}`)
  }

  async get<T extends TSchema>(path: string, schema: T): Promise<Static<T>> {
    return parse(schema, await (await this.request('GET', path)).json(), `GET ${path}`)
  }

  async send<T extends TSchema>(
    method: 'POST' | 'PUT' | 'PATCH',
    path: string,
    body: unknown,
    schema: T,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Static<T>> {
    return parse(schema, await (await this.request(method, path, body, headers)).json(), `${method} ${path}`)
  }
}

function readError(text: string): { code: ErrorCode; message: string } {
  try {
    const told: unknown = JSON.parse(text)
    if (told && typeof told === 'object' && 'code' in told && 'message' in told && typeof told.code === 'string') {
      const known = (Object.keys(errors) as ErrorCode[]).find((code) => code === told.code)
      return { code: known ?? 'INTERNAL', message: String(told.message) }
    }
  } catch {
    // Not JSON: a proxy answered, not the hub. Its text is the best that can be told.
  }
  return { code: 'INTERNAL', message: text.slice(0, 200) }
}
