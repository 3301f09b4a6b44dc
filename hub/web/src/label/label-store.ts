/** The boxes of one picture under work: no DOM, told to listeners; undo watches it as any other listener would. */
import type { Box } from './geometry.ts'

export interface LabelBox {
  readonly id: number
  readonly box: Box
  readonly label: string
  readonly source: 'model' | 'person' | 'truth' | 'import'
  /** What the model gave; null for a person's own. */
  readonly score: number | null
}

export interface LabelState {
  readonly boxes: readonly LabelBox[]
  readonly selected: number | null
}

type Listener = (state: LabelState, before: LabelState) => void

export class LabelStore {
  #state: LabelState = { boxes: [], selected: null }
  #next = 1
  readonly #listeners = new Set<Listener>()

  get state(): LabelState {
    return this.#state
  }

  get selected(): LabelBox | undefined {
    return this.#state.boxes.find(({ id }) => id === this.#state.selected)
  }

  subscribe = (listener: Listener): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  snapshot = (): LabelState => this.#state

  /** Another picture: what came before is forgotten. */
  load(boxes: readonly Omit<LabelBox, 'id'>[]): void {
    this.set({ boxes: boxes.map((each) => ({ ...each, id: this.#next++ })), selected: null })
  }

  set(state: LabelState): void {
    const before = this.#state
    if (state === before) return
    this.#state = state
    for (const listener of this.#listeners) listener(state, before)
  }

  add(box: Box, label: string): void {
    const id = this.#next++
    this.set({ boxes: [...this.#state.boxes, { id, box, label, source: 'person', score: null }], selected: id })
  }

  /** The same boxes once more, as this person's own: what stood still since the picture before need not be drawn again. */
  addCopies(boxes: readonly LabelBox[]): void {
    const copies = boxes.map((each) => ({ ...each, id: this.#next++, source: 'person' as const, score: null }))
    this.set({ boxes: [...this.#state.boxes, ...copies], selected: null })
  }

  /** A box that a person touched is theirs. */
  change(id: number, change: Partial<Pick<LabelBox, 'box' | 'label'>>): void {
    this.set({
      ...this.#state,
      boxes: this.#state.boxes.map((each) => (each.id === id ? { ...each, ...change, source: 'person' } : each)),
    })
  }

  remove(id: number): void {
    this.set({
      boxes: this.#state.boxes.filter((each) => each.id !== id),
      selected: this.#state.selected === id ? null : this.#state.selected,
    })
  }

  select(id: number | null): void {
    if (id !== this.#state.selected) this.set({ ...this.#state, selected: id })
  }

  /** Goes round the boxes, left to right. */
  selectNext(direction: 1 | -1): void {
    const order = this.#state.boxes.toSorted((a, b) => a.box[0] - b.box[0] || a.box[1] - b.box[1])
    if (order.length === 0) return
    const at = order.findIndex(({ id }) => id === this.#state.selected)
    const next = at < 0 ? (direction === 1 ? 0 : order.length - 1) : (at + direction + order.length) % order.length
    this.select(order[next]!.id)
  }
}

/** Undo and redo of what happened to the boxes; a drag is one step, however many moves it had. */
export class UndoStack {
  readonly #store: LabelStore
  #past: LabelState[] = []
  #future: LabelState[] = []
  #applying = false
  #gesture: LabelState | null = null
  readonly #unsubscribe: () => void

  constructor(store: LabelStore) {
    this.#store = store
    this.#unsubscribe = store.subscribe((state, before) => {
      if (this.#applying || this.#gesture || state.boxes === before.boxes) return
      this.#past.push(before)
      this.#future = []
    })
  }

  get canUndo(): boolean {
    return this.#past.length > 0
  }
  get canRedo(): boolean {
    return this.#future.length > 0
  }

  /** From here to `end` everything is one step. */
  begin(): void {
    this.#gesture ??= this.#store.state
  }

  end(): void {
    const before = this.#gesture
    this.#gesture = null
    if (!before || before.boxes === this.#store.state.boxes) return
    this.#past.push(before)
    this.#future = []
  }

  undo(): void {
    this.#swap(this.#past, this.#future)
  }

  redo(): void {
    this.#swap(this.#future, this.#past)
  }

  clear(): void {
    this.#past = []
    this.#future = []
    this.#gesture = null
  }

  stop(): void {
    this.#unsubscribe()
  }

  #swap(from: LabelState[], to: LabelState[]): void {
    const state = from.pop()
    if (!state) return
    to.push(this.#store.state)
    this.#applying = true
    this.#store.set(state)
    this.#applying = false
  }
}
