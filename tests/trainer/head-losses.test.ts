/** The losses of every family's head against PyTorch's float64 autograd (tests/fixtures/head-losses.py says how it was made). */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { Type } from 'typebox'
import { parseJson } from '../../protocol/parse.ts'
import { type Cells, cellsOf } from '../../trainer/detector/cells.ts'
import { columns } from '../../trainer/detector/heads/head.ts'
import { headOf, rowWidth, targetOptionsOf } from '../../trainer/detector/heads/table.ts'
import type { Specification } from '../../trainer/detector/specification.ts'
import { type Label, targetsOf } from '../../trainer/detector/targets.ts'
import type { Feeds } from '../../trainer/engine/feeds.ts'
import { compileStep } from '../../trainer/engine/step-graph.ts'
import { GraphBuilder, type Value } from '../../trainer/graph/builder.ts'
import { floatTensor, type TensorData } from '../../trainer/onnx/graph.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'

const Reference = Type.Object({
  torch: Type.String(),
  heads: Type.Record(
    Type.String(),
    Type.Object({
      box: Type.Number(),
      classes: Type.Number(),
      object: Type.Number(),
      norm: Type.Number(),
      largest: Type.Array(Type.Tuple([Type.Integer(), Type.Number()])),
    }),
  ),
})
const file = new URL('../../../tests/fixtures/head-losses.json', import.meta.url)
const reference = parseJson(Reference, await readFile(file, 'utf8'), 'head-losses.json')

const size = { width: 64, height: 64 }
const batch = 2
const classes = ['a', 'b', 'c']
const positives = 6
const anchors: [number, number][][] = [
  [
    [10, 13],
    [16, 30],
  ],
  [
    [30, 61],
    [62, 45],
  ],
  [
    [116, 90],
    [60, 64],
  ],
]

/** Of each picture; the first two want some of the same cells. */
const truths: Label[][] = [
  [
    { box: [9, 12, 41, 45], label: 0 },
    { box: [17, 14, 50, 41], label: 1 },
    { box: [33, 28, 62, 61], label: 2 },
    { box: [50, 3, 57, 9], label: 1 },
  ],
  [{ box: [5, 20, 31, 52], label: 1 }],
]

/** Six positives that the reference has, too; the last one is padding. */
function chosenCells(cells: Cells): Feeds {
  const count = cells.x.length
  const each = Array.from({ length: positives }, (_, k) => {
    // The fifth answers for the third's box, from the cell beside it.
    const cell = k === 4 ? ((2 * 37 + 11) % count) + 1 : (k * 37 + 11) % count
    const twin = k === 4 ? 2 : k
    const twinCell = (twin * 37 + 11) % count
    const [x, y] = [cells.x[twinCell]!, cells.y[twinCell]!]
    const target = [x - 6 - 3 * twin, y - 9 - 2 * twin, x + 8 + 2 * twin, y + 5 + 3 * twin]
    const sizes = cells.sizes ? [cells.sizes.width[cell]!, cells.sizes.height[cell]!] : []
    const centre = [cells.x[cell]!, cells.y[cell]!, cells.stride[cell]!, ...sizes]
    return { row: (k % batch) * count + cell, label: twin % classes.length, weight: Number(k < positives - 1), target, centre }
  })
  const integers = (of: (one: (typeof each)[number]) => readonly number[], width: number) => ({
    type: 'int64' as const,
    shape: [positives, width],
    data: BigInt64Array.from(each.flatMap(of), BigInt),
  })
  const floats = (of: (one: (typeof each)[number]) => readonly number[], width: number) => ({
    type: 'float32' as const,
    shape: [positives, width],
    data: Float32Array.from(each.flatMap(of)),
  })
  return {
    index: integers(({ row }) => [row], 1),
    classIndex: integers(({ row, label }) => [row, label], 2),
    oneHot: floats(({ label }) => classes.map((_, i) => Number(i === label)), classes.length),
    target: floats(({ target }) => target, 4),
    centre: floats(({ centre }) => centre, cells.sizes ? 5 : 3),
    weight: floats(({ weight }) => [weight], 1),
    rowWeight: { type: 'float32', shape: [batch * count, 1], data: new Float32Array(batch * count).fill(1) },
    normalizer: { type: 'float32', shape: [1], data: Float32Array.of(1 / (positives - 1)) },
  }
}

