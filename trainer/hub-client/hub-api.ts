/** A thin typed client of the hub's HTTP API for programs: bearer token in, schema-checked values out. */
import type { Static, TSchema } from 'typebox'
import { type ErrorCode, errors, MuninnError } from '../../protocol/errors.ts'
import { parse } from '../../protocol/parse.ts'

/** A hub that has said nothing for so long, and taken nothing of what is sent to it, hangs; files may take as long as their line needs. */
const longestSilence = 60_000
const pieceBytes = 64 * 1024

interface Options {
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Gives up at once, with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

export class HubApi {
  readonly #url: string
  readonly #token: string
  readonly #silence: number

  constructor({ url, token, silence = longestSilence }: { url: string; token: string; silence?: number }) {
    this.#url = url.replace(/\/$/, '')
    this.#token = token
    this.#silence = silence
  }

  /**
   * The answer with all of its body.
   * @throws MuninnError with the hub's own code, or UNAVAILABLE when it cannot be reached or goes silent.
   */
  async request(method: string, path: string, body?: unknown, { headers = {}, signal }: Options = {}): Promise<Response> {
    signal?.throwIfAborted()
    const binary = body instanceof Uint8Array
    const end = new AbortController()
    let silent = false
    const timer = setTimeout(() => {
      silent = true
      end.abort()
    }, this.#silence)
    const onMove = () => timer.refresh()
    const onCancel = () => end.abort()
    signal?.addEventListener('abort', onCancel)
    let answer: Response
    try {
      const response = await fetch(this.#url + path, {
        method,
        headers: {
          ...headers,
          authorization: `Bearer ${this.#token}`,
          ...(body === undefined ? {} : { 'content-type': binary ? 'application/octet-stream' : 'application/json' }),
        },
        ...(body !== undefined && { body: binary ? inPieces(body, onMove) : JSON.stringify(body), duplex: 'half' }),
        signal: end.signal,
      })
      const parts: Uint8Array[] = []
      for await (const part of response.body ?? []) {
        onMove()
        parts.push(part)
      }
      answer = new Response(parts.length > 0 ? new Blob(parts) : null, response)
    } catch (cause) {
      signal?.throwIfAborted()
      const why = silent
        ? `took the connection and has been silent for ${this.#silence / 1000} s: look whether it hangs (its log, its disk), or a proxy before it`
        : `cannot be reached (${reasonOf(cause)}): is it running, and is this its address?`
      throw new MuninnError('UNAVAILABLE', `${method} ${path}: the hub at ${this.#url} ${why}`, { cause })
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onCancel)
    }
    if (answer.ok) return answer
    const { code, message } = readError(await answer.text())
    throw new MuninnError(code, `${method} ${path}: ${message || answer.statusText}`)
  }

  async get<T extends TSchema>(path: string, schema: T, options?: Options): Promise<Static<T>> {
    return parse(schema, await (await this.request('GET', path, undefined, options)).json(), `GET ${path}`)
  }

  async send<T extends TSchema>(
    method: 'POST' | 'PUT' | 'PATCH',
    path: string,
    body: unknown,
    schema: T,
    options?: Options,
  ): Promise<Static<T>> {
    return parse(schema, await (await this.request(method, path, body, options)).json(), `${method} ${path}`)
  }
}

/** Sent one piece after the other, each when the connection has room for it: that is how one tells a slow line from none. */
function inPieces(body: Uint8Array, onPiece: () => void): ReadableStream<Uint8Array> {
  let at = 0
  return new ReadableStream({
    pull: (controller) => {
      onPiece()
      if (at >= body.length) return controller.close()
      controller.enqueue(body.subarray(at, at + pieceBytes))
      at += pieceBytes
    },
  })
}

/** What the system says is in the cause of what fetch says ("fetch failed"). */
function reasonOf(error: unknown): string {
  const { cause } = error as { cause?: { code?: string; message?: string } }
  return cause?.code ?? cause?.message ?? String(error)
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
