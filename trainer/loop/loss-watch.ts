/** Watches the loss for what a person would see in its curve: a sudden jump, and a training that has come apart. */
import { inEnglish, say } from '../../protocol/sentences.ts'

/** Losses that are looked back on, and how many steps a loss must stay high before it is no mere jump. */
const window = 25
const patience = 100
/** A loss this many times the usual one is told. */
const jump = 8

export class LossWatch {
  readonly #recent: number[] = []
  #lowest = Number.POSITIVE_INFINITY
  #high = 0
  #told = false

  /**
   * The loss of one more step.
   * @returns words for people at the first step of a jump
   * @throws Error when the loss has stayed at many times its lowest level: nothing useful comes of such a training
   */
  see(step: number, loss: number): string | null {
    const usual = this.#recent.length === window ? median(this.#recent) : Number.POSITIVE_INFINITY
    this.#lowest = Math.min(this.#lowest, usual)
    this.#high = loss > jump * this.#lowest ? this.#high + 1 : 0
    if (this.#high >= patience)
      throw new Error(
        inEnglish(
          say('training.diverged', {
            count: patience,
            times: jump,
            usual: this.#lowest.toPrecision(3),
            loss: loss.toPrecision(3),
            step,
          }),
        ),
      )
    const jumped = loss > jump * usual
    const first = jumped && !this.#told
    this.#told = jumped
    this.#recent.push(loss)
    if (this.#recent.length > window) this.#recent.shift()
    return first ? `step ${step}: the loss jumped from about ${usual.toPrecision(3)} to ${loss.toPrecision(3)}` : null
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!
