/** The order of filters in a step's flat vectors: a training must not depend on it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { Random } from '../../trainer/detector/random.ts'
import { cpuDialect } from '../../trainer/engine/dialect.ts'
import { orderFilters } from '../../trainer/engine/filter-order.ts'
import { compileStep, packed } from '../../trainer/engine/step-graph.ts'
import { blockOf, type Dialect } from '../../trainer/gradients/rule.ts'
import { GraphBuilder, type Value } from '../../trainer/graph/builder.ts'
import { floatTensor } from '../../trainer/onnx/graph.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'

const block = await cpuDialect()

/** Convolutions of all kinds over one picture of 32 channels, and the sum of the squares of what they give. */
function network() {
  const g = new GraphBuilder('network')
  const random = new Random(5)
  const numbers = (length: number) => Float32Array.from({ length }, () => random.between(-1, 1))
  const filter = (name: string, shape: readonly number[]) =>
    g.initializer(name, floatTensor(shape, numbers(shape.reduce((a, b) => a * b, 1))))
  const x = g.input('x', 'float32', [2, 32, 10, 10])
  const conv = (from: Value, w: Value, attributes: Record<string, number | number[]> = {}) =>
    g.op('Conv', [from, w], { attributes: { pads: [1, 1, 1, 1], ...attributes } })
  const shared = filter('shared', [32, 32, 3, 3])
  const tall = conv(conv(x, shared), filter('tall', [48, 32, 3, 1]), { pads: [1, 0, 1, 0] })
  const ends = [
    conv(conv(x, shared), shared, { strides: [2, 2] }),
    conv(tall, filter('wide', [16, 48, 3, 3])),
    conv(x, filter('dilated', [16, 32, 3, 3]), { dilations: [2, 2], pads: [2, 2, 2, 2] }),
    conv(x, filter('grouped', [32, 16, 3, 3]), { group: 2 }),
    conv(x, filter('pointwise', [16, 32, 1, 1]), { pads: [0, 0, 0, 0] }),
    conv(x, filter('odd', [24, 32, 3, 3])),
    g.mul(filter('both', [16, 32, 3, 3]), g.constant(0.5)),
    conv(x, g.value('both')),
  ]
  const loss = ends.map((each) => g.sum(g.mul(each, each))).reduce((sum, each) => g.add(sum, each))
  g.output(g.reshape(loss, [1]), 'loss')
  const names = ['shared', 'tall', 'wide', 'dilated', 'grouped', 'pointwise', 'odd', 'both']
  return { graph: g.graph, names, picture: numbers(2 * 32 * 100) }
}

async function stepOf(dialect: Dialect, filtersInBlocks: boolean) {
  const { graph, names, picture } = network()
  const step = compileStep({ graph, losses: ['loss'], parameters: names, dialect, filtersInBlocks })
  const flat = packed(graph, step.parameters)
  orderFilters(flat, step.parameters, 'blocks')
  const session = await ort.InferenceSession.create(writeOnnx(step.graph), { graphOptimizationLevel: 'disabled' })
  const out = await session.run({
    x: new ort.Tensor('float32', picture, [2, 32, 10, 10]),
    parameters: new ort.Tensor('float32', flat, [flat.length]),
  })
  await session.release()
  const gradient = out.gradient!.data as Float32Array
  orderFilters(gradient, step.parameters, 'plain')
  return { step, gradient, loss: (out.losses!.data as Float32Array)[0] }
}

describe('the order of filters', () => {
  it('in blocks is that of input and output blocks, elements, then the channels in each', () => {
    const shape = [4, 6, 1, 3] as const
    const plain = Float32Array.from({ length: 72 }, (_, i) => i)
    const slots = [{ name: 'w', shape, offset: 2, size: 72, block: 2 }]
    const flat = Float32Array.from([-1, -2, ...plain, -3])
    orderFilters(flat, slots, 'blocks')
    assert.deepEqual([...flat.subarray(0, 2), flat[74]], [-1, -2, -3])
    for (const [at, [input, output, tap, i, o]] of [
      [0, [0, 0, 0, 0, 0]],
      [1, [0, 0, 0, 0, 1]],
      [2, [0, 0, 0, 1, 0]],
      [4, [0, 0, 1, 0, 0]],
      [12, [0, 1, 0, 0, 0]],
      [24, [1, 0, 0, 0, 0]],
      [71, [2, 1, 2, 1, 1]],
    ] as const)
      assert.equal(flat[2 + at], ((output * 2 + o) * 6 + input * 2 + i) * 3 + tap)
    orderFilters(flat, slots, 'plain')
    assert.deepEqual(flat, Float32Array.from([-1, -2, ...plain, -3]))
  })

  it('is in blocks for the filters of convolutions over whole blocks alone', {
    skip: block === 'std' && 'no blocked layout here',
  }, async () => {
    const { step } = await stepOf(block, true)
    const b = blockOf(block)
    const inBlocks = step.parameters.filter(({ block: own }) => own === b).map(({ name }) => name)
    assert.deepEqual(inBlocks, ['shared', 'tall', 'wide', 'dilated', ...(b === 8 ? ['odd'] : [])])
    assert.ok((await stepOf('std', true)).step.parameters.every((slot) => slot.block === undefined))
  })

  it('changes no loss and no gradient', async () => {
    const [plain, blocks] = await Promise.all([false, true].map((each) => stepOf(block, each)))
    assert.equal(blocks!.loss, plain!.loss)
    assert.deepEqual(blocks!.gradient, plain!.gradient)
    assert.ok(plain!.gradient.some((each) => each !== 0))
  })
})
