/** What a training does beyond its labels: chooses its settings, learns from a teacher, and makes its scores mean probabilities. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import sharp from 'sharp'
import { decodePicture } from '../../trainer/data/picture.ts'
import { boxesPerPicture, labelledByTeacher, pseudoLabels, thresholdsOf } from '../../trainer/data/pseudo-labels.ts'
import type { LabelledSample } from '../../trainer/data/sample.ts'
import { validationCut } from '../../trainer/data/validation-cut.ts'
import { coreOf } from '../../trainer/detector/core.ts'
import { deployed } from '../../trainer/detector/deploy.ts'
import { plainNetwork } from '../../trainer/detector/network.ts'
import { Random } from '../../trainer/detector/random.ts'
import { specificationOf } from '../../trainer/detector/specification.ts'
import { calibrationOf } from '../../trainer/evaluation/calibration.ts'
import { fitScale, rescaled, unchanged, withScales } from '../../trainer/evaluation/fit-calibration.ts'
import { PictureDetector } from '../../trainer/inference/detector.ts'
import { parseRecipe } from '../../trainer/loop/beyond-labels.ts'
import { calibrated } from '../../trainer/loop/calibrate.ts'
import { chosen } from '../../trainer/loop/choose.ts'
import { trainWithUnlabelled } from '../../trainer/loop/self-train.ts'
import { startingModel } from '../../trainer/loop/start.ts'
import { peakRate, train } from '../../trainer/loop/train.ts'
import { floatTensor } from '../../trainer/onnx/graph.ts'
import { readOnnx } from '../../trainer/onnx/read.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'

const folder = mkdtempSync(join(tmpdir(), 'muninn-self-training-'))
after(() => rmSync(folder, { recursive: true }))
const classes = ['red', 'blue']
const small = { base: null, classes, inputSize: 64, batch: 4, workers: 1, seed: 2 }
const samples: LabelledSample[] = []
/** Knows the squares a little; also what a calibrated training says and gives. */
const known: { readonly said: string[]; model: Uint8Array } = { said: [], model: new Uint8Array() }
before(async () => {
  const random = new Random(8)
  for (let i = 0; i < 28; i++) {
    const path = join(folder, `${i}.png`)
    const [x, y, label] = [random.integer(64), random.integer(40), i % 2]
    const background = ['#fa5252', '#228be6'][label]!
    const square = { input: { create: { width: 32, height: 32, channels: 3 as const, background } }, left: x, top: y }
    await sharp({ create: { width: 96, height: 72, channels: 3, background: '#343a40' } })
      .composite([square])
      .png()
      .toFile(path)
    samples.push({ path, labels: [{ box: [x, y, x + 32, y + 32], label }] })
  }
  const recipe = { mosaic: 0, calibrate: 0.3 }
  const { model } = await train({
    ...small,
    samples,
    steps: 60,
    rate: 4e-3,
    recipe,
    onLog: (words) => known.said.push(words),
  })
  known.model = model
})

describe('a validation cut', () => {
  const picture = (path: string, group?: string): LabelledSample => ({ path, labels: [], ...(group && { group }) })

  it('keeps a clip on one side, and what it keeps back apart', () => {
    const some = Array.from({ length: 40 }, (_, i) => picture(`${i}`, `clip ${Math.floor(i / 5)}`))
    const { training, validation } = validationCut(some, 0.25, 1)
    assert.equal(validation.length, 10)
    assert.equal(training.length, 30)
    const groups = new Set(validation.map(({ group }) => group))
    assert.ok(training.every(({ group }) => !groups.has(group)))
    assert.notDeepEqual(validationCut(some, 0.25, 2).validation, validation)
  })

  it('never keeps back the greater part', () => {
    const { training, validation } = validationCut(
      [...Array.from({ length: 9 }, (_, i) => picture(`${i}`, 'long')), picture('x')],
      0.5,
      1,
    )
    assert.equal(validation.length, 1)
    assert.equal(training.length, 9)
  })
})

