/** int8 files: exact before rounding, near the float file after it, and run in integers by onnxruntime. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import ort from 'onnxruntime-node'
import sharp from 'sharp'
import { renderStreet } from '../../edge-agent/demo/street.ts'
import { Detector } from '../../edge-agent/detector/detector.ts'
import { iou } from '../../protocol/boxes.ts'
import { fitPicture } from '../../protocol/letterbox.ts'
import type { LabelledSample } from '../../trainer/data/sample.ts'
import { plainNetwork } from '../../trainer/detector/network.ts'
import { Random } from '../../trainer/detector/random.ts'
import { specificationOf, withSpecification } from '../../trainer/detector/specification.ts'
import { GraphBuilder, type Value } from '../../trainer/graph/builder.ts'
import { PictureDetector } from '../../trainer/inference/detector.ts'
import { train } from '../../trainer/loop/train.ts'
import { floatTensor, type Graph } from '../../trainer/onnx/graph.ts'
import { readOnnx } from '../../trainer/onnx/read.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { calibrate } from '../../trainer/quantization/calibrate.ts'
import { disagreement } from '../../trainer/quantization/disagreement.ts'
import { foldImage, foldNormalizations } from '../../trainer/quantization/fold.ts'
import { Histogram } from '../../trainer/quantization/histogram.ts'
import { integerForm } from '../../trainer/quantization/integer-form.ts'
import { markOf } from '../../trainer/quantization/mark.ts'
import { planOf } from '../../trainer/quantization/plan.ts'
import { prepared, quantize, spread } from '../../trainer/quantization/quantize.ts'
import { rangeOf, scaleOf } from '../../trainer/quantization/ranges.ts'
import { bySensitivity } from '../../trainer/quantization/sensitivity.ts'
import { decideQuantization } from '../../trainer/quantization/verdict.ts'
import { quantizeBiases, quantizeFilters } from '../../trainer/quantization/weights.ts'

const folder = mkdtempSync(join(tmpdir(), 'muninn-quantization-'))
after(() => rmSync(folder, { recursive: true }))

const size = 64
const noise = (seed: number) => {
  const random = new Random(seed)
  return Uint8Array.from({ length: size * size * 3 }, () => random.integer(256))
}

/** A network whose normalisations have something to fold. */
function network(): Graph {
  const random = new Random(3)
  const { graph, specification } = plainNetwork({ width: size, height: size, classes: ['car', 'bus'], random })
  for (const [name, { shape }] of graph.initializers) {
    const value = { scale: 1, bias: 0, mean: 0, variance: 1 }[name.split('.').at(-1)!]
    if (value === undefined || shape[0]! < 8) continue
    const spreadOf = name.endsWith('variance') ? () => 0.5 + random.integer(100) / 50 : () => value + random.normal() * 0.1
    graph.initializers.set(name, floatTensor(shape, Array.from({ length: shape[0]! }, spreadOf)))
  }
  return withSpecification(
    { ...graph, outputs: [{ name: specification.rows, type: 'float32', shape: [1, 84, 6] }] },
    specification,
  )
}

async function run(graph: Graph, image: Uint8Array, options: ort.InferenceSession.SessionOptions = {}): Promise<Float32Array> {
  const session = await ort.InferenceSession.create(writeOnnx(graph), options)
  const values = await session.run({ image: new ort.Tensor('uint8', image, [1, size, size, 3]) })
  await session.release()
  return values[graph.outputs[0]!.name]!.data as Float32Array
}

/** Root of the mean squared difference over that of the wanted values. */
function relativeError(wanted: Float32Array, found: Float32Array): number {
  const mean = wanted.reduce((sum, value) => sum + value, 0) / wanted.length
  let [off, all] = [0, 0]
  for (const [i, value] of wanted.entries()) {
    off += (value - found[i]!) ** 2
    all += (value - mean) ** 2
  }
  return Math.sqrt(off / all)
}

const histogramOf = (values: readonly number[]) => {
  const histogram = new Histogram()
  histogram.add(Float32Array.from(values))
  return histogram
}

