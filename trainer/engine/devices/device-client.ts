/** The trainer's end of a device's process. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { MuninnError } from '../../../protocol/errors.ts'
import type { Answer, RequestName, Requests } from './device-process.ts'

interface Waiting {
  resolve(answer: unknown): void
  reject(error: Error): void
}

/** How much of what the driver said last is kept for the error message. */
const wordsKept = 2000

export class DeviceClient {
  readonly #env: NodeJS.ProcessEnv | undefined
  readonly #waiting = new Map<number, Waiting>()
  #child: ChildProcess | null = null
  #next = 0
  #words = ''

  /** @param options.env of the process, instead of this one's: the tests name a software driver there */
  constructor({ env }: { env?: NodeJS.ProcessEnv } = {}) {
    this.#env = env
  }

  start(): void {
    const child = fork(new URL('./device-process.js', import.meta.url), [], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: this.#env,
      execArgv: [],
    })
    this.#child = child
    child.stderr!.on('data', (data: Buffer) => {
      this.#words = (this.#words + data.toString()).slice(-wordsKept)
    })
    child.on('message', (told: Answer) => {
      const waiting = this.#waiting.get(told.id)
      this.#waiting.delete(told.id)
      if ('error' in told) waiting?.reject(new MuninnError(told.code, told.error))
      else waiting?.resolve(told.answer)
    })
    child.on('error', (error) => this.#fail(error.message))
    // 'close' comes after the last of stderr, 'exit' may come before.
    child.on('close', (code, signal) => this.#fail(signal ?? `exit code ${code}`))
  }

  async ask<K extends RequestName>(name: K, ask: Requests[K]['ask']): Promise<Requests[K]['answer']> {
    const child = this.#child
    if (!child?.connected) throw this.#gone('it is not running')
    const id = this.#next++
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
    child.send({ id, name, ask })
    return (await answer) as Requests[K]['answer']
  }

  async stop(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'close')
    // Nothing there is worth a goodbye, and some drivers hang in theirs.
    child.kill('SIGKILL')
    await closed
  }

  #fail(how: string): void {
    const error = this.#gone(how)
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }

  #gone(how: string): MuninnError {
    const last = this.#words.trim().split('\n').slice(-3).join(' ')
    return new MuninnError('UNAVAILABLE', `the process of the device ended (${how})${last ? `: ${last}` : ''}`)
  }
}
