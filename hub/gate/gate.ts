/** The gate: whether a challenger has proved, on held-out pictures, that it may take the champion's place. Pure. */
import type { Settings } from '../../protocol/http/fleet.ts'
import type { Evaluation, RunReport } from '../../protocol/http/reports.ts'
import { say, type Words } from '../../protocol/sentences.ts'

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
  /** With numbers, what speaks against it first. */
  readonly reasons: Words
}

/** With fewer true boxes than this, one lucky or unlucky box moves a class's AP50 by more than any sensible limit: it is told, not judged. */
export const fewestTruths = 5

const points = (value: number) => value.toFixed(3)
const signed = (value: number) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(3)}`
const short = (sha256: string) => sha256.slice(0, 8)

/** Decides with a paired bootstrap (Efron & Tibshirani 1993, ch. 13) that the trainer made over the same held-out pictures. */
export function decideGate({ report, settings, model, champion }: GateQuestion): GateVerdict {
  const against: Words = []
  const for_: Words = []
  const { challenger } = report

  if (challenger.model !== model) against.push(say('gate.other-file', { about: short(challenger.model), file: short(model) }))
  const judged = { count: challenger.images, minimum: settings.minimumImages }
  if (challenger.images >= settings.minimumImages) for_.push(say('gate.enough-pictures', judged))
  else against.push(say('gate.few-pictures', judged))

  if (champion === null) {
    const numbers = { value: points(challenger.mAP50.value), minimum: points(settings.firstModelMinimum) }
    if (challenger.mAP50.value > 0 && challenger.mAP50.value >= settings.firstModelMinimum)
      for_.push(say('gate.first-model', numbers))
    else against.push(say('gate.first-weak', numbers))
  } else if (!report.champion || !report.difference) {
    against.push(say('gate.no-comparison'))
  } else if (report.champion.model !== champion) {
    against.push(say('gate.former-champion', { former: short(report.champion.model), champion: short(champion) }))
  } else {
    const gain = report.difference.mAP50
    const numbers = {
      before: points(report.champion.mAP50.value),
      after: points(challenger.mAP50.value),
      gain: signed(gain.value),
      minimum: signed(settings.minimumGain),
    }
    if (gain.value >= settings.minimumGain) for_.push(say('gate.gain', numbers))
    else against.push(say('gate.little-gain', numbers))
    const interval = { low: signed(gain.low), high: signed(gain.high), limit: signed(-settings.tolerance) }
    if (gain.low > -settings.tolerance) for_.push(say('gate.interval', interval))
    else against.push(say('gate.chance', interval))
    for (const { label, loss, truths } of classLosses(report.champion, challenger)) {
      if (loss <= settings.maximumClassLoss) continue
      if (truths < fewestTruths) for_.push(say('gate.class-unjudged', { label, loss: points(loss), count: truths }))
      else against.push(say('gate.class-loss', { label, loss: points(loss), limit: points(settings.maximumClassLoss) }))
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