describe('folding before quantisation', () => {
  it('changes nothing but the order of sums', async () => {
    const graph = network()
    const folded = prepared(graph)
    assert.ok(graph.nodes.some(({ op }) => op === 'BatchNormalization'))
    assert.ok(!folded.nodes.some(({ op }) => op === 'BatchNormalization' || op === 'Sub'))
    const stem = folded.nodes.find(({ op }) => op === 'Conv')!
    assert.deepEqual(folded.initializers.get(stem.inputs[1]!)!.shape, [32, 12, 3, 2], 'four pixels at a time')
    for (const seed of [1, 2]) assert.ok(relativeError(await run(graph, noise(seed)), await run(folded, noise(seed))) < 1e-5)
  })

  it('reads the scaling of the image as DequantizeLinear', () => {
    const { nodes, initializers } = foldImage(network())
    const [read] = nodes.filter(({ op }) => op === 'DequantizeLinear')
    const [scale, zero] = read!.inputs.slice(1).map((name) => initializers.get(name)!.data[0])
    assert.deepEqual([scale, zero], [1 / 64, 128])
  })

  it('leaves an image alone whose zero lies between two pixel values', () => {
    const g = new GraphBuilder('half')
    const pixels = g.op('Cast', [g.input('image', 'uint8', [1, size, size, 3])], { attributes: { to: 1 } })
    g.output(g.sub(pixels, g.constant(127.5)), 'out')
    assert.deepEqual(foldImage(g.graph), g.graph)
  })

  it('leaves a convolution alone that somebody else reads', () => {
    const g = new GraphBuilder('shared')
    const x = g.input('image', 'float32', [1, 1, 4, 4])
    const y = g.conv(x, g.constant([2], [1, 1, 1, 1]), null)
    const one = (value: number) => g.constant([value], [1])
    const normal = g.op('BatchNormalization', [y, one(1), one(0), one(0), one(1)], { attributes: { epsilon: { float: 1e-3 } } })
    g.output(g.add(y, normal), 'out')
    assert.equal(foldNormalizations(g.graph).nodes.filter(({ op }) => op === 'BatchNormalization').length, 1)
  })
})

describe('int8 filters', () => {
  it('have one symmetric scale per channel and 63 as the greatest value', () => {
    const { values, scales } = quantizeFilters(Float32Array.of(0.5, -1, 0.25, 4, 2.1, -1), 2, { inputScale: 1 })
    assert.deepEqual([...scales], [Math.fround(1 / 63), Math.fround(4 / 63)])
    assert.deepEqual(
      [...values],
      [0.5, -1, 0.25, 4, 2.1, -1].map((value, i) => Math.round(value / scales[i < 3 ? 0 : 1]!)),
    )
    assert.deepEqual([values[1], values[3]], [-63, 63])
  })

  it('get a greater scale where a bias would not fit into 32 bits', () => {
    const { scales } = quantizeFilters(Float32Array.of(1e-9), 1, { inputScale: 0.01, biases: Float32Array.of(50) })
    const { values } = quantizeBiases(Float32Array.of(50), scales, 0.01)
    assert.ok(Math.abs(values[0]!) <= 2 ** 30 && values[0]! > 2 ** 29)
  })

  it('have biases in units of both scales', () => {
    const { values, scales } = quantizeBiases(Float32Array.of(1, -0.5), Float32Array.of(0.5, 0.25), 0.1)
    assert.deepEqual([...values], [20, -20])
    assert.deepEqual([...scales], [Math.fround(0.05), Math.fround(0.025)])
  })
})

