/** What one camera may send in any hour: a count and a number of bytes. */
import type { MiningSettings } from '../../protocol/mining.ts'

const hour = 3_600_000

export type Budget = Pick<MiningSettings, 'maxSamplesPerHour' | 'maxBytesPerHour'>

/** A sliding window, so that no two hours' worth go in the minutes around a full hour. */
export class Spending {
  #sent: { at: number; bytes: number }[] = []

  fits(at: number, bytes: number, { maxSamplesPerHour, maxBytesPerHour }: Budget): boolean {
    this.#sent = this.#sent.filter((each) => at - each.at < hour)
    return this.#sent.length < maxSamplesPerHour && this.#sent.reduce((sum, each) => sum + each.bytes, bytes) <= maxBytesPerHour
  }

  spend(at: number, bytes: number): void {
    this.#sent.push({ at, bytes })
  }
}

/** Audit samples may take this much of the budget: enough to evaluate by, while the rest goes to frames that teach. */
const auditBudgetShare = 0.2

/**
 * The chance of a frame to become an audit sample: as asked, but thinned evenly over all frames rather than cut off where the budget ends,
 * so that the choice stays a fair one. Without a cooldown nothing is paced (a film that is played faster than time has no hours).
 */
export function auditChance(
  share: number,
  framesPerSecond: number,
  { maxSamplesPerHour, cooldownSeconds }: Pick<MiningSettings, 'maxSamplesPerHour' | 'cooldownSeconds'>,
): number {
  const perHour = framesPerSecond * 3600
  if (cooldownSeconds === 0 || perHour === 0) return share
  return Math.min(share, (auditBudgetShare * maxSamplesPerHour) / perHour)
}
