/** The training loop on the drawn street: it learns, resumes where it was, keeps what it knew, and tells what is wrong. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import sharp from 'sharp'
import { kinds } from '../../edge-agent/demo/objects.ts'
import { renderStreet } from '../../edge-agent/demo/street.ts'
import { decodePicture } from '../../trainer/data/picture.ts'
import type { LabelledSample } from '../../trainer/data/sample.ts'
import { assign } from '../../trainer/detector/assignment.ts'
import { cellsOf } from '../../trainer/detector/cells.ts'
import { withClasses } from '../../trainer/detector/classes.ts'
import { coreOf } from '../../trainer/detector/core.ts'
import { deployed } from '../../trainer/detector/deploy.ts'
import { plainNetwork } from '../../trainer/detector/network.ts'
import { Random } from '../../trainer/detector/random.ts'
import type { Specification } from '../../trainer/detector/specification.ts'
import { precisionOf, score } from '../../trainer/evaluation/compare.ts'
import { measureModel } from '../../trainer/evaluation/measure.ts'
import { PictureDetector } from '../../trainer/inference/detector.ts'
import { decodeCheckpoint, encodeCheckpoint } from '../../trainer/loop/checkpoint.ts'
import { train } from '../../trainer/loop/train.ts'
import { floatTensor, type Graph } from '../../trainer/onnx/graph.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'

const folder = mkdtempSync(join(tmpdir(), 'muninn-training-'))
after(() => rmSync(folder, { recursive: true }))
const classes: readonly string[] = kinds
let samples: LabelledSample[] = []

before(async () => {
  for (let i = 0; i < 6; i++) {
    const { truth, data, width, height } = await renderStreet({ seed: 3, seconds: i * 7, condition: 'day' })
    const path = join(folder, `${i}.jpg`)
    await sharp(data, { raw: { width, height, channels: 3 } })
      .jpeg({ quality: 90 })
      .toFile(path)
    samples = [...samples, { path, labels: truth.map(({ box, label }) => ({ box, label: classes.indexOf(label) })) }]
  }
})

/** Small enough for a test; every part is the real one. */
const small = { classes, inputSize: 160, batch: 4, workers: 2, seed: 5 }

