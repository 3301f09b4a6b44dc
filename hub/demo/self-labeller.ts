/** The demo's own labeller: the drawn street knows its truth and answers the queue, through the same leases and checks as a person. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import type { Demo, Task } from '../../protocol/http/labelling.ts'
import { parseJson } from '../../protocol/parse.ts'
import { LabelledBox } from '../../protocol/primitives.ts'
import type { SampleRepository } from '../samples/sample-repository.ts'
import type { Tasks } from '../tasks/tasks.ts'
import type { DemoRepository } from './demo-repository.ts'

const who = 'demo'
/** What a practised person needs for a picture that is mostly right already. */
const personMilliseconds = 4000
const idleMilliseconds = 1000
const Truth = Type.Array(LabelledBox)

interface Parts {
  readonly demo: DemoRepository
  readonly tasks: Tasks
  readonly samples: SampleRepository
  readonly onError: (error: unknown) => void
}

export class SelfLabeller {
  readonly #parts: Parts
  #stopping: AbortController | undefined
  #running: Promise<void> | undefined

  constructor(parts: Parts) {
    this.#parts = parts
  }

  start(): void {
    const stopping = new AbortController()
    this.#stopping = stopping
    this.#running = this.#run(stopping.signal)
  }

  async stop(): Promise<void> {
    this.#stopping?.abort()
    await this.#running
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let pause = idleMilliseconds
      try {
        const { selfLabel } = await this.#parts.demo.get()
        if (selfLabel !== 'off') {
          const answered = await this.#answer(selfLabel, signal)
          if (answered) pause = 0
        }
      } catch (error) {
        this.#parts.onError(error)
      }
      if (pause > 0) await sleep(pause, undefined, { signal }).catch(() => {})
    }
  }

  /** @returns whether there was anything to do */
  async #answer(pace: Demo['selfLabel'], signal: AbortSignal): Promise<boolean> {
    const { tasks } = await this.#parts.tasks.lease({ count: pace === 'person' ? 1 : 10 }, who, { withTruth: true })
    for (const task of tasks) {
      if (pace === 'person') await sleep(personMilliseconds, undefined, { signal }).catch(() => {})
      if (signal.aborted) return true
      await this.#submit(task, pace === 'person' ? personMilliseconds : 0)
    }
    return tasks.length > 0
  }

  async #submit({ id, version, sample }: Task, milliseconds: number): Promise<void> {
    const truth = await this.#parts.samples.truth(sample.id)
    if (truth === null) return
    const annotations = parseJson(Truth, truth, 'stored truth').map(({ box, label }) => ({
      box,
      label,
      source: 'truth' as const,
    }))
    try {
      await this.#parts.tasks.submit(id, { version, verdict: 'accepted', annotations, milliseconds }, who)
    } catch (error) {
      if (!(error instanceof MuninnError) || error.code !== 'INVALID_INPUT') throw error
      // The street draws a class that the project does not have: a person would pass it by, too.
      await this.#parts.tasks.submit(id, { version, verdict: 'rejected', annotations: [], milliseconds }, who)
    }
  }
}
