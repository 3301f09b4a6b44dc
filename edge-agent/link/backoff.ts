/** Waiting times between tries: doubling, with jitter so that a city of devices does not come back in one instant. */

/**
 * "Equal jitter" (M. Brooker, "Exponential Backoff And Jitter", 2015): half of the delay is sure, the other half random.
 * @param attempt 0 for the first wait
 * @returns milliseconds
 */
export function backoff(attempt: number, random: () => number, { first = 500, longest = 30_000 } = {}): number {
  const delay = Math.min(longest, first * 2 ** Math.min(attempt, 30))
  return delay / 2 + (delay / 2) * random()
}
