/** Training at several sizes of the input, with momentum, and training that ends when it no longer gets better. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import sharp from 'sharp'
import { adopt } from '../../trainer/adapters/adopt-file.ts'
import { adapters } from '../../trainer/adapters/table.ts'
import { Loader } from '../../trainer/data/loader.ts'
import type { LabelledSample } from '../../trainer/data/sample.ts'
import { coreOf } from '../../trainer/detector/core.ts'
import { deployed } from '../../trainer/detector/deploy.ts'
import { plainNetwork } from '../../trainer/detector/network.ts'
import { Random } from '../../trainer/detector/random.ts'
import { packed } from '../../trainer/engine/step-graph.ts'
import { initialState } from '../../trainer/engine/trainer-state.ts'
import { planOn } from '../../trainer/loop/plan.ts'
import { cutShort, isLook, looked, noLook, type Plateau } from '../../trainer/loop/plateau.ts'
import { SizedRunner } from '../../trainer/loop/sized-runner.ts'
import { sizeAt, sizesAround, sizesFor } from '../../trainer/loop/sizes.ts'
import { startFrom, trainable } from '../../trainer/loop/start.ts'
import { train } from '../../trainer/loop/train.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { offsetsNet } from '../support/foreign-ssd.ts'

const folder = mkdtempSync(join(tmpdir(), 'muninn-sizes-'))
after(() => rmSync(folder, { recursive: true }))
const classes = ['red', 'blue']
const small = { classes, inputSize: 64, batch: 4, workers: 2, seed: 2 }
const samples: LabelledSample[] = []
/** Knows the squares. */
let base: Uint8Array = new Uint8Array()
before(async () => {
  const random = new Random(8)
  for (let i = 0; i < 28; i++) {
    const path = join(folder, `${i}.png`)
    const [x, y, label] = [random.integer(64), random.integer(40), i % 2]
    const square = {
      input: { create: { width: 32, height: 32, channels: 3 as const, background: ['#fa5252', '#228be6'][label]! } },
      left: x,
      top: y,
    }
    await sharp({ create: { width: 96, height: 72, channels: 3, background: '#343a40' } })
      .composite([square])
      .png()
      .toFile(path)
    samples.push({ path, labels: [{ box: [x, y, x + 32, y + 32], label }] })
  }
  base = (await train({ ...small, base: null, samples, steps: 80, rate: 4e-3, recipe: { mosaic: 0 } })).model
})