describe('labels of a teacher', () => {
  it('takes as many boxes as the labelled pictures lead to expect', () => {
    const scores = [[0.9, 0.2, 0.5, 0.7], [0.3], []]
    assert.deepEqual(thresholdsOf(scores, { expected: [4, 1, 2], share: 0.5 }), [0.7, 0.3, 0])
    assert.deepEqual(thresholdsOf(scores, { expected: [0, 0, 0] }), [Infinity, Infinity, Infinity])
  })

  it('counts boxes by picture and class, without ignored ones', () => {
    const box = [0, 0, 5, 5] as const
    const some = [
      {
        path: 'a',
        labels: [
          { box, label: 0 },
          { box, label: 0 },
          { box, label: 1, ignore: true },
        ],
      },
      { path: 'b', labels: [] },
    ]
    assert.deepEqual(boxesPerPicture(some, 2), [1, 0])
  })

  it('learns the sure ones, and nothing from the doubtful', () => {
    const found = [0.8, 0.5, 0.1].map((score, i) => ({ box: [i, 0, i + 5, 5] as const, label: 0, score }))
    assert.deepEqual(pseudoLabels(found, [0.6], [0.3]), [
      { box: [0, 0, 5, 5], label: 0 },
      { box: [1, 0, 6, 5], label: 0, ignore: true },
    ])
  })

  it('goes on from its own average with pictures that nobody labelled', async () => {
    const said: string[] = []
    const steps: number[] = []
    const { steps: taken } = await trainWithUnlabelled(
      {
        ...small,
        samples: samples.slice(0, 6),
        steps: 8,
        onLog: (words) => said.push(words),
        onProgress: ({ step }) => steps.push(step),
      },
      { paths: samples.slice(6, 10).map(({ path }) => path), teacher: null },
    )
    assert.equal(taken, 8)
    assert.deepEqual(steps, [1, 2, 3, 4, 5, 6, 7, 8])
    assert.match(said.join('\n'), /4 pictures without labels/)
  })

  it('finds the classes of a teacher by their names', async () => {
    const paths = samples.slice(0, 8).map(({ path }) => path)
    const [same, turned] = [classes, classes.toReversed()]
    const forth = await labelledByTeacher(known.model, { paths, samples, classes: same })
    const back = await labelledByTeacher(known.model, {
      paths,
      samples: samples.map((each) => ({ ...each, labels: each.labels.map(({ box, label }) => ({ box, label: 1 - label })) })),
      classes: turned,
    })
    assert.ok(forth.flatMap(({ labels }) => labels).length > 0)
    assert.ok(forth.every(({ pseudo }) => pseudo))
    assert.deepEqual(
      back.map(({ labels }) => labels.map((each) => ({ ...each, label: 1 - each.label }))),
      forth.map(({ labels }) => labels),
    )
  })
})

describe('choosing settings', () => {
  it('gives back one of the candidates and the steps that are left', async () => {
    const said: string[] = []
    const candidates = [
      { name: 'still', rate: 1e-6, recipe: {} },
      { name: 'lively', rate: 2, recipe: { mosaic: 0 } },
    ]
    const options = await chosen({ ...small, samples, steps: 80, onLog: (words) => said.push(words) }, { share: 0.5, candidates })
    assert.equal(options.steps, 40)
    assert.ok(said.at(-1) === 'chosen: lively' || said.at(-1) === 'chosen: still', said.at(-1))
    const usual = peakRate({}, { head: 'distances', architecture: 'built-in' })
    assert.equal(options.rate, usual * (said.at(-1) === 'chosen: lively' ? 2 : 1e-6))
  })

  it('says when there is too little to choose by', async () => {
    await assert.rejects(chosen({ ...small, samples: samples.slice(0, 6) }, { share: 0.5 }), { code: 'NOT_READY' })
    await assert.rejects(chosen({ ...small, samples, steps: 60 }, { share: 0.2 }), { code: 'INVALID_INPUT' })
  })
})

describe('a recipe in words', () => {
  it('becomes numbers by name', () => {
    assert.deepEqual(parseRecipe('mixup=0.5, copyPaste=0.3'), { mixup: 0.5, copyPaste: 0.3 })
    assert.deepEqual(parseRecipe(undefined), {})
  })

  it('names what it does not know, and what is out of range', () => {
    assert.throws(() => parseRecipe('mixap=0.5'), /mixap.*mosaic, mixup/)
    assert.throws(() => parseRecipe('mixup=2'), /mixup/)
    for (const text of ['mixup', 'mixup=', 'mixup=a', 'mixup=0.1=2', ''])
      assert.throws(() => parseRecipe(text), { code: 'INVALID_INPUT' })
  })
})

