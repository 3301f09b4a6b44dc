/** What is wrong with a model's detections, on cases that can be counted by hand. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { Type } from 'typebox'
import type { Box } from '../../protocol/boxes.ts'
import { parseJson } from '../../protocol/parse.ts'
import { calibrationOf } from '../../trainer/evaluation/calibration.ts'
import type { EvaluatedPicture } from '../../trainer/evaluation/coco.ts'
import { evaluateCoco } from '../../trainer/evaluation/coco.ts'
import { CocoResults, CocoTruth, pair, readCoco } from '../../trainer/evaluation/coco-files.ts'
import { score } from '../../trainer/evaluation/compare.ts'
import { confusion } from '../../trainer/evaluation/confusion.ts'
import { type ErrorKind, errorKinds, errorSplit } from '../../trainer/evaluation/tide.ts'
import { worstPictures } from '../../trainer/evaluation/worst.ts'
import { lacks, sharedData } from '../support/shared-data.ts'

/** Made by tests/fixtures/dump-tide.py. */
const fixture = new URL('../../../tests/fixtures/tide-coco-val2014-100.json', import.meta.url)
const Theirs = Type.Object({
  AP50: Type.Number(),
  kinds: Type.Record(Type.String(), Type.Object({ dAP: Type.Number(), count: Type.Integer() })),
  falsePositive: Type.Number(),
  falseNegative: Type.Number(),
})

const place: Box = [0, 0, 100, 100]
const elsewhere: Box = [300, 300, 400, 400]
/** IoU with `place` 0.3. */
const poor: Box = [0, 0, 100, 30]
const truth = (label = 0, box = place) => ({ label, box })
const said = (label: number, score: number, box = place) => ({ label, score, box })
const perfect = (label = 0): EvaluatedPicture => ({ truths: [truth(label)], predictions: [said(label, 0.5)] })

const near = (actual: number, expected: number, what: string) =>
  assert.ok(Math.abs(actual - expected) < 1e-9, `${what}: ${actual} is not ${expected}`)

/** Two objects of class 0, one found and one not: 51 of 101 recall levels. */
const half = 51 / 101

describe('TIDE error split', () => {
  // Each case has one error of one kind; AP50 and its rise are counted by hand.
  const cases: Record<ErrorKind, { pictures: EvaluatedPicture[]; AP50: number; dAP: number }> = {
    // Class 1 has one object, taken for class 0 with the highest score. Class 0: precision 1/2 at every level. Class 1: 0.
    Cls: {
      pictures: [perfect(), { truths: [truth(1)], predictions: [said(0, 0.9)] }],
      AP50: 0.25,
      dAP: 0.75,
    },
    Loc: { pictures: [perfect(), { truths: [truth()], predictions: [said(0, 0.4, poor)] }], AP50: half, dAP: 1 - half },
    // Wrong class and poor box, above the right one: 1/2 where it should be 1. The object of class 1 has its own detection.
    Both: {
      pictures: [perfect(), { truths: [truth(1)], predictions: [said(0, 0.9, poor), said(1, 0.5)] }],
      AP50: 0.75,
      dAP: 0.25,
    },
    // The second of two detections of the first object comes before the only one of the second object: 1 up to 1/2, then 2/3.
    Dupe: {
      pictures: [{ truths: [truth()], predictions: [said(0, 0.9), said(0, 0.8)] }, perfect()],
      AP50: (51 + 50 * (2 / 3)) / 101,
      dAP: 1 - (51 + 50 * (2 / 3)) / 101,
    },
    Bkg: { pictures: [{ truths: [truth()], predictions: [said(0, 0.5), said(0, 0.9, elsewhere)] }], AP50: 0.5, dAP: 0.5 },
    Miss: { pictures: [perfect(), { truths: [truth()], predictions: [] }], AP50: half, dAP: 1 - half },
  }
  for (const kind of errorKinds) {
    it(`gives ${kind} alone its price, and the other kinds none`, () => {
      const { pictures, AP50, dAP } = cases[kind]
      const split = errorSplit(pictures, 2)
      near(split.AP50, AP50, 'AP50')
      for (const other of errorKinds) {
        near(split.kinds[other].dAP, other === kind ? dAP : 0, `dAP of ${other}`)
        assert.equal(split.kinds[other].count, other === kind ? 1 : 0, `number of ${other}`)
      }
    })
  }

  it('mends an object once, by its best detection', () => {
    const pictures = [{ truths: [truth()], predictions: [said(0, 0.9, poor), said(0, 0.8, poor), said(0, 0.7, elsewhere)] }]
    const { AP50, kinds } = errorSplit(pictures, 1)
    near(AP50, 0, 'AP50')
    assert.equal(kinds.Loc.count, 2)
    near(kinds.Loc.dAP, 1, 'dAP of Loc')
    assert.equal(kinds.Miss.count, 0, 'what a mended error would find is not missed')
  })

  it('has rises that do not add up where errors hide each other, as the paper says', () => {
    // The only object is missed and something is made up: mending either alone gives nothing.
    const { AP50, kinds, falseNegative } = errorSplit([{ truths: [truth()], predictions: [said(0, 0.9, elsewhere)] }], 1)
    assert.deepEqual([AP50, kinds.Bkg, kinds.Miss], [0, { dAP: 0, count: 1 }, { dAP: 0, count: 1 }])
    assert.equal(falseNegative, 0)
  })

  it('leaves detections in crowds out', () => {
    const crowd = { ...truth(0, elsewhere), ignore: true }
    const { AP50, kinds } = errorSplit([{ truths: [truth(), crowd], predictions: [said(0, 0.5), said(0, 0.9, elsewhere)] }], 1)
    near(AP50, 1, 'AP50')
    assert.deepEqual([kinds.Bkg.count, kinds.Miss.count], [0, 0])
  })

  it("equals the authors' code on real detections", { skip: lacks('eval/coco-val2014-100') }, async () => {
    const gt = await readCoco(sharedData('eval/coco-val2014-100/gt.json'), CocoTruth)
    const all = pair(gt, await readCoco(sharedData('eval/coco-val2014-100/dt_bbox.json'), CocoResults))
    // Crowds left out: the authors' code takes detections in them for errors.
    const seen = new Set(gt.annotations.filter(({ iscrowd }) => !iscrowd).map(({ category_id }) => category_id))
    const pictures = all.pictures.map(({ truths, predictions }) => ({
      truths: truths.filter(({ ignore }) => !ignore),
      predictions: predictions.filter(({ label }) => seen.has(label)),
    }))
    const { AP50, kinds, falsePositive, falseNegative } = errorSplit(pictures, 91)
    const theirs = parseJson(Theirs, await readFile(fixture, 'utf8'), 'fixture')
    // Their recall levels are x / 100, COCO's are NumPy's linspace: the last bit moves one level of one class in 80, 1 / (101 * 80).
    const close = (actual: number, expected: number, what: string) =>
      assert.ok(Math.abs(actual - expected) < 2 / (101 * 80), `${what}: ${actual} is not ${expected}`)
    close(AP50, theirs.AP50, 'AP50')
    for (const kind of errorKinds) {
      close(kinds[kind].dAP, theirs.kinds[kind]!.dAP, `dAP of ${kind}`)
      assert.equal(kinds[kind].count, theirs.kinds[kind]!.count, `number of ${kind}`)
    }
    close(falsePositive, theirs.falsePositive, 'false positives')
    close(falseNegative, theirs.falseNegative, 'false negatives')
    near(evaluateCoco(pictures, [...seen]).AP50, AP50, 'AP50 of COCO')
  })
})

