/** The losses of every family's head against PyTorch's float64 autograd (tests/fixtures/head-losses.py says how it was made). */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { Type } from 'typebox'
import { parseJson } from '../../protocol/parse.ts'
import { cellsOf } from '../../trainer/detector/cells.ts'
import { columns } from '../../trainer/detector/heads/head.ts'
import { headOf, rowWidth } from '../../trainer/detector/heads/table.ts'
import type { Specification } from '../../trainer/detector/specification.ts'
import { compileStep } from '../../trainer/engine/step-graph.ts'
import { GraphBuilder } from '../../trainer/graph/builder.ts'
import { floatTensor, intTensor } from '../../trainer/onnx/graph.ts'
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
const strides = [8, 16, 32]
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

/** A graph whose only parameter is the rows, with the positives that the reference has. */
function lossGraph(head: Exclude<Specification['head'], 'fixed'>) {
  const specification: Specification = {
    v: 1,
    architecture: head,
    classes,
    resize: 'stretch',
    head,
    rows: 'rows',
    feature: 'rows',
    strides,
    classifiers: [],
    nms: 'per-class',
    nmsIou: 0.5,
    bins: 8,
    ...(head === 'anchors' && { anchors }),
  }
  const cells = cellsOf({ ...size, ...specification })
  const count = cells.x.length
  const width = rowWidth(specification)
  const g = new GraphBuilder('losses')
  const numbers = Float32Array.from({ length: batch * count * width }, (_, i) => 1.2 * Math.sin(0.37 * i + 1))
  const rows = g.initializer('rows', floatTensor([batch * count, width], numbers))
  const each = Array.from({ length: positives }, (_, k) => {
    // The fifth answers for the third's box, from the cell beside it.
    const cell = k === 4 ? ((2 * 37 + 11) % count) + 1 : (k * 37 + 11) % count
    const twin = k === 4 ? 2 : k
    const twinCell = (twin * 37 + 11) % count
    const [x, y] = [cells.x[twinCell]!, cells.y[twinCell]!]
    const target = [x - 6 - 3 * twin, y - 9 - 2 * twin, x + 8 + 2 * twin, y + 5 + 3 * twin]
    return { cell, row: (k % batch) * count + cell, label: twin % classes.length, weight: Number(k < positives - 1), target }
  })
  const column = (of: (one: (typeof each)[number]) => readonly number[], width: number) =>
    g.constant(each.flatMap(of), [positives, width])
  const index = g.initializer(
    'index',
    intTensor(
      [positives, 1],
      each.map(({ row }) => row),
    ),
  )
  const classIndex = g.initializer(
    'classIndex',
    intTensor(
      [positives, 2],
      each.flatMap(({ row, label }) => [row, label]),
    ),
  )
  const {
    box,
    classes: kinds,
    object,
  } = headOf(specification).losses({
    g,
    specification,
    rows,
    chosen: (from, to) => g.op('GatherND', [columns(g, rows, from, to), index]),
    centres: {
      x: column(({ cell }) => [cells.x[cell]!], 1),
      y: column(({ cell }) => [cells.y[cell]!], 1),
      stride: column(({ cell }) => [cells.stride[cell]!], 1),
      sizes: cells.sizes && {
        width: column(({ cell }) => [cells.sizes!.width[cell]!], 1),
        height: column(({ cell }) => [cells.sizes!.height[cell]!], 1),
      },
      ...size,
    },
    index,
    classIndex,
    oneHot: column(({ label }) => classes.map((_, i) => Number(i === label)), classes.length),
    target: column(({ target }) => target, 4),
    weight: column(({ weight }) => [weight], 1),
    rowWeight: g.filled([batch * count, 1], 1),
    classWeight: null,
    normalizer: g.constant(1 / (positives - 1)),
    leastShare: 1,
  })
  for (const [name, value] of Object.entries({ loss: g.add(g.add(box, kinds), object), box, classes: kinds, object }))
    g.output(g.reshape(value, [1]), name)
  return { graph: g.graph, numbers }
}

const heads = ['distribution', 'picodet', 'yolov8', 'anchors', 'yolox', 'yunet', 'fastestdet'] as const

describe('the losses of a head', () => {
  for (const head of heads) {
    it(`called ${head} and their gradients are PyTorch's in float64`, async () => {
      const wanted = reference.heads[head]!
      const { graph, numbers } = lossGraph(head)
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
