/** Tasks leased ahead, answers kept in this browser until the hub has them: nothing is lost on reload or when the hub is away. */
import { ApiError, call, imageOf, type Leased } from '../api.ts'

export type Task = Leased['tasks'][number]

export interface Answer {
  readonly task: number
  readonly version: number
  readonly verdict: 'accepted' | 'rejected'
  readonly annotations: readonly {
    readonly box: readonly [number, number, number, number]
    readonly label: string
    readonly source: Draft['boxes'][number]['source']
  }[]
  readonly milliseconds: number
}

const answersKey = 'muninn.answers'
const placeKey = 'muninn.place'
const draftKey = (task: number) => `muninn.draft.${task}`
/** The picture at hand and the next ones, whose pictures are fetched in the meantime. */
const ahead = 4

const read = <T>(key: string): T | null => {
  try {
    return JSON.parse(localStorage.getItem(key) ?? 'null') as T | null
  } catch {
    return null
  }
}

export interface Draft {
  readonly version: number
  readonly boxes: readonly {
    readonly box: readonly [number, number, number, number]
    readonly label: string
    readonly source: 'model' | 'person' | 'truth' | 'import'
    readonly score: number | null
  }[]
}

export class WorkQueue {
  readonly #onError: (error: unknown) => void
  #sending: Promise<void> | null = null
  #leasing: Promise<unknown> = Promise.resolve()
  #timer: ReturnType<typeof setInterval> | undefined
  readonly #prefetched = new Set<string>()
  /** Answered here: a list that the hub made just before must not bring them back. A reopened task has another version. */
  readonly #answered = new Set<string>()

  constructor({ onError }: { onError: (error: unknown) => void }) {
    this.#onError = onError
  }

  start(): void {
    this.#timer = setInterval(() => this.send().catch(() => {}), 3000)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  get unsent(): readonly Answer[] {
    return read<Answer[]>(answersKey) ?? []
  }

  /**
   * The tasks of this person, without those whose answer has not arrived yet. What is on the screen stays first, after a reload,
   * too, whatever the hub's order is; a sample that is asked for goes before it. One asks after the other: a list that was made before a
   * picture was taken back and comes late must not put another one in its place.
   */
  lease(sample?: string): Promise<Task[]> {
    const tasks = this.#leasing.then(() => this.#lease(sample))
    this.#leasing = tasks.catch(() => {})
    return tasks
  }

  async #lease(sample: string | undefined): Promise<Task[]> {
    const leased = await call<Leased>('POST', '/api/tasks/lease', { count: ahead, ...(sample && { sample }) })
    // Those of before a reload are known by what still waits to be sent.
    const unsent = new Set(this.unsent.map(({ task }) => task))
    const tasks = leased.tasks.filter(({ id, version }) => !unsent.has(id) && !this.#answered.has(`${id}/${version}`))
    for (const { sample: next } of tasks) {
      if (this.#prefetched.has(next.id)) continue
      this.#prefetched.add(next.id)
      new Image().src = imageOf(next.id)
    }
    const place = sample ? undefined : read<number>(placeKey)
    return tasks.toSorted((a, b) => Number(b.id === place) - Number(a.id === place))
  }

  /** This task is on the screen now. */
  keepPlace(task: number): void {
    localStorage.setItem(placeKey, JSON.stringify(task))
  }

  submit(answer: Answer): void {
    localStorage.setItem(answersKey, JSON.stringify([...this.unsent, answer]))
    localStorage.removeItem(draftKey(answer.task))
    this.#answered.add(`${answer.task}/${answer.version}`)
    this.send().catch(() => {})
  }

  /** Sends what waits, oldest first. Refused answers (someone else was quicker) are told and dropped; an absent hub is tried again. */
  send(): Promise<void> {
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = null
    })
    return this.#sending
  }

  async #sendAll(): Promise<void> {
    for (let [first] = this.unsent; first; [first] = this.unsent) {
      const { task, ...body } = first
      try {
        await call('POST', `/api/tasks/${task}/submit`, body)
      } catch (error) {
        const refused =
          error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 401 && error.status !== 429
        if (!refused) return
        this.#onError(error)
        // The picture comes back with its lease: what was drawn on it is still there to be put right.
        this.#answered.delete(`${task}/${body.version}`)
        if (error.code === 'INVALID_INPUT' && body.verdict === 'accepted')
          this.keepDraft(task, { version: body.version, boxes: body.annotations.map((each) => ({ ...each, score: null })) })
      }
      localStorage.setItem(answersKey, JSON.stringify(this.unsent.filter((each) => each.task !== task)))
    }
  }

  draft(task: Task): Draft | null {
    const draft = read<Draft>(draftKey(task.id))
    return draft && draft.version === task.version ? draft : null
  }

  keepDraft(task: number, draft: Draft): void {
    localStorage.setItem(draftKey(task), JSON.stringify(draft))
  }
}