describe('confusion matrix', () => {
  it('counts right, mistaken, made up and missed, only above the thresholds', () => {
    const pictures: EvaluatedPicture[] = [
      // Found, with a better-lying box of the other class beside it, which is made up.
      { truths: [truth(0)], predictions: [said(0, 0.9, [0, 0, 100, 90]), said(1, 0.95)] },
      { truths: [truth(1)], predictions: [said(0, 0.9)] },
      { truths: [truth(1)], predictions: [said(1, 0.2)] },
      { truths: [], predictions: [said(1, 0.9, elsewhere)] },
      { truths: [{ ...truth(0), ignore: true }], predictions: [said(0, 0.9)] },
    ]
    assert.deepEqual(confusion(pictures, { classes: 2, thresholds: [0.5, 0.5] }), [
      [1, 0, 0],
      [1, 0, 1],
      [0, 2, 0],
    ])
  })
})

describe('calibration', () => {
  it('compares score and share of right detections, bin by bin', () => {
    // Four detections at 0.75 of which three are right: perfect. Two at 0.95, none right: off by 0.95.
    const found = Array.from({ length: 3 }, () => ({ truths: [truth()], predictions: [said(0, 0.75)] }))
    const made = [0.75, 0.95, 0.95].map((value) => ({ truths: [], predictions: [said(0, value, elsewhere)] }))
    const { ECE, bins } = calibrationOf(score([...found, ...made], 1).rankings)
    near(ECE, (2 / 6) * 0.95, 'ECE')
    assert.deepEqual([bins[7]!.count, bins[7]!.confidence, bins[7]!.precision], [4, 0.75, 0.75])
    assert.deepEqual([bins[9]!.count, bins[9]!.precision], [2, 0])
  })

  it('puts a score of 1 into the last bin, and nothing into any when nothing was said', () => {
    assert.equal(calibrationOf(score([{ truths: [truth()], predictions: [said(0, 1)] }], 1).rankings).bins[9]!.count, 1)
    assert.equal(calibrationOf(score([{ truths: [truth()], predictions: [] }], 1).rankings).ECE, 0)
  })
})

describe('worst pictures', () => {
  it('come first by what is missed and made up, and only those with something wrong', () => {
    const pictures: EvaluatedPicture[] = [
      perfect(),
      { truths: [truth()], predictions: [] },
      { truths: [truth()], predictions: [said(0, 0.9, elsewhere), said(0, 0.1)] },
    ]
    assert.deepEqual(
      worstPictures(pictures, { thresholds: [0.3], most: 9 }).map(({ index, missed, spurious }) => [
        index,
        missed.length,
        spurious.length,
      ]),
      [
        [2, 1, 1],
        [1, 1, 0],
      ],
    )
  })
})