describe('ranges of activations', () => {
  const even = Array.from({ length: 20_000 }, (_, i) => i / 20_000)

  it('keep their counts while the histogram grows', () => {
    const histogram = histogramOf([0.001, 0.001, -0.5])
    histogram.add(Float32Array.of(0, 7, 7, 0.001))
    const entries = [...histogram.entries()]
    assert.deepEqual([histogram.zeros, histogram.total, histogram.min, histogram.max], [1, 7, -0.5, 7])
    assert.deepEqual(
      entries.map(({ count }) => count),
      [1, 3, 2],
    )
    for (const [i, value] of [-0.5, 0.001, 7].entries()) assert.ok(Math.abs(entries[i]!.value - value) <= histogram.reach / 4096)
  })

  it('cover all values by min-max, and 0 always', () => {
    assert.deepEqual(rangeOf(histogramOf([-1, 3]), 'min-max'), { low: -1, high: 3 })
    assert.deepEqual(rangeOf(histogramOf([2, 3]), 'min-max'), { low: 0, high: 3 })
  })

  it('leave out one value in 20,000 by percentile', () => {
    assert.equal(rangeOf(histogramOf([...even, 100]), 'min-max').high, 100)
    const { low, high } = rangeOf(histogramOf([...even, 100]), 'percentile')
    assert.ok(low === 0 && high > 0.98 && high < 1.02)
  })

  it('cut off by least squared error what costs more in rounding than in clipping', () => {
    const cut = rangeOf(histogramOf([...even, 3]), 'mse').high
    assert.ok(cut < 3, `${cut}`)
    const kept = rangeOf(histogramOf([...even, ...Array(2000).fill(3)]), 'mse').high
    assert.equal(kept, 3)
  })

  it('put 0 on a stored value', () => {
    assert.deepEqual(scaleOf({ low: -1, high: 1.55 }), { scale: Math.fround(0.01), zeroPoint: 100 })
    assert.equal(scaleOf({ low: 0, high: 6 }).zeroPoint, 0)
    assert.equal(scaleOf({ low: -2, high: 0 }).zeroPoint, 255)
  })
})

describe('an int8 network', () => {
  /** With what foreign networks have besides. */
  function mixed(): Graph {
    const random = new Random(5)
    const g = new GraphBuilder('mixed')
    const pixels = g.op('Cast', [g.transpose(g.input('image', 'uint8', [1, size, size, 3]), [0, 3, 1, 2])], {
      attributes: { to: 1 },
    })
    const filter = (shape: number[]) =>
      g.constant(
        Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal() / Math.sqrt(shape[1]! * 9)),
        shape,
      )
    const clipped = g.op('Clip', [
      g.conv(g.scale(pixels, 1 / 255), filter([16, 3, 3, 3]), null, { stride: 2, pad: 1 }),
      g.constant(0),
      g.constant(6),
    ])
    const pooled = g.op('MaxPool', [clipped], { attributes: { kernel_shape: [2, 2], strides: [2, 2] } })
    const deep = g.relu(g.conv(pooled, filter([16, 16, 3, 3]), g.constant(new Float32Array(16).fill(0.1), [16]), { pad: 1 }))
    const wide = g.op('Resize', [deep, null, g.constant([1, 1, 2, 2], [4])], {
      attributes: { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
    })
    const both = g.concat([wide, clipped], 1)
    const sum = g.add(g.conv(both, filter([16, 32, 1, 1]), null), clipped)
    g.output(g.conv(sum, filter([8, 16, 1, 1]), null), 'out')
    return g.graph
  }

  async function integers(graph: Graph): Promise<Graph> {
    const plan = planOf(graph)
    const images = [1, 2, 3].map(noise)
    const histograms = await calibrate(graph, [...plan.rangeOf.keys()], { images })
    return integerForm(graph, plan, new Map([...histograms].map(([name, each]) => [name, scaleOf(rangeOf(each, 'min-max'))])))
  }

  for (const [what, graph, convolutions] of [
    ['the built-in detector', prepared(network()), 29],
    ['a network with Clip, MaxPool, Concat and Resize', foldImage(mixed()), 4],
  ] as const) {
    it(`is near the float one and runs in integers: ${what}`, async () => {
      const quantized = await integers(graph)
      const path = join(folder, 'optimised.onnx')
      const found = await run(quantized, noise(9), {
        graphOptimizationLevel: 'all',
        optimizedModelFilePath: path,
        logSeverityLevel: 3,
      })
      assert.ok(relativeError(await run(graph, noise(9)), found) < 0.08)
      const ops = readOnnx(await readFile(path)).nodes.map(({ op }) => op)
      assert.equal(ops.filter((op) => op === 'QLinearConv').length, convolutions)
      assert.ok(!ops.includes('Conv'))
    })
  }

  it('keeps in float what the plan says, and all behind it', async () => {
    const graph = foldImage(mixed())
    const [first] = planOf(graph).units
    const plan = planOf(graph, new Set([first!.name]))
    assert.deepEqual(
      plan.units.map(({ node }) => node.op),
      ['Conv', 'Conv', 'Conv'],
      'a sum with a float part is in float',
    )
  })
})

