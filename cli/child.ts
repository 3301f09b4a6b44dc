/** A part of `muninn up` in its own process: started, watched, started again with back-off when it dies, stopped in order. */
import { type ChildProcess, fork } from 'node:child_process'
import { createWriteStream, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const entry = fileURLToPath(new URL('./main.js', import.meta.url))
const firstDelay = 1000
const longestDelay = 60_000

export interface ChildOptions {
  readonly name: string
  /** Arguments of `muninn`: a command and its flags. */
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Its stdout and stderr are appended here. */
  readonly logFile: string
  /** Told of each death that is not a stop. */
  readonly onDeath: (words: string) => void
}

export class Child {
  readonly #options: ChildOptions
  #process: ChildProcess | null = null
  #stopping = false
  #delay = firstDelay
  #timer: NodeJS.Timeout | undefined

  constructor(options: ChildOptions) {
    this.#options = options
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** Starts it. Messages it sends with `process.send` go to `onMessage`, also after a restart. */
  start(onMessage: (message: unknown) => void = () => {}): void {
    const { name, args, env, logFile, onDeath } = this.#options
    mkdirSync(dirname(logFile), { recursive: true })
    const log = createWriteStream(logFile, { flags: 'a' })
    const startedAt = Date.now()
    const child = fork(entry, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe', 'ipc'], detached: true })
    this.#process = child
    child.stdout?.pipe(log, { end: false })
    child.stderr?.pipe(log, { end: false })
    child.on('message', onMessage)
    child.once('exit', (code, signal) => {
      log.end()
      this.#process = null
      if (this.#stopping) return
      if (Date.now() - startedAt > longestDelay) this.#delay = firstDelay
      onDeath(
        `${name} stopped (${signal ?? `exit code ${code}`}); starting it again in ${this.#delay / 1000} s. Its log: ${logFile}`,
      )
      this.#timer = setTimeout(() => this.start(onMessage), this.#delay)
      this.#delay = Math.min(this.#delay * 2, longestDelay)
    })
  }

  /** Asks it to stop, and kills it when it has not after `seconds`. */
  async stop(seconds = 15): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#timer)
    const child = this.#process
    if (!child) return
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), seconds * 1000)
    await gone
    clearTimeout(timer)
  }
}