describe('training', () => {
  it('learns pictures by heart from scratch', async () => {
    const seen: number[] = []
    const result = await train({
      ...small,
      base: null,
      samples,
      epochs: 120,
      rate: 2e-3,
      onProgress: ({ losses }) => seen.push(losses.loss!),
    })
    const average = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
    const [first, last] = [average(seen.slice(0, 10)), average(seen.slice(-10))]
    assert.ok(last < 0.65 * first, `the loss went from ${first} to ${last}`)
    const { pictures } = await measureModel(result.model, { samples, classes })
    const { mAP50 } = precisionOf(score(pictures, classes.length))
    assert.ok(mAP50 > 0.15, `mAP50 on the pictures it learnt is ${mAP50}`)
  })

  it('goes on from a checkpoint as if it had never stopped, and gives the same file', async () => {
    const options = { ...small, base: null, samples, epochs: 24, checkpointSeconds: 0 }
    const whole: number[] = []
    let checkpoint: Uint8Array | null = null
    const first = await train({
      ...options,
      onProgress: ({ losses }) => whole.push(losses.loss!),
      onCheckpoint: async (bytes, step) => {
        if (step === 12) checkpoint = bytes
      },
    })
    assert.ok(checkpoint)
    const rest: number[] = []
    const second = await train({ ...options, resume: checkpoint, onProgress: ({ losses }) => rest.push(losses.loss!) })
    assert.deepEqual(rest, whole.slice(12))
    assert.ok(Buffer.from(first.model).equals(Buffer.from(second.model)))
  })

  it('starts over when the checkpoint belongs to something else or is damaged', async () => {
    const said: string[] = []
    const bad = encodeCheckpoint({
      fingerprint: 'other',
      next: 3,
      steps: 30,
      plateau: { best: -1, misses: 0 },
      trainedSeconds: 1,
      state: {
        step: 3,
        parameters: new Float32Array(1),
        moment1: new Float32Array(1),
        moment2: new Float32Array(1),
        average: new Float32Array(1),
        statistics: new Float32Array(0),
      },
    })
    await train({ ...small, base: null, samples, epochs: 1, resume: bad, onLog: (words) => said.push(words) })
    assert.match(said.join(), /other data or settings/)
    assert.throws(() => decodeCheckpoint(bad.subarray(0, bad.length - 1)), /damaged/)
  })

  it('stops when it is told to', async () => {
    const stopping = new AbortController()
    await assert.rejects(
      train({
        ...small,
        base: null,
        samples,
        epochs: 100,
        signal: stopping.signal,
        onProgress: ({ step }) => step === 2 && stopping.abort(new Error('enough')),
      }),
      /enough/,
    )
  })

  it('keeps what it knows of the old classes when one is added, whatever the order', async () => {
    const size = { width: 160, height: 160 }
    const { graph, specification } = plainNetwork({ ...size, classes: ['a', 'b', 'c'], random: new Random(1) })
    const known = coreOf(graph, specification)
    const detect = async (core: Graph, of: Specification) => {
      const detector = await PictureDetector.load(writeOnnx(deployed(core, of, size)))
      const { found } = await detector.detect(await decodePicture(samples[0]!.path))
      await detector.stop()
      return found.map(({ box, label, score }) => `${of.classes[label]} ${score.toFixed(5)} ${box.map(Math.round).join(' ')}`)
    }
    // Louder than a fresh network is, so that there is something to find.
    for (const { bias } of specification.classifiers) known.initializers.set(bias, floatTensor([3], [-1, 0.5, 0.2]))
    const { core, specification: wider } = withClasses(known, specification, ['c', 'new', 'a', 'b'])
    const before = await detect(known, specification)
    assert.ok(before.length > 10)
    assert.deepEqual(wider.classes, ['c', 'new', 'a', 'b'])
    assert.deepEqual(new Set((await detect(core, wider)).filter((each) => !each.startsWith('new'))), new Set(before))
  })

  it('names the picture that cannot be decoded', async () => {
    const path = join(folder, 'broken.jpg')
    await writeFile(path, 'this is no picture')
    await assert.rejects(
      train({ ...small, base: null, samples: [{ path, labels: samples[0]!.labels }], epochs: 2 }),
      /broken\.jpg/,
    )
  })

  it('says so when there is nothing to learn from', async () => {
    await assert.rejects(train({ ...small, base: null, samples: [] }), { code: 'NOT_READY' })
    await assert.rejects(train({ ...small, base: null, samples: [{ path: samples[0]!.path, labels: [] }] }), {
      code: 'NOT_READY',
    })
  })
})

describe('assignment', () => {
  const cells = cellsOf({ width: 160, height: 160, strides: [8, 16, 32] })

  it('gives every true box a cell, however small', () => {
    for (const size of [3, 8, 20, 60, 140]) {
      for (const at of [0, 5.3, 17]) {
        const assigned = assign([[at, at, at + size, at + size]], cells)
        assert.ok(assigned.length > 0, `a box of ${size} px at ${at} has no cell`)
      }
    }
  })

  it('gives a cell to one box only, and large boxes to coarse grids', () => {
    const assigned = assign(
      [
        [10, 10, 40, 40],
        [12, 12, 150, 150],
      ],
      cells,
    )
    assert.equal(new Set(assigned.map(({ cell }) => cell)).size, assigned.length)
    const strideOf = (truth: number) =>
      Math.max(...assigned.filter((each) => each.truth === truth).map(({ cell }) => cells.stride[cell]!))
    assert.ok(strideOf(1) >= strideOf(0))
  })
})
