/** One detector, several cameras: each gets its turn, in the order in which they asked. */
export class Turns {
  #tail: Promise<unknown> = Promise.resolve()

  take<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work)
    this.#tail = result.catch(() => {})
    return result
  }
}
