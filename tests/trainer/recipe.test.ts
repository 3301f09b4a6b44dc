/** What a training does with its pictures: how often each is shown, what is pasted and mixed, and when it stops; and the few-labels benchmark's own parts. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import sharp from 'sharp'
import { area, type Box, intersection } from '../../protocol/boxes.ts'
import type { Picture } from '../../protocol/letterbox.ts'
import { defaultRecipe, type Recipe } from '../../protocol/recipe.ts'
import { type Augmentation, canvasOf, type Labelled, mixed, plain, single } from '../../trainer/data/augment.ts'
import { copyable, freePlace, pasted } from '../../trainer/data/paste.ts'
import type { LabelledSample } from '../../trainer/data/sample.ts'
import { epochOrder, repeatFactors, sharesOf } from '../../trainer/data/sampling.ts'
import { Random } from '../../trainer/detector/random.ts'
import { score } from '../../trainer/evaluation/compare.ts'
import { halve, rungsOf } from '../../trainer/loop/halving.ts'
import { augmentationAt } from '../../trainer/loop/recipe.ts'
import { train } from '../../trainer/loop/train.ts'
import { differenceOverSeeds, precisionOverSeeds } from '../bench/few-labels-compare.ts'
import { drawLabels, grouped, heldOutGroups } from '../bench/few-labels-data.ts'
import { markdown, page } from '../bench/few-labels-report.ts'

const at = (label: number, ...more: number[]) => ({
  labels: [label, ...more].map((each) => ({ box: [0, 0, 9, 9] as Box, label: each })),
})
const flat = (width: number, height: number, value: number): Picture => ({
  width,
  height,
  data: new Uint8Array(width * height * 3).fill(value),
})
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

describe('how often a picture is shown', () => {
  it('repeats rare classes by the square root of how rare they are', () => {
    // Class 0 in every picture, class 1 in 1 of 16: sqrt(0.25 / (1/16)) = 2.
    const samples = [...Array.from({ length: 15 }, () => at(0)), at(0, 1)]
    assert.deepEqual(repeatFactors(samples, 0.25), [...Array<number>(15).fill(1), 2])
    assert.deepEqual(repeatFactors([at(0), { labels: [] }], 0.1), [1, 1])
  })

  it('keeps the length of an epoch, whatever is repeated', () => {
    const samples = [...Array.from({ length: 15 }, () => at(0)), at(0, 1)]
    const shares = sharesOf(samples, { repeatBelow: 0.25, replay: null, pseudo: null })
    assert.ok(Math.abs(sum(shares) - 16) < 1e-9)
    assert.ok(Math.abs(shares[15]! / shares[0]! - 2) < 1e-9)
  })

  it('gives old pictures the share of the epoch that the recipe says', () => {
    const samples = [at(0), at(0), ...Array.from({ length: 6 }, () => ({ ...at(0), old: true }))]
    const shares = sharesOf(samples, { repeatBelow: 0, replay: 0.25, pseudo: null })
    assert.ok(Math.abs(sum(shares.slice(2)) - 2) < 1e-9)
    assert.ok(Math.abs(sum(shares) - 8) < 1e-9)
    assert.deepEqual(sharesOf(samples, { repeatBelow: 0, replay: null, pseudo: null }), Array(8).fill(1))
    const mixed = [at(0), { ...at(0), old: true }, ...Array.from({ length: 6 }, () => ({ ...at(0), pseudo: true }))]
    const three = sharesOf(mixed, { repeatBelow: 0, replay: 0.25, pseudo: 0.5 })
    assert.deepEqual(
      three.map((share) => Math.round(share * 1000) / 1000),
      [2, 2, ...Array(6).fill(0.667)],
    )
    // Where all have a share of their own, they are taken in proportion.
    assert.deepEqual(sharesOf(mixed.slice(1, 3), { repeatBelow: 0, replay: 0.2, pseudo: 0.2 }), [1, 1])
    // With nothing new, or nothing old, there is nothing to weigh.
    assert.deepEqual(sharesOf([at(0), at(1)], { repeatBelow: 0, replay: 0.25, pseudo: null }), [1, 1])
  })

  it('shows every picture once an epoch where none is repeated', () => {
    for (const seed of [1, 2, 3, 77]) {
      const order = epochOrder(Array(50).fill(1), seed)
      assert.deepEqual(
        order.toSorted((a, b) => a - b),
        Array.from({ length: 50 }, (_, i) => i),
      )
    }
    assert.notDeepEqual(epochOrder(Array(50).fill(1), 1), epochOrder(Array(50).fill(1), 2))
  })

  it('shows each picture its share rounded up or down, and the share itself over many epochs', () => {
    const shares = [0.4, 0.6, 1.3, 1.7, 1]
    const counts = shares.map(() => 0)
    for (let seed = 0; seed < 2000; seed++) {
      const order = epochOrder(shares, seed)
      assert.equal(order.length, shares.length)
      for (const [i, share] of shares.entries()) {
        const shown = order.filter((each) => each === i).length
        assert.ok(shown >= Math.floor(share) && shown <= Math.ceil(share), `${share} was shown ${shown} times`)
        counts[i]! += shown
      }
    }
    for (const [i, share] of shares.entries()) assert.ok(Math.abs(counts[i]! / 2000 - share) < 0.05)
  })
})

describe('augmentation', () => {
  const recipe: Recipe = { ...defaultRecipe, mosaic: 0.5, mixup: 0.4, copyPaste: 0.3, closing: 0.25 }
  const gentle: Augmentation = { ...augmentationAt(recipe, 0, 100), scale: 0, colour: 0 }

  it('closes mosaic, mixup and pasting for the last share of the steps', () => {
    const shares = (step: number) => {
      const { mosaic, mixup, copyPaste } = augmentationAt(recipe, step, 100)
      return [mosaic, mixup, copyPaste]
    }
    assert.deepEqual(shares(0), [0.5, 0.4, 0.3])
    assert.deepEqual(shares(74), [0.5, 0.4, 0.3])
    assert.deepEqual(shares(75), [0, 0, 0])
    assert.equal(augmentationAt({ ...recipe, closing: 0 }, 99, 100).mosaic, 0.5)
  })

  it('changes neither size nor light at strength 0', () => {
    const sample: Labelled = { picture: flat(40, 40, 90), labels: [{ box: [10, 10, 20, 20], label: 0 }] }
    const { picture, labels } = single(sample, canvasOf({ width: 80, height: 80 }), gentle, new Random(3))
    assert.ok(picture.data.every((value) => value === 90))
    const { box } = labels[0]!
    assert.deepEqual([box[2] - box[0], box[3] - box[1]], [20, 20])
  })

  it('mixes two pictures half and half and keeps the boxes of both', () => {
    const a = plain({ picture: flat(8, 8, 100), labels: [{ box: [0, 0, 4, 4], label: 0 }] }, canvasOf({ width: 8, height: 8 }))
    const b = plain({ picture: flat(8, 8, 50), labels: [{ box: [2, 2, 8, 8], label: 1 }] }, canvasOf({ width: 8, height: 8 }))
    const { picture, labels } = mixed(a, b)
    assert.ok(picture.data.every((value) => value === 75))
    assert.deepEqual(
      labels.map(({ label }) => label),
      [0, 1],
    )
  })

  it('copies whole objects only, that no other overlaps', () => {
    const labels = [
      { box: [0, 0, 20, 20] as Box, label: 0 },
      { box: [5, 5, 22, 22] as Box, label: 1 },
      { box: [40, 40, 60, 60] as Box, label: 2 },
      { box: [70, 70, 73, 90] as Box, label: 3 },
      { box: [80, 10, 99, 30] as Box, label: 4, ignore: true },
    ]
    assert.deepEqual(
      copyable({ labels }).map(({ label }) => label),
      [2],
    )
  })

  it('pastes where there is room, with a box that fits what was pasted', () => {
    const from: Labelled = { picture: flat(64, 64, 250), labels: [{ box: [20, 20, 36, 30], label: 1 }] }
    const onto: Labelled = { picture: flat(64, 64, 10), labels: [{ box: [0, 0, 30, 64], label: 0 }] }
    let pastes = 0
    for (let seed = 0; seed < 30; seed++) {
      const { picture, labels } = pasted(onto, from, new Random(seed))
      assert.deepEqual(labels[0], onto.labels[0])
      for (const { box, label } of labels.slice(1)) {
        pastes++
        assert.equal(label, 1)
        assert.ok(box[0] >= 0 && box[1] >= 0 && box[2] <= 64 && box[3] <= 64)
        assert.ok(intersection(box, onto.labels[0]!.box) <= 0.2 * area(box))
      }
      // Pixels change inside the pasted boxes and nowhere else; their middle is the object.
      for (let y = 0; y < 64; y++) {
        for (let x = 0; x < 64; x++) {
          const inside = labels.slice(1).some(({ box }) => x >= box[0] && x < box[2] && y >= box[1] && y < box[3])
          const value = picture.data[(y * 64 + x) * 3]!
          assert.ok(inside ? value > 10 : value === 10, `${value} at ${x}, ${y} of seed ${seed}`)
        }
      }
      for (const { box } of labels.slice(1)) {
        const [x, y] = [Math.floor((box[0] + box[2]) / 2), Math.floor((box[1] + box[3]) / 2)]
        assert.equal(picture.data[(y * 64 + x) * 3], 250)
      }
    }
    assert.ok(pastes > 10, `${pastes} pastes of 30`)
    assert.ok(onto.picture.data.every((value) => value === 10))
  })

  it('finds no place where all is taken', () => {
    const full = [{ box: [0, 0, 50, 50] as Box, label: 0 }]
    assert.equal(freePlace(full, { width: 20, height: 20 }, { width: 50, height: 50 }, new Random(1)), null)
    assert.equal(freePlace([], { width: 60, height: 20 }, { width: 50, height: 50 }, new Random(1)), null)
  })
})

describe('a recipe in training', () => {
  const folder = mkdtempSync(join(tmpdir(), 'muninn-recipe-'))
  after(() => rmSync(folder, { recursive: true }))
  let samples: LabelledSample[] = []
  before(async () => {
    for (let i = 0; i < 4; i++) {
      const path = join(folder, `${i}.png`)
      const square = {
        input: { create: { width: 40, height: 30, channels: 3 as const, background: '#fa5252' } },
        left: 10 + 20 * i,
        top: 30,
      }
      await sharp({ create: { width: 128, height: 96, channels: 3, background: '#343a40' } })
        .composite([square])
        .png()
        .toFile(path)
      samples = [
        ...samples,
        { path, labels: [{ box: [10 + 20 * i, 30, 50 + 20 * i, 60], label: i % 2 }], ...(i > 1 && { old: true }) },
      ]
    }
  })
  const small = { base: null, classes: ['even', 'odd'], inputSize: 64, batch: 4, workers: 1, seed: 2, steps: 3 }

  it('trains as many steps as it is told, with every option on', async () => {
    const recipe: Recipe = {
      ...defaultRecipe,
      mixup: 1,
      mosaic: 0.6,
      copyPaste: 1,
      repeatBelow: 0.6,
      replay: 0.5,
      scale: 1.5,
      colour: 0.5,
    }
    const seen: number[] = []
    const result = await train({ ...small, samples, recipe, onProgress: ({ losses }) => seen.push(losses.loss!) })
    assert.equal(result.steps, 3)
    assert.ok(seen.length === 3 && seen.every(Number.isFinite))
  })
})

describe('successive halving', () => {
  it('spends the budget on fewer and fewer candidates', () => {
    assert.deepEqual(rungsOf(8, 240), [
      { candidates: 8, budget: 10 },
      { candidates: 4, budget: 20 },
      { candidates: 2, budget: 40 },
    ])
    assert.deepEqual(rungsOf(5, 90), [
      { candidates: 5, budget: 6 },
      { candidates: 3, budget: 10 },
      { candidates: 2, budget: 15 },
    ])
    assert.deepEqual(rungsOf(1, 90), [])
    for (const count of [2, 3, 7, 16])
      assert.ok(sum(rungsOf(count, 100).map(({ candidates, budget }) => candidates * budget)) <= 100)
  })

  it('finds the best, and tries the bad ones only at first', async () => {
    const asked = new Map<number, number>()
    const { best, tried } = await halve([3, 9, 1, 7], 80, async (candidate, budget) => {
      asked.set(candidate, (asked.get(candidate) ?? 0) + 1)
      return candidate * (1 - 1 / budget)
    })
    assert.equal(best, 9)
    assert.deepEqual(Object.fromEntries(asked), { 1: 1, 3: 1, 7: 2, 9: 2 })
    assert.deepEqual(
      tried.slice(4).map(({ candidate, budget }) => [candidate, budget]),
      [
        [9, 20],
        [7, 20],
      ],
    )
  })

  it('takes the first of equals', async () => {
    assert.equal((await halve(['a', 'b', 'c'], 60, async () => 0)).best, 'a')
    await assert.rejects(
      halve([], 60, async () => 0),
      /nothing to choose/,
    )
  })
})

describe('the few-labels benchmark', () => {
  it('keeps linked pictures on one side, and never holds out most of a set', () => {
    const groups = grouped(6, (a, b) => (a === 0 && b === 2) || (a === 2 && b === 5))
    assert.deepEqual(
      groups.map((group) => groups.indexOf(group)),
      [0, 1, 0, 3, 4, 0],
    )
    const clips = [...Array<number>(60).fill(0), ...Array<number>(20).fill(1), ...Array<number>(20).fill(2)]
    const held = heldOutGroups(clips)
    assert.ok(!held.has(0) && held.size > 0)
  })

  it('draws the small budgets out of the larger ones', () => {
    const pool = Array.from({ length: 30 }, (_, i): LabelledSample => ({ path: `${i}.jpg`, labels: [] }))
    assert.deepEqual(drawLabels(pool, 5, 3), drawLabels(pool, 20, 3).slice(0, 5))
    assert.notDeepEqual(drawLabels(pool, 5, 3), drawLabels(pool, 5, 4))
  })

  it('tells a difference that is there from one that is not', () => {
    const truth = { box: [0, 0, 10, 10] as Box, label: 0 }
    const scored = (right: number) =>
      score(
        Array.from({ length: 40 }, (_, i) => ({
          truths: [truth],
          predictions: i < right ? [{ ...truth, score: 0.9 }] : [],
        })),
        1,
      )
    const better = differenceOverSeeds([
      { variant: scored(38), base: scored(20) },
      { variant: scored(36), base: scored(22) },
    ])
    assert.ok(better.mAP50.low > 0 && better.mAP50.high < 1)
    const same = differenceOverSeeds([
      { variant: scored(21), base: scored(20) },
      { variant: scored(19), base: scored(20) },
    ])
    assert.ok(same.mAP50.low < 0 && same.mAP50.high > 0)
    const row = {
      dataset: 'a <b>',
      labels: 50,
      variant: 'x',
      seeds: 2,
      seconds: 3,
      ECE: 0.1,
      ...precisionOverSeeds([scored(38)]),
      difference: better,
    }
    assert.match(markdown([row]), /\| a <b> \| 50 \| x \| 2 \| 0\.9\d\d \[0\.\d+, 1\.000\] .* \+0\.\d+ \[\+0/)
    const html = page([row], { words: { x: 'a variant' }, settings: 'tiny' })
    assert.match(html, /a &#60;b&#62;/)
    assert.doesNotMatch(html, /NaN|undefined|https?:|<script/)
  })
})
