/** The gate: whether a challenger has proved, on held-out pictures, that it may take the champion's place. Pure. */
import type { Settings } from '../../protocol/http/fleet.ts'
import type { Evaluation, RunReport } from '../../protocol/http/training.ts'

export type GateSettings = Settings['gate']

export interface GateQuestion {
  readonly report: RunReport
  readonly settings: GateSettings
  /** SHA-256 of the file that would be deployed, and of the champion now: a report about other files proves nothing. */
  readonly model: string
  readonly champion: string | null
}

export interface GateVerdict {
  readonly passed: boolean
  /** Plain words with numbers, what speaks against it first. */
  readonly reasons: string[]
}

/** With fewer true boxes than this, one lucky or unlucky box moves a class's AP50 by more than any sensible limit: it is told, not judged. */
export const fewestTruths = 5

const points = (value: number) => value.toFixed(3)
const signed = (value: number) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(3)}`
const short = (sha256: string) => sha256.slice(0, 8)

/** Decides with a paired bootstrap (Efron & Tibshirani 1993, ch. 13) that the trainer made over the same held-out pictures. */
export function decideGate({ report, settings, model, champion }: GateQuestion): GateVerdict {
  const against: string[] = []
  const for_: string[] = []
  const judge = (holds: boolean, yes: string, no: string) => void (holds ? for_.push(yes) : against.push(no))
  const { challenger } = report

  if (challenger.model !== model)
    against.push(`The report is about file ${short(challenger.model)}, not about ${short(model)}, which would be deployed.`)
  judge(
    challenger.images >= settings.minimumImages,
    `Judged on ${challenger.images} held-out pictures (at least ${settings.minimumImages} are asked for).`,
    `Only ${challenger.images} held-out pictures; at least ${settings.minimumImages} are needed to judge. Label more audit and held-out samples.`,
  )

  if (champion === null) {
    judge(
      challenger.mAP50.value > 0,
      `First model: mAP50 is ${points(challenger.mAP50.value)}; there is no champion to beat.`,
      'First model: it finds nothing on the held-out pictures (mAP50 is 0).',
    )
  } else if (!report.champion || !report.difference) {
    against.push('The champion was not evaluated on the same held-out pictures, so there is nothing to compare with.')
  } else if (report.champion.model !== champion) {
    against.push(
      `It was compared with ${short(report.champion.model)}, but ${short(champion)} has become champion in the meantime. Train again.`,
    )
  } else {
    const gain = report.difference.mAP50
    const numbers = `mAP50 ${points(report.champion.mAP50.value)} → ${points(challenger.mAP50.value)} (${signed(gain.value)})`
    judge(
      gain.value >= settings.minimumGain,
      `${numbers}, at least ${signed(settings.minimumGain)} is asked for.`,
      `${numbers}, but at least ${signed(settings.minimumGain)} is asked for.`,
    )
    const interval = `The paired 95 % interval of the gain is ${signed(gain.low)} to ${signed(gain.high)}`
    judge(
      gain.low > -settings.tolerance,
      `${interval}; its low end is above ${signed(-settings.tolerance)}.`,
      `${interval}; its low end must be above ${signed(-settings.tolerance)}: the gain may be chance.`,
    )
    for (const { label, loss, truths } of classLosses(report.champion, challenger)) {
      if (loss <= settings.maximumClassLoss) continue
      const words = `Class “${label}” loses ${points(loss)} AP50`
      if (truths < fewestTruths) for_.push(`${words}, but with only ${truths} true boxes that is not judged.`)
      else against.push(`${words} (at most ${points(settings.maximumClassLoss)} is allowed).`)
    }
  }
  return { passed: against.length === 0, reasons: [...against, ...for_] }
}

/** AP50 that each class of the champion loses; a class that the challenger no longer knows loses all of it. */
function classLosses(champion: Evaluation, challenger: Evaluation): { label: string; loss: number; truths: number }[] {
  const after = new Map(challenger.perClass.map((each) => [each.label, each.AP50]))
  return champion.perClass
    .filter(({ truths }) => truths > 0)
    .map(({ label, AP50, truths }) => ({ label, loss: AP50 - (after.get(label) ?? 0), truths }))
}
