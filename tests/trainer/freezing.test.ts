/** Freezing by depth and slower rates further from the head. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import sharp from 'sharp'
import { adopt } from '../../trainer/adapters/adopt-file.ts'
import { adapters } from '../../trainer/adapters/table.ts'
import type { LabelledSample } from '../../trainer/data/sample.ts'
import { coreOf } from '../../trainer/detector/core.ts'
import { deployed } from '../../trainer/detector/deploy.ts'
import { losses, trainingGraph } from '../../trainer/detector/loss.ts'
import { plainNetwork } from '../../trainer/detector/network.ts'
import { Random } from '../../trainer/detector/random.ts'
import { compileStep } from '../../trainer/engine/step-graph.ts'
import { layersOf, stageRates, trainedParameters } from '../../trainer/loop/layers.ts'
import { peakRate, rateDecayOf, train } from '../../trainer/loop/train.ts'
import type { Graph } from '../../trainer/onnx/graph.ts'
import { readOnnx } from '../../trainer/onnx/read.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { picodetNet } from '../support/foreign-detectors.ts'

const size = { width: 64, height: 64 }
const classes = ['a', 'b']
const { graph, specification } = plainNetwork({ ...size, classes, random: new Random(3) })
const core = coreOf(graph, specification)
const layers = layersOf(core)
const all = trainedParameters(layers)

const folder = mkdtempSync(join(tmpdir(), 'muninn-freezing-'))
after(() => rmSync(folder, { recursive: true }))
let samples: LabelledSample[] = []
before(async () => {
  const path = join(folder, 'one.png')
  const data = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919) % 251)
  await sharp(data, { raw: { width: 64, height: 64, channels: 3 } })
    .png()
    .toFile(path)
  samples = [{ path, labels: [{ box: [8, 8, 40, 40], label: 0 }] }]
})

const changed = (before: Graph, after: Graph, names: Iterable<string>) =>
  [...names].filter((name) => {
    const [a, b] = [before.initializers.get(name)!.data, after.initializers.get(name)!.data]
    return a.some((value, i) => value !== b[i])
  })
/** Running means and variances of the normalisations whose scale is, or is not, among some names. */
const statisticsOf = (of: Graph, trained: ReadonlySet<string>, wanted: boolean) =>
  of.nodes
    .filter(({ op, inputs }) => op === 'BatchNormalization' && trained.has(inputs[1]!) === wanted)
    .flatMap(({ inputs }) => inputs.slice(3))

describe('layers', () => {
  it('hold every convolution with its normalisation, in the order in which they run', () => {
    assert.equal(new Set(all).size, all.length)
    assert.deepEqual(layers[0]!.parameters, ['stem.weight', 'stem.scale', 'stem.bias'])
    assert.deepEqual([...new Set(layers.map(({ stage }) => stage))], [1, 2, 3, 4, 5])
    const wanted = [...core.initializers.keys()].filter((name) => /\.(weight|scale|bias)$/.test(name))
    assert.deepEqual(new Set(all), new Set(wanted))
  })

  it("count a bias in a node of its own, and no constant of the picture's way in", async () => {
    const made = await adopt(picodetNet({ ...size, classes: 2, loud: false }), adapters.picodet!, { classes })
    const names = trainedParameters(layersOf(made.core))
    assert.ok(names.includes('net/cls0.bias'))
    assert.deepEqual(
      names.filter((name) => name.startsWith('adopted/')),
      [],
    )
  })

  it('are frozen by share or by stage, and never all', () => {
    const half = new Set(trainedParameters(layers, 0.5))
    assert.ok(!half.has('stem.weight') && half.has('head8.class.weight'))
    const frozen = layers.filter(({ parameters }) => !half.has(parameters[0]!))
    assert.equal(frozen.length, Math.floor(layers.length / 2))
    const stages = new Set(trainedParameters(layers, 3))
    assert.deepEqual(
      layers.filter(({ stage }) => stage <= 3).flatMap(({ parameters }) => parameters.filter((name) => stages.has(name))),
      [],
    )
    assert.ok(stages.has('stage3.down.weight') && !stages.has('stage2.down.weight'))
    assert.throws(() => trainedParameters(layers, 9), { code: 'INVALID_INPUT' })
  })

  it('learn more slowly the further from the head they are', () => {
    const rates = stageRates(layers, 0.8)
    assert.equal(rates.get('head8.class.weight'), 1)
    assert.ok(Math.abs(rates.get('stage3.down.weight')! - 0.8) < 1e-12)
    assert.ok(Math.abs(rates.get('stem.weight')! - 0.8 ** 4) < 1e-12)
  })
})

describe('training with frozen layers', () => {
  it('leaves them and their statistics bit for bit as they were, and moves the others', async () => {
    const base = writeOnnx(deployed(core, specification, size))
    const trained = new Set(trainedParameters(layers, 0.5))
    const result = await train({ base, classes, samples, inputSize: 64, steps: 3, batch: 2, rate: 1e-2, seed: 1, freeze: 0.5 })
    const [before, after] = [readOnnx(base), readOnnx(result.model)]
    assert.deepEqual(
      changed(
        before,
        after,
        all.filter((name) => !trained.has(name)),
      ),
      [],
    )
    assert.deepEqual(changed(before, after, statisticsOf(before, trained, false)), [])
    // Whatever makes class logits learns from every cell; a box of a grid that no object falls to has nothing to learn.
    const moved = new Set(changed(before, after, trained))
    for (const { parameters } of layers.filter(({ parameters: [first] }) => trained.has(first!) && !first!.includes('.box')))
      assert.deepEqual(
        parameters.filter((name) => !moved.has(name)),
        [],
      )
    const running = statisticsOf(before, trained, true)
    assert.equal(changed(before, after, running).length, running.length)
  })

  it('has only what is trained in its flat vector, and less to compute', () => {
    const options = {
      graph: trainingGraph(core, specification, { batch: 2, ...size, positives: 16 }),
      losses: [...losses],
      dialect: 'std' as const,
    }
    const [whole, half] = [0, 0.5].map((freeze) => compileStep({ ...options, parameters: trainedParameters(layers, freeze) }))
    assert.deepEqual(
      half!.parameters.map(({ name }) => name),
      trainedParameters(layers, 0.5),
    )
    assert.ok(
      half!.graph.nodes.length < 0.75 * whole!.graph.nodes.length,
      `${half!.graph.nodes.length} of ${whole!.graph.nodes.length} nodes`,
    )
  })
})

describe('the rate of the first layers', () => {
  it('is halved by each stage for a detector that was adopted and is the same for the built-in one, unless a recipe says otherwise', () => {
    const of = (head: 'yolox' | 'distances', rateDecay: number | null) => rateDecayOf({ rateDecay }, { head })
    assert.equal(of('yolox', null), 0.5)
    assert.equal(of('distances', null), 1)
    assert.equal(of('yolox', 1), 1)
    assert.equal(of('distances', 0.3), 0.3)
  })
})

describe('the learning rate', () => {
  it('hangs on the head, unless it is told or momentum has its own', () => {
    const recipe = { momentum: 0.9 }
    const of = (head: 'yolox' | 'distances', options: Parameters<typeof peakRate>[0] = {}) =>
      peakRate(options, { head, architecture: head })
    assert.ok(of('distances') > of('yolox'))
    assert.equal(of('distances', { rate: 1e-3 }), 1e-3)
    assert.equal(of('distances', { batch: 8, recipe }), of('yolox', { batch: 8, recipe }))
    assert.equal(of('yolox', { batch: 64, recipe }), 0.01)
  })
})