describe('sizes of the input', () => {
  it('lie around its own, in whole strides of the coarsest grid', () => {
    const sides = (side: number, share: number) => sizesAround({ width: side, height: side }, share).map(({ width }) => width)
    assert.deepEqual(sides(320, 0.25), [256, 288, 320, 352, 384])
    assert.deepEqual(sides(320, 0), [320])
    assert.deepEqual(sides(64, 0.5), [32, 64, 96])
    assert.deepEqual(sizesAround({ width: 416, height: 256 }, 0.1), [
      { width: 384, height: 224 },
      { width: 416, height: 256 },
      { width: 448, height: 288 },
    ])
  })

  it('are one where the grids fit that alone, as those of SSD, whose strides no convolution has', async () => {
    const layout = { width: 300, height: 300, classes: 2, loud: false }
    const net = offsetsNet(layout, { strides: [16, 32, 64, 128, 256, 512], perCell: [6, 6, 6, 6, 6, 6] })
    const { core, specification } = await adopt(net, adapters.ssd!, { classes: ['a', 'b'] })
    const base = writeOnnx(deployed(core, specification, layout))
    const said: string[] = []
    const start = startFrom({ base, classes: ['a', 'b'], inputSize: 320, onLog: (words) => said.push(words) })
    assert.deepEqual([start.width, start.height], [300, 300])
    assert.match(said.join(), /own 300 x 300: its grids fit the size that it was made for alone/)
    assert.deepEqual(
      sizesFor(start, { multiScale: 0.3 }, () => {}),
      [{ width: 300, height: 300 }],
    )
  })

  it('change every few steps, all of them, and are its own at first and in the closing part', () => {
    const input = { width: 320, height: 320 }
    const options = { input, sizes: sizesAround(input, 0.2), steps: 1000, closing: 0.2, seed: 3 }
    const at = (step: number) => sizeAt(step, options).width
    for (let step = 0; step < 25; step++) assert.equal(at(step), 320)
    for (let step = 800; step < 1000; step++) assert.equal(at(step), 320)
    for (let step = 25; step < 800; step++) assert.equal(at(step), at(25 * Math.floor(step / 25)))
    const between = Array.from({ length: 31 }, (_, i) => at(25 * (i + 1)))
    assert.deepEqual(new Set(between), new Set([256, 288, 320, 352, 384]))
    assert.notDeepEqual(
      between,
      Array.from({ length: 31 }, (_, i) => sizeAt(25 * (i + 1), { ...options, seed: 4 }).width),
    )
  })

  it('are steps of one state: what a step of one size learnt, the next of another goes on from', async () => {
    const input = { width: 64, height: 64 }
    const { graph, specification } = plainNetwork({ ...input, classes, random: new Random(1) })
    const core = coreOf(graph, specification)
    const planned = (size: { width: number; height: number }) =>
      planOn('cpu', {
        core,
        specification,
        ...size,
        batch: 4,
        workers: 2,
        parameters: trainable(core),
        rateScale: () => 1,
        decay: () => 0,
      })
    const plan = await planned(input)
    const state = initialState(packed(core, plan.step.parameters), packed(core, plan.step.statistics))
    const setup = {
      samples,
      shares: samples.map(() => 1),
      width: 96,
      height: 96,
      specification,
      batch: plan.micro,
      parts: plan.parts,
      seed: 1,
      cacheBytes: 1e8,
    }
    const side = (step: number) => [64, 96, 32, 64][step]!
    const augmentation = { mosaic: 0.5, mixup: 0, copyPaste: 0, plain: 0.2, scale: 1, colour: 1 }
    const loader = new Loader({
      setup,
      threads: plan.loaders,
      augmentation: () => augmentation,
      input: (step) => ({ width: side(step % 4), height: side(step % 4) }),
    })
    const runner = new SizedRunner({ input, plan, state, planned })
    try {
      await runner.start()
      for (let step = 0; step < 4; step++) {
        const batches = await loader.batches(step)
        assert.deepEqual(batches[0]!.image!.shape, [4, side(step), side(step), 3])
        const before = state.parameters.slice()
        const { skipped, losses } = await runner.run(batches, { rate: 1e-3, averageDecay: 0.9 })
        await runner.sync()
        assert.ok(!skipped && Number.isFinite(losses.loss))
        const moved = state.parameters.reduce((most, value, i) => Math.max(most, Math.abs(value - before[i]!)), 0)
        // Adam moves a parameter by about the learning rate: a state begun anew would have jumped back.
        assert.ok(moved > 0 && moved < 5e-3, `step ${step} moved by ${moved}`)
        assert.equal(state.step, step + 1)
      }
    } finally {
      await loader.stop()
      await runner.stop()
    }
  })

  it('give a model of the size that was asked for, the same after an interruption', async () => {
    const options = { ...small, base: null, samples, steps: 60, recipe: { multiScale: 0.5 } }
    const said: string[] = []
    let middle: Uint8Array | null = null
    const whole = await train({
      ...options,
      checkpointSeconds: 0,
      onLog: (words) => said.push(words),
      onCheckpoint: async (bytes, step) => {
        if (step === 40) middle = bytes
      },
    })
    assert.deepEqual([whole.width, whole.height], [64, 64])
    assert.match(said.join('\n'), /sizes of the input: 32 x 32, 64 x 64, 96 x 96/)
    const again = await train({ ...options, resume: middle })
    assert.ok(Buffer.from(whole.model).equals(again.model))
  })
})

describe('momentum instead of AdamW', () => {
  it('learns, and goes on from a checkpoint as if it had never stopped', async () => {
    const options = { ...small, base: null, samples, steps: 60, rate: 0.02, recipe: { momentum: 0.9, mosaic: 0 } }
    const losses: number[] = []
    let middle: Uint8Array | null = null
    const whole = await train({
      ...options,
      checkpointSeconds: 0,
      onProgress: ({ losses: { loss } }) => losses.push(loss!),
      onCheckpoint: async (bytes, step) => {
        if (step === 30) middle = bytes
      },
    })
    const mean = (some: readonly number[]) => some.reduce((a, b) => a + b) / some.length
    const [first, last] = [mean(losses.slice(0, 5)), mean(losses.slice(-5))]
    assert.ok(last < 0.7 * first, `loss ${first} -> ${last}`)
    assert.ok(Buffer.from(whole.model).equals((await train({ ...options, resume: middle })).model))
    const adam = await train({ ...options, recipe: { mosaic: 0 } })
    assert.ok(!Buffer.from(whole.model).equals(adam.model))
  })
})

