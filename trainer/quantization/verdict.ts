/** Whether an int8 file is proposed in place of its float file. Pure. */
import { inEnglish, type Said, say } from '../../protocol/sentences.ts'
import type { Pace } from './race.ts'

export interface QuantizationQuestion {
  /** Held-out pictures that both files were measured on. */
  readonly pictures: number
  readonly float: Measures
  readonly int8: Measures
  readonly paces: readonly Pick<Pace, 'threads' | 'ratio'>[]
}

interface Measures {
  readonly mAP50: number
  readonly 'mAP50-95': number
}

export interface QuantizationVerdict {
  readonly proposed: boolean
  /** Plain words with numbers, what speaks against it first. */
  readonly reasons: string[]
}

/** Most that either mAP may lose: one point. */
export const mostLost = 0.01
/** Least that it must be quicker by, at batch 1. */
export const leastRatio = 1.8

/** A loss is told to a thousandth; half of the last digit must not decide. */
const slack = 1e-9

export function decideQuantization({ pictures, float, int8, paces }: QuantizationQuestion): QuantizationVerdict {
  const against: string[] = []
  const for_: string[] = []
  const judge = (holds: boolean, words: Said) => void (holds ? for_ : against).push(inEnglish(words))
  if (pictures === 0) return { proposed: false, reasons: [inEnglish(say('int8.no-pictures'))] }
  if (float.mAP50 === 0)
    return {
      proposed: false,
      reasons: [inEnglish(say('int8.float-blind'))],
    }
  for (const name of ['mAP50', 'mAP50-95'] as const) {
    const lost = float[name] - int8[name]
    judge(
      lost <= mostLost + slack,
      say('int8.loss', { name, before: float[name].toFixed(3), after: int8[name].toFixed(3), limit: mostLost }),
    )
  }
  for (const { threads, ratio } of paces)
    judge(ratio >= leastRatio, say('int8.pace', { ratio: ratio.toFixed(2), count: threads, limit: leastRatio }))
  return { proposed: against.length === 0, reasons: [...against, ...for_] }
}
