/** What a training must be sure of: the same numbers on any number of threads and over any kill, and no NaN that goes unnoticed. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import type { LabelledSample } from '../../trainer/data/sample.ts'
import { deployed } from '../../trainer/detector/deploy.ts'
import { losses } from '../../trainer/detector/loss.ts'
import { plainNetwork } from '../../trainer/detector/network.ts'
import { Random } from '../../trainer/detector/random.ts'
import { cpuDialect } from '../../trainer/engine/dialect.ts'
import type { Feeds } from '../../trainer/engine/feeds.ts'
import { compileStep, packed } from '../../trainer/engine/step-graph.ts'
import { StepRunner } from '../../trainer/engine/step-runner.ts'
import { StepThread } from '../../trainer/engine/step-thread.ts'
import { initialState, type TrainerState } from '../../trainer/engine/trainer-state.ts'
import { Vectors } from '../../trainer/engine/vectors.ts'
import { LossWatch } from '../../trainer/loop/loss-watch.ts'
import { recomputes } from '../../trainer/loop/plan.ts'
import { train } from '../../trainer/loop/train.ts'
import { floatTensor } from '../../trainer/onnx/graph.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { referenceStep } from '../support/reference-step.ts'

const folder = mkdtempSync(join(tmpdir(), 'muninn-engine-'))
after(() => rmSync(folder, { recursive: true }))
let samples: LabelledSample[] = []

/** Squares of two colours on noise. */
before(async () => {
  const random = new Random(1)
  for (let i = 0; i < 5; i++) {
    const data = Uint8Array.from({ length: 96 * 96 * 3 }, () => random.integer(120))
    const labels = Array.from({ length: 3 }, (_, label) => {
      const [x, y, side] = [random.integer(60), random.integer(60), 12 + random.integer(20)]
      for (let row = y; row < y + side; row++) data.fill(label % 2 ? 250 : 180, (row * 96 + x) * 3, (row * 96 + x + side) * 3)
      return { box: [x, y, x + side, y + side] as const, label: label % 2 }
    })
    const path = join(folder, `${i}.png`)
    await sharp(data, { raw: { width: 96, height: 96, channels: 3 } })
      .png()
      .toFile(path)
    samples = [...samples, { path, labels }]
  }
})

const small = { base: null, classes: ['thing', 'other'], inputSize: 96, steps: 5, seed: 3 }
const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

describe('the same seed', () => {
  it('gives the same file with one, two and four threads', async () => {
    const digests = []
    for (const workers of [1, 2, 4]) digests.push(digest((await train({ ...small, samples, batch: 14, workers })).model))
    assert.deepEqual(digests, [digests[0], digests[0], digests[0]])
    assert.notEqual(digest((await train({ ...small, samples, batch: 14, workers: 2, seed: 4 })).model), digests[0])
  })
})

describe('a training that is killed', () => {
  /** Runs until it ends, or until it has printed so many lines and is killed. */
  async function run(into: string, killAfter: number, curve: Map<string, string>): Promise<boolean> {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL('support/killed-training.js', import.meta.url)), join(folder, 'samples.json'), into],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const ended = new Promise<boolean>((resolve) => child.on('exit', (code) => resolve(code === 0)))
    let lines = 0
    for await (const line of createInterface(child.stdout)) {
      const [step, loss] = line.split(' ') as [string, string]
      assert.equal(curve.get(step) ?? loss, loss, `step ${step} has another loss after a kill`)
      curve.set(step, loss)
      if (++lines === killAfter) child.kill('SIGKILL')
    }
    return await ended
  }

  it('goes on to the same loss curve and the same file, whichever step it was killed at', async () => {
    writeFileSync(join(folder, 'samples.json'), JSON.stringify(samples))
    const whole = new Map<string, string>()
    const killed = new Map<string, string>()
    for (const name of ['whole', 'killed']) mkdirSync(join(folder, name))
    assert.ok(await run(join(folder, 'whole'), Number.POSITIVE_INFINITY, whole))
    for (const killAfter of [1, 3]) assert.ok(!(await run(join(folder, 'killed'), killAfter, killed)))
    assert.ok(await run(join(folder, 'killed'), Number.POSITIVE_INFINITY, killed))
    assert.equal(whole.size, 8)
    assert.deepEqual(killed, whole)
    assert.equal(
      digest(readFileSync(join(folder, 'killed', 'model.onnx'))),
      digest(readFileSync(join(folder, 'whole', 'model.onnx'))),
    )
  })
})

describe('what saves time or memory', () => {
  it('gives the same losses, gradient and statistics to the last bit: recomputing, and tensors in pieces', async () => {
    const { core, graph, parameters, feeds } = referenceStep()
    for (const dialect of new Set(['std', await cpuDialect()] as const)) {
      const outputs = []
      for (const options of [{}, { recompute: true }, { inPieces: true }, { recompute: true, inPieces: true }]) {
        const step = compileStep({ graph, losses: [...losses], parameters, dialect, ...options })
        assert.equal(step.pieces.gradient?.length, 'inPieces' in options ? parameters.length : undefined)
        const made = new Vectors()
        const given = {
          parameters: made.copyOf(packed(core, step.parameters)),
          statistics: made.copyOf(packed(core, step.statistics)),
        }
        const thread = await StepThread.start({
          model: writeOnnx(step.graph),
          threads: 1,
          memory: made.memory,
          pieces: step.pieces,
        })
        const values = {
          losses: made.zeros(losses.length),
          gradient: made.zeros(given.parameters.length),
          batchStatistics: made.zeros(given.statistics.length),
        }
        await thread.run({ feeds, given, version: 0, outputs: values })
        outputs.push({ nodes: step.graph.nodes.length, values })
        await thread.stop()
      }
      const [kept, recomputed, ...inPieces] = outputs
      assert.ok(recomputed!.nodes > kept!.nodes + 20, 'nothing is recomputed')
      for (const { values } of [recomputed!, ...inPieces]) assert.deepEqual(values, kept!.values)
    }
  })

  it('is chosen for large networks, and by the memory that is there', () => {
    const need = { keptBytes: 200e6, sessions: 4 }
    assert.ok(recomputes({ ...need, available: 3e9 }))
    assert.ok(!recomputes({ ...need, available: 16e9 }))
    assert.ok(recomputes({ ...need, keptBytes: 300e6, available: 16e9 }))
  })
})