describe('micro-batches', () => {
  it('count by the positives of the whole step, so that few boxes do not weigh as much as many', async () => {
    const { specification } = plainNetwork({ width: 64, height: 64, classes, random: new Random(1) })
    const [{ path }] = samples as [LabelledSample]
    const box = (x: number) => ({ box: [x, 10, x + 20, 40] as const, label: 0 })
    const setup = {
      samples: [
        { path, labels: [box(0)] },
        { path, labels: [box(0), box(24), box(48), box(70)] },
      ],
      shares: [1, 1],
      width: 64,
      height: 64,
      specification,
      batch: 1,
      parts: 2,
      seed: 1,
      cacheBytes: 1e8,
    }
    const augmentation = { mosaic: 0, mixup: 0, copyPaste: 0, plain: 1, scale: 0, colour: 0 }
    const loader = new Loader({ setup, threads: 1, augmentation: () => augmentation })
    try {
      const batches = await loader.batches(0)
      const counts = batches.map(({ weight }) => (weight!.data as Float32Array).filter((value) => value > 0).length)
      assert.ok(Math.max(...counts) > 2 * Math.min(...counts), `positives: ${counts.join(', ')}`)
      // The mean of two parts, each over n / 2, is the sum over n.
      for (const { normalizer } of batches)
        assert.ok(Math.abs(Number(normalizer!.data[0]) - 2 / (counts[0]! + counts[1]!)) < 1e-6)
    } finally {
      await loader.stop()
    }
  })
})

describe('a training that no longer gets better', () => {
  it('is told by looks without a gain, once it finds anything', () => {
    const after_ = (values: readonly number[]): Plateau => values.reduce(looked, noLook)
    assert.deepEqual(after_([0, 0, 0]), { best: 0, misses: 0 })
    assert.deepEqual(after_([0, 0.2, 0.3, 0.25]), { best: 0.3, misses: 1 })
    assert.deepEqual(after_([0.3, 0.3005, 0.2]), { best: 0.3005, misses: 2 })
    assert.deepEqual(after_([0.3, 0.2, 0.31]), { best: 0.31, misses: 0 })
  })

  it('is looked at each twentieth of its steps, neither in its first fifth nor at its end', () => {
    const looks = Array.from({ length: 400 }, (_, at) => at).filter((at) => isLook(at, 400))
    assert.deepEqual(
      looks,
      Array.from({ length: 16 }, (_, i) => 79 + 20 * i),
    )
  })

  it('has its closing part left when it is cut short, and never gets longer', () => {
    const steps = cutShort(99, { steps: 1000, closing: 0.2, ahead: 3 })
    assert.equal(steps, 129)
    // The pictures that are made already are of the open part under both plans.
    assert.ok(steps * 0.8 >= 103)
    assert.equal(cutShort(949, { steps: 1000, closing: 0.2, ahead: 3 }), 1000)
    assert.equal(cutShort(99, { steps: 1000, closing: 0, ahead: 3 }), 103)
  })

  it('is cut short with a reason, and the same after an interruption', async () => {
    const options = { ...small, base, samples, steps: 160, rate: 1e-9, recipe: { mosaic: 0, patience: 2 } }
    const said: string[] = []
    const checkpoints = new Map<number, Uint8Array>()
    const seen: number[] = []
    const short = await train({
      ...options,
      checkpointSeconds: 0,
      onLog: (words) => said.push(words),
      onProgress: ({ steps }) => seen.push(steps),
      onCheckpoint: async (bytes, step) => {
        checkpoints.set(step, bytes)
      },
    })
    const [, at] = /at step (\d+) of 160: no better than mAP50-95 0\.\d+ on \d+ pictures kept back for 2 looks/.exec(
      short.stopped ?? '',
    )!
    // Looks come each 10 steps, after the first fifth; running statistics still move for about 100 steps, so that some looks may be better.
    assert.ok(Number(at) >= 50 && Number(at) < 125 && Number(at) % 10 === 0, `at step ${at}`)
    assert.equal(short.steps, Math.ceil((Number(at) + 3) / 0.8))
    assert.equal(seen.at(-1), short.steps)
    assert.match(said.join('\n'), /which saves about/)
    for (const step of [35, Number(at) + 5]) {
      const again = await train({ ...options, resume: checkpoints.get(step)! })
      assert.equal(again.steps, short.steps)
      assert.ok(Buffer.from(again.model).equals(short.model), `as from step ${step}`)
    }
  })

  it('takes all its steps while it gets better, and learns from all pictures where nobody asks', async () => {
    const lively = await train({ ...small, base: null, samples, steps: 60, rate: 4e-3, recipe: { mosaic: 0, patience: 3 } })
    assert.deepEqual([lively.steps, lively.stopped], [60, null])
  })
})
