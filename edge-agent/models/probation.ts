/** Whether a new model has proved itself, as a pure decision over what was seen of it. */
import { inEnglish, say } from '../../protocol/sentences.ts'

export interface ProbationFacts {
  /** Frames that it has looked at. */
  readonly frames: number
  readonly seconds: number
  readonly probationSeconds: number
  /** First error that it made, if any. */
  readonly error: string | null
  /** Milliseconds per frame: its own, and the former model's in the same minutes; null when there is no former one. */
  readonly milliseconds: readonly number[]
  readonly formerMilliseconds: readonly number[]
}

export type Verdict = { state: 'going-on'; progress: number } | { state: 'passed' } | { state: 'failed'; reason: string }

/** Frames without which nothing is proved, however long it took: a camera may be away. */
export const minFrames = 5
/** Frames from which speed is judged, and how much slower is too slow. */
const framesForSpeed = 10
const maxSlowdown = 3
/** Below this nothing is slow: timer and scheduler noise are as large. */
const alwaysFast = 30

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted.length === 0 ? 0 : sorted[sorted.length >> 1]!
}

export function judgeProbation(facts: ProbationFacts): Verdict {
  if (facts.error !== null) return { state: 'failed', reason: facts.error }
  const own = median(facts.milliseconds)
  const former = median(facts.formerMilliseconds)
  const judged = facts.milliseconds.length >= framesForSpeed && facts.formerMilliseconds.length >= 3
  if (judged && own > alwaysFast && own > maxSlowdown * former) {
    return {
      state: 'failed',
      reason: inEnglish(say('update.slow', { own: own.toFixed(0), former: former.toFixed(0), times: maxSlowdown })),
    }
  }
  if (facts.seconds >= facts.probationSeconds && facts.frames >= minFrames) return { state: 'passed' }
  const share = facts.probationSeconds > 0 ? facts.seconds / facts.probationSeconds : 1
  return { state: 'going-on', progress: Math.min(share, facts.frames / minFrames, 0.99) }
}