/** A graph whose only parameter is the rows. */
function lossGraph(head: Exclude<Specification['head'], 'fixed'>, bins: number) {
  const specification: Specification = {
    v: 1,
    architecture: head,
    classes,
    resize: 'stretch',
    head,
    rows: 'rows',
    feature: 'rows',
    strides: [8, 16, 32],
    classifiers: [],
    nms: 'per-class',
    nmsIou: 0.5,
    bins,
    ...(['anchors', 'retinanet', 'efficientdet'].includes(head) && { anchors }),
    ...(head === 'yolov4' && { anchors, centreScales: [1.2, 1.1, 1.05] }),
    ...(head === 'yolo-fastestv2' && { strides: [16, 32], anchors: anchors.slice(1) }),
  }
  const cells = cellsOf({ ...size, ...specification })
  const width = rowWidth(specification)
  const g = new GraphBuilder('losses')
  const lifted = (i: number) => (bins === 1 && i % width >= classes.length ? 2.5 : 0)
  const numbers = Float32Array.from(
    { length: batch * cells.x.length * width },
    (_, i) => 1.2 * Math.sin(0.37 * i + 1) + lifted(i),
  )
  const rows = g.initializer('rows', floatTensor([batch * cells.x.length, width], numbers))
  const targets = targetOptionsOf(specification, batch)
  const feeds = targets.slots ? targetsOf(truths, { cells, ...targets }) : chosenCells(cells)
  const given: Record<string, Value> = {}
  for (const [name, { type, shape, data }] of Object.entries(feeds))
    given[name] = g.initializer(name, { type, shape, data } as TensorData)
  const { index, classIndex, oneHot, target, centre, weight, rowWeight, normalizer, rivals } = given
  const part = (i: number) => columns(g, centre!, i, i + 1)
  const {
    box,
    classes: kinds,
    object,
  } = headOf(specification).losses({
    g,
    specification,
    rows,
    chosen: (from, to) => g.op('GatherND', [columns(g, rows, from, to), index!]),
    centres: {
      x: part(0),
      y: part(1),
      stride: part(2),
      sizes: cells.sizes && { width: part(3), height: part(4) },
      ...size,
    },
    index: index!,
    classIndex: classIndex!,
    oneHot: oneHot!,
    slots: targets.slots ?? 1,
    rivals: rivals ?? null,
    target: target!,
    weight: weight!,
    rowWeight: rowWeight!,
    classWeight: null,
    normalizer: normalizer!,
    leastShare: 1,
  })
  for (const [name, value] of Object.entries({ loss: g.add(g.add(box, kinds), object), box, classes: kinds, object }))
    g.output(g.reshape(value, [1]), name)
  return { graph: g.graph, numbers }
}

const heads = [
  'distribution',
  'nanodet-plus',
  'picodet',
  'yolov8',
  'anchors',
  'yolov4',
  'yolo-fastestv2',
  'yolox',
  'yunet',
  'fastestdet',
  'retinanet',
  'efficientdet',
  'fcos',
] as const

describe('the losses of a head', () => {
  for (const [called, head, bins] of [
    ...heads.map((each) => [each, each, 8] as const),
    ['yolov8, distances', 'yolov8', 1] as const,
    ['rtmdet', 'rtmdet', 1] as const,
  ]) {
    it(`called ${called} and their gradients are PyTorch's in float64`, async () => {
      const wanted = reference.heads[called]!
      const { graph, numbers } = lossGraph(head, bins)
      const step = compileStep({ graph, losses: ['loss', 'box', 'classes', 'object'], parameters: ['rows'], dialect: 'std' })
      const session = await ort.InferenceSession.create(writeOnnx(step.graph), {
        graphOptimizationLevel: 'disabled',
        logSeverityLevel: 4,
      })
      const { losses, gradient } = await session.run({ parameters: new ort.Tensor('float32', numbers, [numbers.length]) })
      await session.release()
      const told = Array.from(losses!.data as Float32Array)
      for (const [i, name] of (['box', 'classes', 'object'] as const).entries())
        assert.ok(
          Math.abs(told[i + 1]! - wanted[name]) < 1e-5 + 1e-4 * wanted[name],
          `${name} is ${told[i + 1]}, wanted ${wanted[name]}`,
        )
      const slopes = gradient!.data as Float32Array
      const norm = Math.hypot(...slopes)
      assert.ok(Math.abs(norm - wanted.norm) < 1e-3 * wanted.norm, `the gradient's norm is ${norm}, wanted ${wanted.norm}`)
      for (const [place, slope] of wanted.largest)
        assert.ok(
          Math.abs(slopes[place]! - slope) < 2e-3 * Math.abs(slope) + 1e-6,
          `the gradient at ${place} is ${slopes[place]}, wanted ${slope}`,
        )
    })
  }
})
