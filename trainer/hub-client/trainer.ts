/** A trainer that works for a hub: asks for a run, works it off, asks again; a hub that is away is asked with back-off. */
import { setTimeout as sleep } from 'node:timers/promises'
import { RunLease } from '../../protocol/http/trainers.ts'
import { parse } from '../../protocol/parse.ts'
import type { DeviceChoice } from '../engine/devices/choose-device.ts'
import { HeldLease } from './held-lease.ts'
import type { HubApi } from './hub-api.ts'
import { RunWorker } from './run-worker.ts'

const idleMilliseconds = 1500
const longestWait = 30_000

interface HubTrainerOptions {
  readonly api: HubApi
  readonly folder: string
  readonly name: string
  /** What the hub is told of the machine. */
  readonly machine: string
  readonly device: DeviceChoice
  /** Cores that it may keep busy; all of them when left out. */
  readonly threads?: number
  readonly log: (words: string) => void
}

export class HubTrainer {
  readonly #options: HubTrainerOptions
  readonly #stopping = new AbortController()
  #worker: RunWorker | null = null
  #running: Promise<void> | null = null

  constructor(options: HubTrainerOptions) {
    this.#options = options
  }

  start(): void {
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#worker?.abandon()
    await this.#running
  }

  async #run(): Promise<void> {
    const { api, name, machine, device, threads, log, folder } = this.#options
    let wait = idleMilliseconds
    const disk = new HeldLease({ folder })
    let held = disk.read()
    while (!this.#stopping.signal.aborted) {
      try {
        const asked = { trainer: name, device: machine, ...(held && { held }) }
        const response = await api.request('POST', '/api/trainer/lease', asked, { signal: this.#stopping.signal })
        wait = idleMilliseconds
        held = null
        if (response.status === 200) {
          const lease = parse(RunLease, await response.json(), 'the lease of a run')
          log(`takes run ${lease.run.id} (attempt ${lease.run.attempts})`)
          disk.write({ run: lease.run.id, lease: lease.lease })
          this.#worker = new RunWorker({ api, folder, lease, machine, device, threads, log })
          await this.#worker.work()
          this.#worker = null
          // A trainer that is stopped goes on with it when it is started again.
          if (!this.#stopping.signal.aborted) disk.forget()
          continue
        }
      } catch (error) {
        if (this.#stopping.signal.aborted) break
        log(`${error instanceof Error ? error.message : String(error)}; asks again in ${(wait / 1000).toFixed(0)} s`)
        wait = Math.min(wait * 2, longestWait)
      }
      await sleep(wait, undefined, { signal: this.#stopping.signal }).catch(() => {})
    }
  }
}
