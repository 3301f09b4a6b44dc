/** The 12 COCO numbers as pycocotools counts them, and what is built on them. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { Type } from 'typebox'
import { parseJson } from '../../protocol/parse.ts'
import { cocoNames, evaluateCoco } from '../../trainer/evaluation/coco.ts'
import { CocoResults, CocoTruth, pair, readCoco } from '../../trainer/evaluation/coco-files.ts'
import { difference, intervals, perClass, precisionOf, score } from '../../trainer/evaluation/compare.ts'
import { lacks, sharedData } from '../support/shared-data.ts'

const folder = 'eval/coco-val2014-100'
const theirs = [
  'AP_all',
  'AP_50',
  'AP_75',
  'AP_small',
  'AP_medium',
  'AP_large',
  'AR_1',
  'AR_10',
  'AR_100',
  'AR_small',
  'AR_medium',
  'AR_large',
]

describe('COCO evaluation', () => {
  it('equals pycocotools in all 12 numbers to 1e-9', { skip: lacks(folder) }, async () => {
    const { stats } = parseJson(
      Type.Object({ stats: Type.Record(Type.String(), Type.Number()) }),
      await readFile(sharedData(`${folder}/pycocotools-recomputed.json`), 'utf8'),
      'expected',
    )
    const { pictures, labels } = pair(
      await readCoco(sharedData(`${folder}/gt.json`), CocoTruth),
      await readCoco(sharedData(`${folder}/dt_bbox.json`), CocoResults),
    )
    const ours = evaluateCoco(pictures, labels)
    for (const [i, name] of cocoNames.entries())
      assert.ok(Math.abs(ours[name] - stats[theirs[i]!]!) < 1e-9, `${name}: ${ours[name]} is not ${stats[theirs[i]!]}`)
  })

  it('equals the numbers without crowds and with box areas (review-odm)', {
    skip: lacks(folder, 'eval/review-odm'),
  }, async () => {
    const expected = parseJson(
      Type.Record(Type.String(), Type.Unknown()),
      await readFile(sharedData('eval/review-odm/expected.json'), 'utf8'),
      'expected',
    )['tests/test_coco_eval'] as Record<string, number>
    const truth = await readCoco(sharedData(`${folder}/gt.json`), CocoTruth)
    const plain = {
      ...truth,
      annotations: truth.annotations.filter(({ iscrowd }) => !iscrowd).map(({ area: _, ...rest }) => rest),
    }
    const { pictures, labels } = pair(plain, await readCoco(sharedData(`${folder}/dt_bbox.json`), CocoResults))
    const ours = evaluateCoco(pictures, labels)
    for (const [name, key] of [
      ['AP', 'AP'],
      ['AP50', 'AP50'],
      ['AP75', 'AP75'],
      ['AR100', 'AR100'],
    ] as const) {
      assert.ok(Math.abs(ours[name] - expected[key]!) < 2e-3, `${name}: ${ours[name]} is not ${expected[key]}`)
    }
  })

  const truths = [{ box: [0, 0, 10, 10] as const, label: 0 }]
  const right = { box: [0, 0, 10, 10] as const, label: 0, score: 0.9 }
  const wrong = { box: [50, 50, 60, 60] as const, label: 0, score: 0.95 }

  it('counts a case that can be checked by hand', () => {
    // One of two true boxes found, after one false detection with a higher score: precision 1/2 up to recall 1/2.
    const pictures = [
      { truths, predictions: [right, wrong] },
      { truths, predictions: [] },
    ]
    const { AP50, AR100 } = evaluateCoco(pictures, [0])
    assert.ok(Math.abs(AP50 - (51 * 0.5) / 101) < 1e-12)
    assert.equal(AR100, 0.5)
  })

  it('gives -1 where no class has a true box', () => {
    assert.equal(evaluateCoco([{ truths: [], predictions: [right] }], [0]).AP, -1)
  })

  it('refuses detections of a picture that the ground truth does not have', () => {
    const truth = { images: [{ id: 1 }], annotations: [], categories: [] }
    assert.throws(() => pair(truth, [{ image_id: 2, category_id: 1, bbox: [0, 0, 1, 1], score: 1 }]), /image 2/)
  })

  it('finds a better model better on resampled pictures, and a model equal to itself no better', () => {
    const pictures = (good: number) =>
      Array.from({ length: 40 }, (_, i) => ({ truths, predictions: i < good ? [right] : [wrong] }))
    const [strong, weak] = [score(pictures(36), 1), score(pictures(10), 1)]
    const gain = difference(strong, weak).mAP50
    assert.ok(gain.low > 0.3 && gain.low <= gain.value && gain.value <= gain.high)
    const none = difference(weak, weak).mAP50
    assert.deepEqual([none.value, none.low, none.high], [0, 0, 0])
    const { mAP50 } = intervals(strong)
    assert.equal(mAP50.value, precisionOf(strong).mAP50)
    assert.ok(mAP50.low < mAP50.value && mAP50.value < mAP50.high)
  })

  it('proposes the threshold with the best F1', () => {
    const pictures = Array.from({ length: 10 }, () => ({ truths, predictions: [right, { ...wrong, score: 0.4 }] }))
    assert.equal(perClass(score(pictures, 1), ['a'])[0]!.threshold, 0.9)
  })
})
