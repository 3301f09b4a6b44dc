/** Tells the parts of the hub, and open pages, what changed. Carries no data: whoever hears it reads again. */
import type { HubEvent } from '../../protocol/http/fleet.ts'

type Listener = (event: HubEvent) => void

export class Events {
  readonly #listeners = new Set<Listener>()

  emit(event: HubEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  /** @returns how to stop listening */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
