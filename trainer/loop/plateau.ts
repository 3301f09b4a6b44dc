/** Tells when a training no longer gets better, by looks at pictures kept back from it; pure. */

export interface Plateau {
  /** Greatest mAP seen; -1 before the first look. */
  readonly best: number
  /** Looks since then that were no better. */
  readonly misses: number
}

export const noLook: Plateau = { best: -1, misses: 0 }

/** A smaller gain than this is none. */
const leastGain = 0.001

/** After one more look. A training that finds nothing yet has not begun to get better, let alone stopped. */
export function looked({ best, misses }: Plateau, value: number): Plateau {
  if (value > best + leastGain) return { best: value, misses: 0 }
  return { best: Math.max(best, value), misses: value > 0 ? misses + 1 : misses }
}

/** Share of the steps before the first look: the warm-up, and the fright of a pretrained body at new pictures. */
const quiet = 0.2

/** Whether step `at` (from 0) is followed by a look: each twentieth of the steps. */
export function isLook(at: number, steps: number): boolean {
  const every = Math.max(10, Math.ceil(steps / 20))
  return at + 1 >= steps * quiet && (at + 1) % every === 0 && at + 1 < steps
}

/**
 * Steps of a training that is cut short after step `at`: what is left is the closing part alone, at the low end of the learning rate, for
 * a training that ended before it would lack what closing gives.
 * @param ahead steps whose pictures are made already
 */
export function cutShort(at: number, { steps, closing, ahead }: { steps: number; closing: number; ahead: number }): number {
  return Math.min(steps, Math.ceil((at + 1 + ahead) / (1 - Math.min(closing, 0.9))))
}