describe('sensitivity', () => {
  it('names those layers first between which an outlier spoils the range', async () => {
    const random = new Random(7)
    const g = new GraphBuilder('outlier')
    const pixels = g.op('Cast', [g.transpose(g.input('image', 'uint8', [1, size, size, 3]), [0, 3, 1, 2])], {
      attributes: { to: 1 },
    })
    // Channel 0 is 30,000 behind the second layer and is not read by the third: in float it does no harm.
    const layer = (x: Value, { bias = 0, blind = false } = {}) => {
      const filters = Float32Array.from({ length: 8 * x.shape[1]! }, (_, i) =>
        blind && i % 8 === 0 ? 0 : random.normal() / Math.sqrt(x.shape[1]!),
      )
      return g.conv(x, g.constant(filters, [8, x.shape[1]!, 1, 1]), g.constant([bias, ...Array(7).fill(0.1)], [8]))
    }
    const one = g.relu(layer(g.scale(pixels, 1 / 64)))
    const two = g.relu(layer(one, { bias: 3e4 }))
    const three = g.relu(layer(two, { blind: true }))
    g.output(layer(three), 'out')
    const graph = foldImage(g.graph)
    const { units, rangeOf: owners } = planOf(graph)
    const histograms = await calibrate(graph, [...owners.keys()], { images: [1, 2].map(noise) })
    const wanted = await run(graph, noise(9))
    const order = await bySensitivity(units, {
      floats: new Set(),
      distance: async (floats) => {
        const plan = planOf(graph, floats)
        const scales = new Map(
          [...plan.rangeOf.values()].map((name) => [name, scaleOf(rangeOf(histograms.get(name)!, 'min-max'))]),
        )
        return relativeError(wanted, await run(integerForm(graph, plan, scales), noise(9)))
      },
    })
    assert.equal(order.length, 4)
    assert.deepEqual(new Set(order.slice(0, 2)), new Set([two.name, three.name]))
  })
})

describe('disagreement', () => {
  const of = (boxes: number[], scores: number[]) => [{ boxes: Float32Array.from(boxes), scores: Float32Array.from(scores) }]
  const one = of([0, 0, 10, 10, 0, 0, 5, 5], [0.8, 0.01])

  it('is 0 for the same, and counts scores and boxes where something is told', () => {
    assert.equal(disagreement(one, one), 0)
    assert.ok(Math.abs(disagreement(one, of([0, 0, 10, 10, 9, 9, 99, 99], [0.6, 0.02])) - 0.25) < 1e-6)
    assert.ok(Math.abs(disagreement(one, of([0, 0, 10, 5, 0, 0, 5, 5], [0.8, 0.01])) - 0.5) < 1e-6)
    assert.ok(disagreement(one, of([0, 0, 10, 10, 0, 0, 5, 5], [0.8, 0.9])) > 1)
  })
})

describe('the verdict on int8', () => {
  const float = { mAP50: 0.9, 'mAP50-95': 0.6 }
  const quick = [
    { threads: 1, ratio: 2.1 },
    { threads: 2, ratio: 1.8 },
  ]
  for (const [what, change, proposed, says] of [
    ['quick and exact', {}, true, /mAP50 0\.900 → 0\.900/],
    ['one point lost', { int8: { mAP50: 0.89, 'mAP50-95': 0.59 } }, true, /0\.590/],
    ['more than a point of mAP50 lost', { int8: { mAP50: 0.889, 'mAP50-95': 0.6 } }, false, /^int8: mAP50 0\.900 → 0\.889/],
    ['more than a point of mAP50-95 lost', { int8: { mAP50: 0.95, 'mAP50-95': 0.58 } }, false, /^int8: mAP50-95/],
    ['better', { int8: { mAP50: 0.92, 'mAP50-95': 0.61 } }, true, /0\.920/],
    [
      'slow with two threads',
      { paces: [quick[0]!, { threads: 2, ratio: 1.79 }] },
      false,
      /^int8 is 1\.79 times as quick with 2 threads/,
    ],
    ['a float file that finds nothing', { float: { mAP50: 0, 'mAP50-95': 0 } }, false, /finds nothing/],
    ['no pictures', { pictures: 0 }, false, /no held-out pictures/],
  ] as const) {
    it(`${proposed ? 'proposes' : 'refuses'}: ${what}`, () => {
      const verdict = decideQuantization({ pictures: 40, float, int8: float, paces: quick, ...change })
      assert.equal(verdict.proposed, proposed)
      assert.match(proposed ? verdict.reasons.join('\n') : verdict.reasons[0]!, says)
    })
  }
})