describe('calibration', () => {
  /** Scores that claim too much: what is right with probability p says sigmoid(2 logit(p) + 1). */
  const boastful = (count: number, seed: number) => {
    const random = new Random(seed)
    const truth = Array.from({ length: count }, () => random.between(0.02, 0.98))
    return {
      scores: Float64Array.from(truth, (p) => rescaled(p, { scale: 2, shift: 1 })),
      right: truth.map((p) => random.uniform() < p),
    }
  }

  it('finds the slope and offset that scores were bent by', () => {
    const { scores, right } = boastful(20_000, 4)
    const { scale, shift } = fitScale([...scores], right)
    // The inverse of 2 z + 1.
    assert.ok(Math.abs(scale - 0.5) < 0.03, `${scale}`)
    assert.ok(Math.abs(shift + 0.5) < 0.05, `${shift}`)
  })

  it('makes the calibration error smaller on scores it has not seen', () => {
    const [seen, unseen] = [boastful(2000, 5), boastful(2000, 6)]
    const ranking = ({ scores, right }: ReturnType<typeof boastful>) => ({ scores, outcome: [Int8Array.from(right, Number)] })
    const scales = [fitScale([...seen.scores], seen.right)]
    const [before, after] = [calibrationOf([ranking(unseen)]).ECE, calibrationOf(withScales([ranking(unseen)], scales)).ECE]
    assert.ok(before > 0.1 && after < 0.04, `${before}, then ${after}`)
  })

  it('leaves scores as they are when there is too little to tell by', () => {
    assert.deepEqual(fitScale([0.9, 0.2], [true, false]), unchanged)
    assert.deepEqual(fitScale(Array(50).fill(0.5), Array(50).fill(true)), unchanged)
  })

  it('is a part of the file: scores change as the fit says, boxes do not', async () => {
    const size = { width: 64, height: 64 }
    const { graph, specification } = plainNetwork({ ...size, classes, random: new Random(1) })
    const core = coreOf(graph, specification)
    for (const { bias } of specification.classifiers) core.initializers.set(bias, floatTensor([2], [0.4, -0.2]))
    const calibration = [
      { scale: 0.8, shift: 0.3 },
      { scale: 1.5, shift: -0.1 },
    ]
    const detect = async (model: Uint8Array) => {
      const detector = await PictureDetector.load(model)
      const { found } = await detector.detect(await decodePicture(samples[0]!.path))
      await detector.stop()
      return found.toSorted((a, b) => a.label - b.label || b.score - a.score)
    }
    const file = writeOnnx(deployed(core, { ...specification, calibration }, size))
    const [plain, fitted] = [await detect(writeOnnx(deployed(core, specification, size))), await detect(file)]
    assert.ok(plain.length > 5)
    assert.deepEqual(
      fitted.map(({ box, label }) => ({ box, label })),
      plain.map(({ box, label }) => ({ box, label })),
    )
    for (const [i, { label, score }] of plain.entries())
      assert.ok(Math.abs(fitted[i]!.score - rescaled(score, calibration[label]!)) < 1e-5)
    assert.deepEqual(specificationOf(readOnnx(file)).calibration, calibration)
  })

  it('keeps what it fits only when that helps on pictures it was not fitted on', async () => {
    const { specification, before: raw, after: fitted } = await calibrated(known.model, { samples })
    assert.ok(fitted <= raw)
    assert.equal(specification.calibration !== undefined, fitted < raw)
  })

  it('keeps back pictures in training when the recipe says so, and a new training forgets the fit', () => {
    assert.match(known.said.join('\n'), /calibration error .* \(\d+ pictures kept back\)/)
    const fit = specificationOf(readOnnx(known.model)).calibration
    assert.equal(fit !== undefined, /fitted scores/.test(known.said.join('\n')))
    const next = startingModel({ ...small, base: known.model })
    assert.equal(specificationOf(readOnnx(next)).calibration, undefined)
  })
})
