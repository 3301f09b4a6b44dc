/** Every family that can be trained learns a few pictures by heart, from its adopted file to a deployed one that finds the objects. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import sharp from 'sharp'
import { adopt } from '../../trainer/adapters/adopt-file.ts'
import { adapters } from '../../trainer/adapters/table.ts'
import type { LabelledSample } from '../../trainer/data/sample.ts'
import { cellsOf } from '../../trainer/detector/cells.ts'
import { deployed } from '../../trainer/detector/deploy.ts'
import { headOf, targetOptionsOf } from '../../trainer/detector/heads/table.ts'
import { losses, trainingGraph } from '../../trainer/detector/loss.ts'
import { Random } from '../../trainer/detector/random.ts'
import { targetsOf } from '../../trainer/detector/targets.ts'
import { cpuDialect } from '../../trainer/engine/dialect.ts'
import type { Feeds } from '../../trainer/engine/feeds.ts'
import { compileStep, packed } from '../../trainer/engine/step-graph.ts'
import { StepRunner } from '../../trainer/engine/step-runner.ts'
import { initialState } from '../../trainer/engine/trainer-state.ts'
import { precisionOf, score } from '../../trainer/evaluation/compare.ts'
import { measureModel } from '../../trainer/evaluation/measure.ts'
import { trainable } from '../../trainer/loop/start.ts'
import { train } from '../../trainer/loop/train.ts'
import type { Graph } from '../../trainer/onnx/graph.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { anchorsNet, fcosNet } from '../support/foreign-anchors.ts'
import {
  boxesBesideScoresNet,
  fastestdetNet,
  nanodetNet,
  picodetNet,
  yoloFastestV2Net,
  yolov4Net,
  yolov5Net,
  yolov8Net,
  yoloxNet,
  yunetNet,
} from '../support/foreign-detectors.ts'
import { rtmdetNet } from '../support/foreign-rtmdet.ts'
import { ssdNet } from '../support/foreign-ssd.ts'

const folder = mkdtempSync(join(tmpdir(), 'muninn-adopted-'))
after(() => rmSync(folder, { recursive: true }))
const side = 96
const classes = ['red', 'blue']
let samples: LabelledSample[] = []

/** A red or blue rectangle or two on grey noise. */
async function picture(seed: number): Promise<LabelledSample> {
  const random = new Random(seed)
  const data = Uint8Array.from({ length: side * side * 3 }, () => 100 + random.integer(40))
  const labels = [0, 1].slice(0, 1 + (seed % 2)).map((_, i) => {
    const label = (seed + i) % 2
    const [w, h] = [22 + random.integer(20), 22 + random.integer(20)]
    // Each in its own half, so that none covers another.
    const [x, y] = [random.integer(side - w), i * 48 + random.integer(48 - h)]
    for (let row = y; row < y + h; row++)
      for (let column = x; column < x + w; column++)
        data.set(label === 0 ? [220, 40, 40] : [40, 40, 220], (row * side + column) * 3)
    return { box: [x, y, x + w, y + h] as const, label }
  })
  const path = join(folder, `${seed}.png`)
  await sharp(data, { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toFile(path)
  return { path, labels }
}

before(async () => {
  samples = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(picture))
})

const layout = { classes: classes.length, width: side, height: side, loud: false, seed: 2 }
const families: Readonly<Record<string, Graph>> = {
  yolox: yoloxNet(layout),
  fastestdet: fastestdetNet(layout),
  nanodet: nanodetNet(layout, { strides: [8, 16, 32], shared: true }),
  'nanodet, plus': nanodetNet(layout, { strides: [8, 16, 32, 64], shared: true }),
  picodet: picodetNet(layout),
  'picodet, aligned': picodetNet(layout, true),
  'yolo-nas': boxesBesideScoresNet(layout, 'nas'),
  'damo-yolo': boxesBesideScoresNet(layout, 'damo', 8),
  rtmdet: rtmdetNet(layout, { form: 'maps' }),
  'rtmdet, logarithms': rtmdetNet(layout, { form: 'decoded', pixels: true, logarithms: true }),
  'yolo-fastestv2': yoloFastestV2Net(layout),
  yolov4: yolov4Net(layout),
  yolov5: yolov5Net(layout),
  yolov8: yolov8Net(layout),
  'yolov8, end to end and without distributions': yolov8Net(layout, { bins: 1, end: 'rows' }),
  efficientdet: anchorsNet(layout, { strides: [8, 16, 32, 64, 128], perCell: 9, form: 'maps' }),
  retinanet: anchorsNet(layout, { strides: [8, 16, 32, 64, 128], perCell: 9, form: 'scores first' }),
  fcos: fcosNet(layout),
  ssd: ssdNet(layout),
  yunet: yunetNet(layout),
}

describe('an adopted detector', () => {
  for (const [family, graph] of Object.entries(families)) {
    it(`of the family ${family} learns pictures by heart`, async () => {
      const { core, specification, ...size } = await adopt(graph, adapters[family.split(',')[0]!]!, { classes })
      const seen: number[] = []
      const result = await train({
        base: writeOnnx(deployed(core, specification, size)),
        classes,
        samples,
        inputSize: side,
        steps: 130,
        batch: 4,
        rate: 4e-3,
        seed: 3,
        // Its layers know nothing yet that should be kept.
        recipe: { mosaic: 0, plain: 0.8, rateDecay: 1 },
        onProgress: ({ losses }) => seen.push(losses.loss!),
      })
      const average = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
      const [first, last] = [average(seen.slice(0, 10)), average(seen.slice(-10))]
      // The better it gets, the more cells of it answer for a box, and each counts by its score: that loss falls less.
      assert.ok(last < (specification.head === 'nanodet-plus' ? 0.9 : 0.6) * first, `the loss went from ${first} to ${last}`)
      assert.equal(result.specification.head, specification.head)
      const { pictures } = await measureModel(result.model, { samples, classes })
      const { mAP50 } = precisionOf(score(pictures, classes.length))
      assert.ok(mAP50 > 0.6, `mAP50 on the pictures it learnt is ${mAP50}`)
    })
  }
})

/** The parameters after one step from two pictures, one with a box and one with three, in as many parts. */
async function stepped(graph: Graph, family: string, parts: 1 | 2): Promise<Float32Array> {
  const { core, specification } = await adopt(graph, adapters[family]!, { classes })
  const input = { width: side, height: side }
  assert.ok(headOf(specification).apart)
  const targets = targetOptionsOf(specification, 2 / parts)
  const plan = { ...input, parts, batch: 2 / parts, positives: targets.positives }
  // Frozen BatchNormalizations join nothing.
  const scales = new Set(core.nodes.filter(({ op }) => op === 'BatchNormalization').map(({ inputs }) => inputs[1]))
  const parameters = trainable(core).filter((name) => !scales.has(name))
  const step = compileStep({
    graph: trainingGraph(core, specification, plan),
    losses: [...losses],
    parameters,
    dialect: await cpuDialect(),
  })
  const box = (x: number, label: number) => ({ box: [x, x, x + 30, x + 24] as const, label })
  const pictures = [
    { shade: 90, labels: [box(8, 0)] },
    { shade: 160, labels: [box(4, 1), box(34, 0), box(60, 1)] },
  ]
  const feedsOf = (some: typeof pictures): Feeds => ({
    image: {
      type: 'uint8',
      shape: [some.length, side, side, 3],
      data: Uint8Array.from({ length: some.length * side * side * 3 }, (_, i) => {
        const bytes = side * side * 3
        return some[Math.floor(i / bytes)]!.shade + (((i % bytes) * 7919) % 83)
      }),
    },
    ...targetsOf(
      some.map((each) => each.labels),
      { cells: cellsOf({ ...input, ...specification }), ...targets },
    ),
  })
  const batches = parts === 1 ? [feedsOf(pictures)] : pictures.map((each) => feedsOf([each]))
  const counts = batches.map(({ weight }) => (weight!.data as Float32Array).reduce((sum, each) => sum + each, 0))
  for (const { normalizer } of batches) normalizer!.data[0] = parts / counts.reduce((sum, each) => sum + each, 0)
  const state = initialState(packed(core, step.parameters), packed(core, step.statistics))
  const rule = { momentum: 0.9, nesterov: false }
  const runner = new StepRunner({ step, losses: [...losses], state, workers: 2, decay: () => 0, rule, clip: 1e9 })
  await runner.start()
  try {
    assert.ok(!(await runner.run(batches, { rate: 1, averageDecay: 0 })).skipped)
    // The first momentum is the gradient.
    return state.moment1.slice()
  } finally {
    await runner.stop()
  }
}

describe('pictures that nothing joins', () => {
  // SSD's hardest negatives are chosen among those of a pass: as published, of each picture.
  for (const family of ['yolox', 'yolov8', 'yunet', 'rtmdet']) {
    it(`give one by one the gradient that they give together (${family})`, async () => {
      const [together, apart] = [await stepped(families[family]!, family, 1), await stepped(families[family]!, family, 2)]
      const norm = Math.hypot(...together)
      const away = Math.hypot(...together.map((each, i) => each - apart[i]!))
      assert.ok(norm > 0 && away < 1e-4 * norm, `the gradients of norm ${norm} differ by ${away}`)
    })
  }
})
