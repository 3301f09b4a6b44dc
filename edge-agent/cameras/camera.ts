/** A camera as the agent sees it: a decoder process that is asked for frames, watched, and started again when it dies or stalls. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { CameraConfig } from '../../protocol/config.ts'
import { MuninnError } from '../../protocol/errors.ts'
import type { ModelInput } from '../../protocol/manifest.ts'
import { inEnglish, say } from '../../protocol/sentences.ts'
import type { CameraStatus } from '../../protocol/topics.ts'
import type { Picture } from '../mining/miner.ts'
import type { WatchedCamera, WatchedFrame } from '../watching/watched-camera.ts'
import type { FromDecoder, ToDecoder } from './decoder-messages.ts'
import { shownSource } from './source.ts'

const program = fileURLToPath(new URL('./decoder-process.js', import.meta.url))
const firstDelay = 1000
const longestDelay = 30_000
/** A live camera that gives no frame for so long is stuck: FFmpeg's own time-outs do not catch every case. */
const stallMilliseconds = 20_000
const jpegMilliseconds = 10_000

interface Waiting {
  readonly resolve: (picture: Picture) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

export class Camera implements WatchedCamera {
  readonly #config: CameraConfig
  readonly #listeners: (() => void)[] = []
  readonly #pictures = new Map<number, Waiting>()
  #status: CameraStatus
  #process: ChildProcess | null = null
  #input: ModelInput | null = null
  #next: { promise: Promise<WatchedFrame | null>; resolve: (frame: WatchedFrame | null) => void } | null = null
  #request = 0
  #stopping = false
  #ended = false
  #delay = firstDelay
  #restart: NodeJS.Timeout | undefined
  #stall: NodeJS.Timeout | undefined
  /** Frame ids go on counting over a restart, so that an old one never names a new picture. */
  #offset = 0
  #lastId = -1

  constructor(config: CameraConfig) {
    this.#config = config
    this.#status = {
      id: config.id,
      name: config.name ?? config.id,
      source: shownSource(config.source),
      state: 'connecting',
      width: 0,
      height: 0,
    }
  }

  get status(): CameraStatus {
    return this.#status
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  onStatus(listener: () => void): void {
    this.#listeners.push(listener)
  }

  start(): void {
    const begun = Date.now()
    const child = fork(program, { serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#process = child
    this.#offset = this.#lastId + 1
    child.on('message', (message: FromDecoder) => this.#receive(message))
    child.once('exit', (code, signal) => {
      this.#process = null
      clearTimeout(this.#stall)
      for (const { reject, timer } of this.#pictures.values()) {
        clearTimeout(timer)
        reject(new MuninnError('UNAVAILABLE', 'the camera broke'))
      }
      this.#pictures.clear()
      if (this.#stopping) return
      if (Date.now() - begun > longestDelay) this.#delay = firstDelay
      this.#setStatus({
        state: 'lost',
        cause: inEnglish(say('camera.decoder-stopped', { how: signal ?? `exit code ${code}`, seconds: this.#delay / 1000 })),
      })
      this.#restart = setTimeout(() => this.start(), this.#delay)
      this.#delay = Math.min(this.#delay * 2, longestDelay)
    })
    const { source, framesPerSecond, loop, realTime } = this.#config
    if (this.#input) this.#send({ kind: 'input', input: this.#input })
    this.#send({ kind: 'open', options: { source, framesPerSecond, loop, realTime } })
    if (this.#next) this.#ask()
  }

  async stop(): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#restart)
    clearTimeout(this.#stall)
    this.#answer(null)
    const child = this.#process
    if (!child) return
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill('SIGKILL')
    await gone
  }

  setInput(input: ModelInput): void {
    this.#input = input
    this.#send({ kind: 'input', input })
  }

  nextFrame(): Promise<WatchedFrame | null> {
    if (this.#stopping || this.#ended) return Promise.resolve(null)
    if (this.#next) return this.#next.promise
    let resolve: (frame: WatchedFrame | null) => void = () => {}
    const promise = new Promise<WatchedFrame | null>((done) => {
      resolve = done
    })
    this.#next = { promise, resolve }
    this.#ask()
    return promise
  }

  jpeg(frame: number, { quality, maxWidth }: { quality: number; maxWidth?: number }): Promise<Picture> {
    if (frame < this.#offset || !this.#process)
      return Promise.reject(new MuninnError('NOT_FOUND', 'the frame is gone: the camera was started again since'))
    const request = this.#request++
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pictures.delete(request)
        reject(new MuninnError('UNAVAILABLE', 'the camera does not answer'))
      }, jpegMilliseconds)
      this.#pictures.set(request, { resolve, reject, timer })
      this.#send({ kind: 'jpeg', request, frame: frame - this.#offset, quality, ...(maxWidth && { maxWidth }) })
    })
  }

  #ask(): void {
    this.#send({ kind: 'next' })
    this.#watchForStall()
  }

  /** Only while a frame is waited for and the camera says that it is live. */
  #watchForStall(): void {
    clearTimeout(this.#stall)
    if (!this.#next || this.#status.state !== 'live') return
    this.#stall = setTimeout(() => this.#process?.kill('SIGKILL'), stallMilliseconds)
  }

  #send(message: ToDecoder): void {
    // A process that has just died tells by its exit; there is nobody to send to until it is back.
    if (this.#process?.connected) this.#process.send(message, () => {})
  }

  #answer(frame: WatchedFrame | null): void {
    const next = this.#next
    this.#next = null
    clearTimeout(this.#stall)
    next?.resolve(frame)
  }

  #receive(message: FromDecoder): void {
    switch (message.kind) {
      case 'status':
        this.#setStatus(message)
        this.#watchForStall()
        break
      case 'frame':
        if (message.frame) {
          this.#lastId = message.frame.id + this.#offset
          this.#answer({ ...message.frame, id: this.#lastId })
        } else {
          this.#ended = true
          this.#answer(null)
        }
        break
      case 'jpeg':
        this.#settle(message.request)?.resolve({ jpeg: message.jpeg, width: message.width, height: message.height })
        break
      case 'gone':
        this.#settle(message.request)?.reject(new MuninnError('NOT_FOUND', message.cause))
        break
    }
  }

  #settle(request: number): Waiting | undefined {
    const waiting = this.#pictures.get(request)
    this.#pictures.delete(request)
    clearTimeout(waiting?.timer)
    return waiting
  }

  #setStatus({
    state,
    cause,
    width,
    height,
  }: {
    state: CameraStatus['state']
    cause?: string
    width?: number
    height?: number
  }): void {
    const { cause: _, ...known } = this.#status
    this.#status = {
      ...known,
      state,
      width: width || known.width,
      height: height || known.height,
      ...(cause && { cause: cause.slice(0, 2000) }),
    }
    for (const listener of this.#listeners) listener()
  }
}
