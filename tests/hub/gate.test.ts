import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decideGate, type GateSettings } from '../../hub/gate/gate.ts'
import type { Evaluation, RunReport } from '../../protocol/http/reports.ts'
import { inEnglish } from '../../protocol/sentences.ts'

const champion = 'c'.repeat(64)
const model = 'd'.repeat(64)
const settings: GateSettings = {
  minimumGain: 0.01,
  tolerance: 0,
  maximumClassLoss: 0.1,
  minimumImages: 10,
  firstModelMinimum: 0.1,
}

const exact = (value: number) => ({ value, low: value, high: value })
const evaluation = (
  of: string,
  mAP50: number,
  classes: Record<string, [AP50: number, truths: number]> = { car: [mAP50, 50] },
  images = 20,
): Evaluation => ({
  model: of,
  images,
  mAP50: exact(mAP50),
  'mAP50-95': exact(mAP50 / 2),
  perClass: Object.entries(classes).map(([label, [AP50, truths]]) => ({
    label,
    truths,
    AP50,
    'AP50-95': AP50 / 2,
    threshold: 0.4,
    precision: [],
  })),
  worst: [],
  millisecondsPerImage: 10,
})

const report = (
  challenger: Evaluation,
  before: Evaluation | null,
  gain: [value: number, low: number, high: number] | null,
): RunReport => {
  const interval = gain && { value: gain[0], low: gain[1], high: gain[2] }
  return {
    challenger,
    champion: before,
    difference: interval && { mAP50: interval, 'mAP50-95': interval },
    trainMinutes: 1,
    steps: 10,
    device: 'cpu',
  }
}

const better = evaluation(model, 0.7)
const before = evaluation(champion, 0.5)

const cases: {
  name: string
  report: RunReport
  champion?: string | null
  settings?: Partial<GateSettings>
  passed: boolean
  says: RegExp
}[] = [
  {
    name: 'passes a first model that finds something',
    report: report(evaluation(model, 0.2), null, null),
    champion: null,
    passed: true,
    says: /First model/,
  },
  {
    name: 'holds a first model that finds next to nothing, though nothing is there to beat',
    report: report(evaluation(model, 0.003), null, null),
    champion: null,
    passed: false,
    says: /0\.003, but at least 0\.100 is asked for/,
  },
  {
    name: 'holds a first model that finds nothing, even where no least is set',
    report: report(evaluation(model, 0), null, null),
    champion: null,
    settings: { firstModelMinimum: 0 },
    passed: false,
    says: /mAP50 on the held-out pictures is 0\.000/,
  },
  {
    name: 'holds a first model judged on too few pictures',
    report: report(evaluation(model, 0.5, {}, 3), null, null),
    champion: null,
    passed: false,
    says: /Only 3 held-out/,
  },
  {
    name: 'passes a clear gain',
    report: report(better, before, [0.2, 0.1, 0.3]),
    passed: true,
    says: /0\.500 → 0\.700 \(\+0\.200\)/,
  },
  {
    name: 'holds a gain below the least one',
    report: report(better, before, [0.005, 0.001, 0.01]),
    passed: false,
    says: /at least \+0\.010 is asked/,
  },
  {
    name: 'holds a gain that may be chance',
    report: report(better, before, [0.05, -0.01, 0.1]),
    passed: false,
    says: /may be chance/,
  },
  {
    name: 'takes an interval that ends at exactly minus the tolerance for chance',
    report: report(better, before, [0.05, -0.02, 0.1]),
    settings: { tolerance: 0.02 },
    passed: false,
    says: /−0\.020/,
  },
  {
    name: 'lets an interval through that stays within the tolerance',
    report: report(better, before, [0.05, -0.01, 0.1]),
    settings: { tolerance: 0.02 },
    passed: true,
    says: /above −0\.020/,
  },
  {
    name: 'lets a loss through where settings ask for no gain',
    report: report(better, before, [-0.01, -0.02, 0.01]),
    settings: { minimumGain: -0.05, tolerance: 0.05 },
    passed: true,
    says: /−0\.010/,
  },
  {
    name: 'holds too few held-out pictures',
    report: report(evaluation(model, 0.7, undefined, 9), before, [0.2, 0.1, 0.3]),
    passed: false,
    says: /Only 9 held-out/,
  },
  {
    name: 'holds a class that loses too much',
    report: report(
      evaluation(model, 0.7, { car: [0.9, 50], sign: [0.3, 20] }),
      evaluation(champion, 0.5, { car: [0.5, 50], sign: [0.5, 20] }),
      [0.2, 0.1, 0.3],
    ),
    passed: false,
    says: /“sign” loses 0\.200 AP50/,
  },
  {
    name: 'counts a class that the challenger no longer knows as lost',
    report: report(
      evaluation(model, 0.7, { car: [0.9, 50] }),
      evaluation(champion, 0.5, { car: [0.5, 50], sign: [0.5, 20] }),
      [0.2, 0.1, 0.3],
    ),
    passed: false,
    says: /“sign” loses 0\.500/,
  },
  {
    name: 'tells, but does not judge, a class with hardly any true boxes',
    report: report(
      evaluation(model, 0.7, { car: [0.9, 50], sign: [0, 2] }),
      evaluation(champion, 0.5, { car: [0.5, 50], sign: [1, 2] }),
      [0.2, 0.1, 0.3],
    ),
    passed: true,
    says: /only 2 true boxes/,
  },
  {
    name: 'holds a challenger without a comparison',
    report: report(better, null, null),
    passed: false,
    says: /nothing to compare/,
  },
  {
    name: 'holds a comparison with a former champion',
    report: report(better, evaluation('e'.repeat(64), 0.5), [0.2, 0.1, 0.3]),
    passed: false,
    says: /in the meantime/,
  },
  {
    name: 'holds a report about another file',
    report: report(evaluation('f'.repeat(64), 0.9), before, [0.2, 0.1, 0.3]),
    passed: false,
    says: /not about dddddddd/,
  },
]

describe('gate', () => {
  for (const each of cases) {
    it(each.name, () => {
      const verdict = decideGate({
        report: each.report,
        settings: { ...settings, ...each.settings },
        model,
        champion: each.champion === undefined ? champion : each.champion,
      })
      assert.equal(verdict.passed, each.passed, inEnglish(verdict.reasons))
      assert.match(inEnglish(verdict.reasons), each.says)
    })
  }

  it('tells every reason against, not just the first', () => {
    const { reasons } = decideGate({
      report: report(evaluation(model, 0.4, undefined, 2), before, [-0.1, -0.2, 0]),
      settings,
      model,
      champion,
    })
    assert.match(inEnglish(reasons[0]!), /Only 2/)
    assert.match(inEnglish(reasons[1]!), /0\.500 → 0\.400/)
    assert.match(inEnglish(reasons[2]!), /may be chance/)
  })
})
