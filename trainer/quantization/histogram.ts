/** How the values of one activation are spread: bins over a range that doubles when a greater value comes, so that one pass is enough. */

/** Bins from -reach to reach; always even, so that 0 is an edge. */
const bins = 8192

export class Histogram {
  min = Number.POSITIVE_INFINITY
  max = Number.NEGATIVE_INFINITY
  zeros = 0
  total = 0
  /** A power of two. */
  reach = 2 ** -10
  #counts = new Float64Array(bins)

  add(values: Float32Array): void {
    for (const value of values) {
      if (value < this.min) this.min = value
      if (value > this.max) this.max = value
    }
    while (Math.max(this.max, -this.min) >= this.reach) this.#double()
    const perBin = bins / 2 / this.reach
    const counts = this.#counts
    let zeros = 0
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!
      if (value === 0) zeros++
      else counts[Math.floor(value * perBin) + bins / 2]!++
    }
    this.zeros += zeros
    this.total += values.length
  }

  /** Middle and count of each bin with something in it, from low to high; exact zeros stand in none. */
  *entries(): Generator<{ value: number; count: number }> {
    const width = (2 * this.reach) / bins
    for (const [i, count] of this.#counts.entries()) if (count > 0) yield { value: (i + 0.5) * width - this.reach, count }
  }

  /** Each two neighbours become one, around 0. */
  #double(): void {
    const wider = new Float64Array(bins)
    for (let i = 0; i < bins; i++) wider[(i >> 1) + bins / 4]! += this.#counts[i]!
    this.#counts = wider
    this.reach *= 2
  }
}