describe('NaN and infinity', () => {
  async function step(
    change: (state: TrainerState, feeds: Feeds) => Feeds,
    rate = 1e-3,
  ): Promise<{ cause: string; kept: boolean }> {
    const { core, graph, parameters, feeds } = referenceStep()
    const compiled = compileStep({ graph, losses: [...losses], parameters, dialect: await cpuDialect() })
    const state = initialState(packed(core, compiled.parameters), packed(core, compiled.statistics))
    const bad = change(state, feeds)
    const before = structuredClone(state)
    const runner = new StepRunner({ step: compiled, losses: [...losses], state, workers: 2, decay: () => 0 })
    await runner.start()
    try {
      const result = await runner.run([feeds, bad], { rate, averageDecay: 0.9 })
      assert.ok(result.skipped)
      await runner.sync()
      const kept = (['step', 'parameters', 'moment1', 'moment2', 'average', 'statistics'] as const).every(
        (name) =>
          digest(new Uint8Array(Buffer.from(String(state[name])))) === digest(new Uint8Array(Buffer.from(String(before[name])))),
      )
      if (bad !== feeds)
        assert.ok(!(await runner.run([feeds, feeds], { rate, averageDecay: 0.9 })).skipped, 'a bad batch harms the next one')
      return { cause: result.cause!, kept }
    } finally {
      await runner.stop()
    }
  }

  it('in a target are called by its name, and the step leaves no trace in parameters and statistics', async () => {
    const { cause, kept } = await step((_, feeds) => {
      const target = (feeds.target!.data as Float32Array).slice()
      target[1] = Number.NaN
      return { ...feeds, target: { ...feeds.target!, data: target } }
    })
    assert.match(cause, /pictures' target holds NaN/)
    assert.ok(kept)
  })

  it('in a layer are called by its name', async () => {
    const { cause, kept } = await step((state, feeds) => {
      // The 16 x 3 x 3 x 3 filters of the stem come first; such large ones overflow where their outputs are squared.
      state.parameters.fill(1e30, 0, 432)
      return feeds
    })
    assert.match(cause, /(output|statistic) of (Conv|BatchNormalization) (stem|stage1)\S* became NaN or infinite/)
    assert.ok(kept)
  })

  it('from an infinite learning rate are laid at its door', async () => {
    const { cause, kept } = await step((_, feeds) => feeds, Number.POSITIVE_INFINITY)
    assert.match(cause, /learning rate of Infinity made parameters NaN or infinite/)
    assert.ok(kept)
  })

  it('stop a training that has nothing else, with the cause', async () => {
    const said: string[] = []
    await assert.rejects(
      train({ ...small, samples, batch: 4, steps: 30, rate: Number.POSITIVE_INFINITY, onLog: (words) => said.push(words) }),
      /learning rate of Infinity made parameters .* 10 steps in a row were left out/,
    )
    assert.equal(said.filter((words) => words.includes('left out')).length, 9)
  })

  it('in a base model or a box are refused before anything is trained', async () => {
    const size = { width: 96, height: 96 }
    const { graph, specification } = plainNetwork({ ...size, classes: small.classes, random: new Random(1) })
    const weight = graph.initializers.get('stem.weight')!
    const values = (weight.data as Float32Array).slice()
    values[7] = Number.POSITIVE_INFINITY
    const initializers = new Map(graph.initializers).set('stem.weight', floatTensor(weight.shape, values))
    const base = writeOnnx(deployed({ ...graph, initializers }, specification, size))
    await assert.rejects(train({ ...small, base, samples }), { code: 'BAD_MODEL', message: /stem\.weight holds NaN or infinity/ })
    const [first, ...rest] = samples
    const bad = { ...first!, labels: [{ box: [1, 2, Number.NaN, 9] as const, label: 0 }] }
    await assert.rejects(train({ ...small, samples: [bad, ...rest] }), { code: 'INVALID_INPUT', message: /0\.png/ })
  })
})

describe('the loss curve', () => {
  it('is told to have jumped once, and a lasting jump stops the training', () => {
    const watch = new LossWatch()
    for (let step = 0; step < 60; step++) assert.equal(watch.see(step, 1 + (step % 5) / 10), null)
    assert.match(watch.see(60, 40) ?? '', /step 60: the loss jumped from about 1\.20 to 40\.0/)
    assert.equal(watch.see(61, 41), null)
    for (let step = 62; step < 100; step++) assert.equal(watch.see(step, 1.1), null)
    assert.throws(() => {
      for (let step = 100; step < 300; step++) watch.see(step, 30)
    }, /diverged/)
  })
})