describe('quantising the shipped detector', () => {
  const base = fileURLToPath(new URL('../../../trainer/base/demo-street.onnx', import.meta.url))

  async function street(count: number): Promise<{ samples: LabelledSample[]; classes: readonly string[]; file: Uint8Array }> {
    const file = await readFile(base)
    const { classes } = specificationOf(readOnnx(file))
    const samples: LabelledSample[] = []
    for (let i = 0; i < count; i++) {
      const { data, width, height, truth } = await renderStreet({ seed: 500 + i, seconds: i * 7, condition: 'day' })
      const path = join(folder, `street-${i}.jpg`)
      await writeFile(
        path,
        await sharp(data, { raw: { width, height, channels: 3 } })
          .jpeg()
          .toBuffer(),
      )
      samples.push({ path, labels: truth.map(({ box, label }) => ({ box, label: classes.indexOf(label) })) })
    }
    return { samples, classes, file }
  }

  it('gives a file that finds the same in the detector of a device', async () => {
    const { samples, classes, file } = await street(6)
    const { model, integer, pictures } = await quantize(file, { samples, classes })
    assert.equal(pictures, 6)
    assert.ok(integer.length > 25)
    assert.ok(model.length < file.length / 3)
    const path = join(folder, 'int8.onnx')
    await writeFile(path, model)
    const device = await Detector.load({ path, threads: 1 })
    const float = await PictureDetector.load(file, { threads: 1 })
    const { data, width, height } = await renderStreet({ seed: 900, seconds: 3, condition: 'day' })
    const picture = { data, width, height }
    const { tensor, fit } = fitPicture(picture, { width: device.width, height: device.height, resize: 'letterbox' })
    const { boxes, scores, classes: count, embedding } = await device.detect(tensor)
    const { found, embedding: wanted } = await float.detect(picture)
    const sure = found.filter(({ score }) => score > 0.5)
    assert.ok(sure.length > 0)
    for (const { box, label, score } of sure) {
      const near = Array.from({ length: boxes.length / 4 }, (_, i) => i).some((i) => {
        const [x1, y1, x2, y2] = boxes.subarray(i * 4, i * 4 + 4)
        const own = [x1! / fit.scaleX, y1! / fit.scaleY, x2! / fit.scaleX, y2! / fit.scaleY] as const
        return iou(own, box) > 0.8 && Math.abs(scores[i * count + label]! - score) < 0.15
      })
      assert.ok(near, `${classes[label]} at ${box} is lost`)
    }
    assert.ok(embedding.reduce((sum, value, i) => sum + value * wanted[i]!, 0) > 0.99)
    await device.stop()
    await float.stop()

    assert.match(markOf(readOnnx(model))!.float, /^[0-9a-f]{64}$/)
    await assert.rejects(quantize(model, { samples, classes }), /int8 already/)
    await assert.rejects(train({ base: model, classes, samples, inputSize: 320 }), /go on from the float file/)
  })

  it('refuses to choose ranges from no pictures', async () => {
    await assert.rejects(quantize(await readFile(base), { samples: [], classes: ['car'] }), { code: 'NOT_READY' })
  })

  it('takes pictures from all over the set', () => {
    assert.deepEqual(spread([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 4), [0, 2, 5, 7])
    assert.deepEqual(spread([1, 2], 4), [1, 2])
  })
})
