/** Files of 8-bit and half-precision numbers become the float32 networks that they stand for: held against onnxruntime on the file itself. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { adopt } from '../../trainer/adapters/adopt-file.ts'
import { adapters } from '../../trainer/adapters/table.ts'
import { Random } from '../../trainer/detector/random.ts'
import { asFloat } from '../../trainer/onnx/as-float.ts'
import {
  type Attribute,
  emptyGraph,
  floatTensor,
  type Graph,
  intTensor,
  type Node,
  type TensorData,
} from '../../trainer/onnx/graph.ts'
import { readOnnx } from '../../trainer/onnx/read.ts'
import { upgrade } from '../../trainer/onnx/upgrade.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { yolov8Net } from '../support/foreign-detectors.ts'

const random = new Random(3)
const someNumbers = (count: number, scale = 1) => Float32Array.from({ length: count }, () => random.normal() * scale)

function node(op: string, inputs: string[], outputs: string[], attributes: Record<string, Attribute> = {}, domain = ''): Node {
  return { op, domain, name: outputs[0]!, inputs, outputs, attributes }
}

function graphOf(
  nodes: Node[],
  initializers: Record<string, TensorData>,
  { shape, output = 'y', opset = 17 }: { shape: number[]; output?: string; opset?: number },
): Graph {
  return {
    ...emptyGraph('net'),
    opsets: { '': opset, 'com.microsoft': 1 },
    inputs: [{ name: 'x', type: 'float32', shape }],
    outputs: [{ name: output, type: 'float32', shape: ['n'] }],
    nodes,
    initializers: new Map(Object.entries(initializers)),
  }
}

async function run(graph: Graph, x: Float32Array): Promise<Float32Array> {
  const shape = graph.inputs[0]!.shape.map(Number)
  const open = { ...graph, outputs: graph.outputs.map((each) => ({ ...each, shape: [] })) }
  const session = await ort.InferenceSession.create(writeOnnx(open), { logSeverityLevel: 4, graphOptimizationLevel: 'disabled' })
  const results = await session.run({ x: new ort.Tensor('float32', x, shape) })
  await session.release()
  return results[graph.outputs[0]!.name]!.data as Float32Array
}

const scalar = (value: number): TensorData => ({ type: 'float32', shape: [], data: Float32Array.of(value) })
const zero = (value: number): TensorData => ({ type: 'uint8', shape: [], data: Uint8Array.of(value) })
const signedZero = (count = 1): TensorData => ({ type: 'int8', shape: count === 1 ? [] : [count], data: new Int8Array(count) })

/** Numbers of 8 bits with one scale for each filter, or for all. */
function quantized(values: Float32Array, shape: number[], perFilter: boolean): { q: TensorData; scale: TensorData } {
  const filters = perFilter ? shape[0]! : 1
  const each = values.length / filters
  const scales = Float32Array.from({ length: filters }, (_, i) => {
    return values.subarray(i * each, (i + 1) * each).reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127
  })
  const data = Int8Array.from(values, (value, i) => Math.round(value / scales[Math.floor(i / each)]!))
  return {
    q: { type: 'int8', shape, data },
    scale: { type: 'float32', shape: perFilter ? [filters] : [], data: scales },
  }
}

/** As onnxruntime's quantize_dynamic writes it: whole-number convolutions whose scales come behind them. */
function dynamicallyQuantized(graph: Graph): Graph {
  const initializers = new Map(graph.initializers)
  const nodes = graph.nodes.flatMap((each): Node[] => {
    const weight = graph.initializers.get(each.inputs[1] ?? '')
    if (each.op !== 'Conv' || weight?.type !== 'float32') return [each]
    const [x, w, bias] = each.inputs as [string, string, string?]
    const y = each.outputs[0]!
    const { q, scale } = quantized(weight.data as Float32Array, [...weight.shape], false)
    initializers.set(`${w}_quantized`, q).set(`${w}_scale`, scale).set(`${w}_zero`, signedZero())
    if (bias) initializers.set(`${bias}_shape`, intTensor([4], [1, -1, 1, 1]))
    const scaled = bias ? `${y}_scaled` : y
    return [
      node('DynamicQuantizeLinear', [x], [`${y}_x`, `${y}_x_scale`, `${y}_x_zero`]),
      node('ConvInteger', [`${y}_x`, `${w}_quantized`, `${y}_x_zero`, `${w}_zero`], [`${y}_whole`], each.attributes),
      node('Cast', [`${y}_whole`], [`${y}_cast`], { to: 1 }),
      node('Mul', [`${y}_x_scale`, `${w}_scale`], [`${y}_scale`]),
      node('Mul', [`${y}_cast`, `${y}_scale`], [scaled]),
      ...(bias ? [node('Reshape', [bias, `${bias}_shape`], [`${y}_bias`]), node('Add', [scaled, `${y}_bias`], [y])] : []),
    ]
  })
  return { ...graph, nodes, initializers }
}

const off = (a: Float32Array, b: Float32Array) => a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)
const opsOf = ({ nodes }: Graph) => nodes.map(({ op }) => op)

describe('a file of 8-bit numbers', () => {
  const shape = [1, 3, 8, 8]
  const x = someNumbers(192)
  const filters = someNumbers(4 * 3 * 9, 0.3)

  it('of dynamic quantisation is float convolutions with their scales and biases in them', async () => {
    const float = graphOf(
      [node('Conv', ['x', 'w', 'b'], ['c'], { pads: [1, 1, 1, 1] }), node('Sigmoid', ['c'], ['y'])],
      { w: floatTensor([4, 3, 3, 3], filters), b: floatTensor([4], someNumbers(4)) },
      { shape },
    )
    const file = dynamicallyQuantized(float)
    const { graph, note } = asFloat(file)
    assert.match(note!, /1 layers of 8-bit numbers/)
    assert.deepEqual(
      opsOf(graph).filter((op) => op !== 'Reshape'),
      ['Conv', 'Sigmoid'],
    )
    const conv = graph.nodes.find(({ op }) => op === 'Conv')!
    assert.equal(conv.inputs.length, 3)
    assert.ok(off(graph.initializers.get(conv.inputs[1]!)!.data as Float32Array, filters) < 0.01)
    // Rounding of the picture is all that is left between them.
    assert.ok(off(await run(graph, x), await run(file, x)) < 0.02)
    assert.ok(off(await run(graph, x), await run(float, x)) < 0.01)
  })

  it('of quantised operators is the same network, with the activations that its ranges did the work of', async () => {
    const first = quantized(filters, [4, 3, 3, 3], true)
    const second = quantized(someNumbers(4 * 4, 0.4), [4, 4, 1, 1], false)
    const pool = { kernel_shape: [1, 1], channels_last: 0 }
    const scales = [0.03, 0.02, 0.03, 0.04, 1 / 256]
    const initializers: Record<string, TensorData> = {
      xs: scalar(scales[0]!),
      xz: zero(128),
      w: first.q,
      ws: first.scale,
      wz: signedZero(4),
      as: scalar(scales[1]!),
      az: zero(0),
      bias: { type: 'int32', shape: [4], data: Int32Array.of(100, -200, 50, 0) },
      v: second.q,
      vs: second.scale,
      vz: signedZero(),
      bs: scalar(scales[2]!),
      bz: zero(120),
      ss: scalar(scales[3]!),
      sz: zero(110),
      ps: scalar(scales[4]!),
      pz: zero(0),
    }
    const file = graphOf(
      [
        node('QuantizeLinear', ['x', 'xs', 'xz'], ['xq']),
        node('QLinearConv', ['xq', 'xs', 'xz', 'w', 'ws', 'wz', 'as', 'az', 'bias'], ['aq'], { pads: [1, 1, 1, 1] }),
        node('MaxPool', ['aq'], ['mq'], { kernel_shape: [2, 2], strides: [2, 2] }),
        node('QLinearConv', ['mq', 'as', 'az', 'v', 'vs', 'vz', 'bs', 'bz'], ['bq']),
        node('QLinearAdd', ['bq', 'bs', 'bz', 'mq', 'as', 'az', 'ss', 'sz'], ['sq'], {}, 'com.microsoft'),
        node('QLinearAveragePool', ['sq', 'ss', 'sz', 'ss', 'sz'], ['oq'], pool, 'com.microsoft'),
        node('QLinearSigmoid', ['oq', 'ss', 'sz', 'ps', 'pz'], ['pq'], {}, 'com.microsoft'),
        node('QLinearMul', ['pq', 'ps', 'pz', 'sq', 'ss', 'sz', 'ss', 'sz'], ['tq'], {}, 'com.microsoft'),
        node('QLinearConcat', ['ss', 'sz', 'tq', 'ss', 'sz', 'mq', 'as', 'az'], ['cq'], { axis: 1 }, 'com.microsoft'),
        node('DequantizeLinear', ['cq', 'ss', 'sz'], ['y']),
      ],
      initializers,
      { shape },
    )
    const { graph, note } = asFloat(file)
    assert.match(note!, /2 layers/)
    assert.deepEqual(opsOf(graph), [
      'Conv',
      'Relu',
      'MaxPool',
      'Conv',
      'Add',
      'AveragePool',
      'Sigmoid',
      'Mul',
      'Concat',
      'Identity',
    ])
    const [ours, theirs] = [await run(graph, x), await run(file, x)]
    assert.ok(theirs.some((value) => value > 0.5) && theirs.some((value) => value < -0.1))
    // A step of each of the ranges that a number went through.
    assert.ok(off(ours, theirs) < 3 * 0.04 + 0.03 + 0.02, `${off(ours, theirs)}`)
  })

  it('keeps a value that is read twice as it is for both readers', async () => {
    const weights = { w: floatTensor([4, 3, 3, 3], filters), two: floatTensor([1], [2]) }
    const float = graphOf(
      [node('Conv', ['x', 'w'], ['c']), node('Mul', ['c', 'two'], ['m']), node('Concat', ['c', 'm'], ['y'], { axis: 1 })],
      weights,
      { shape },
    )
    const { graph } = asFloat(dynamicallyQuantized(float))
    assert.deepEqual(opsOf(graph), ['Conv', 'Mul', 'Concat'])
    const [ours, theirs] = [await run(graph, x), await run(float, x)]
    assert.ok(off(ours, theirs) < 0.1, `${off(ours, theirs)}`)
  })

  it('with quantised and dequantised values around float operators is without them, ReLU6 included', async () => {
    const w = quantized(someNumbers(4 * 3 * 9, 1.5), [4, 3, 3, 3], true)
    const file = graphOf(
      [
        node('QuantizeLinear', ['x', 'xs', 'xz'], ['xq']),
        node('DequantizeLinear', ['xq', 'xs', 'xz'], ['xf']),
        node('DequantizeLinear', ['w', 'ws', 'wz'], ['wf'], { axis: 0 }),
        node('Conv', ['xf', 'wf'], ['c']),
        node('QuantizeLinear', ['c', 'cs', 'cz'], ['cq']),
        node('DequantizeLinear', ['cq', 'cs', 'cz'], ['y']),
      ],
      { xs: scalar(0.03), xz: zero(128), w: w.q, ws: w.scale, wz: signedZero(4), cs: scalar(6 / 255), cz: zero(0) },
      { shape },
    )
    const { graph } = asFloat(file)
    assert.deepEqual(opsOf(graph), ['Conv', 'Clip', 'Identity'])
    const [ours, theirs] = [await run(graph, x), await run(file, x)]
    assert.ok(theirs.some((value) => value === 0) && theirs.some((value) => value > 5.99))
    assert.ok(off(ours, theirs) < 0.3)
  })

  it('keeps the numbers 0 to 15 of the filter that takes the expectation of distances', () => {
    const ramp = Float32Array.from({ length: 16 }, (_, i) => i)
    const file = dynamicallyQuantized(
      graphOf([node('Conv', ['x', 'dfl'], ['y'])], { dfl: floatTensor([1, 16, 1, 1], ramp) }, { shape: [1, 16, 4, 4] }),
    )
    const { graph } = asFloat(file)
    const conv = graph.nodes.find(({ op }) => op === 'Conv')!
    assert.deepEqual(graph.initializers.get(conv.inputs[1]!)!.data, ramp)
  })

  it('stays as it is where an op is not known, or its result is of 8 bits', () => {
    const initializers = { xs: scalar(0.03), xz: zero(128) }
    const quantize = node('QuantizeLinear', ['x', 'xs', 'xz'], ['q'])
    const odd = graphOf([quantize, node('QLinearOdd', ['q', 'xs', 'xz'], ['y'], {}, 'com.microsoft')], initializers, { shape })
    assert.equal(asFloat(odd).graph, odd)
    assert.match(asFloat(odd).note!, /not known at node y \(QLinearOdd\)/)
    const whole = graphOf([quantize], initializers, { shape, output: 'q' })
    assert.equal(asFloat(whole).graph, whole)
    assert.match(asFloat(whole).note!, /output q is of 8 bits/)
    const wide = graphOf([node('DequantizeLinear', ['q', 'xs'], ['y'])], { xs: scalar(1), q: intTensor([2], [1, 2]) }, { shape })
    assert.equal(asFloat(wide).graph, wide)
    assert.match(asFloat(wide).note!, /not as the standard has it at node y \(DequantizeLinear\)/)
    const plain = graphOf([node('Relu', ['x'], ['y'])], {}, { shape })
    assert.deepEqual(asFloat(plain), { graph: plain })
  })

  it('is adopted and can be trained', async () => {
    const file = dynamicallyQuantized(yolov8Net({ classes: 3, width: 96, height: 64, loud: true }))
    const { graph } = asFloat(readOnnx(writeOnnx(file)))
    const { specification } = await adopt(upgrade(graph), adapters.auto!, { classes: ['a', 'b', 'c'] })
    assert.equal(specification.head, 'yolov8')
    assert.ok(specification.classifiers.length > 0)
  })
})

describe('a file of half-precision numbers', () => {
  it('is one of float32 numbers', async () => {
    const half = (values: number[]): TensorData => {
      // Numbers that binary16 has exactly, by their bits: 0, 1, -2, 0.5, the smallest, infinity.
      const bits = new Map([
        [0, 0],
        [1, 0x3c00],
        [-2, 0xc000],
        [0.5, 0x3800],
        [2 ** -24, 1],
        [Number.POSITIVE_INFINITY, 0x7c00],
      ])
      return { type: 'float16', shape: [values.length], data: Uint16Array.from(values, (value) => bits.get(value)!) }
    }
    const numbers = [0, 1, -2, 0.5, 2 ** -24, Number.POSITIVE_INFINITY]
    const file: Graph = {
      ...graphOf(
        [
          node('Cast', ['x'], ['h'], { to: 10 }),
          node('Constant', [], ['two'], { tensor: { tensor: half([1, 1, -2, 1, 1, 1]) } }),
          node('Mul', ['h', 'w'], ['m']),
          node('Add', ['m', 'two'], ['s']),
          node('Cast', ['s'], ['y'], { to: 1 }),
        ],
        { w: half(numbers) },
        { shape: [6] },
      ),
    }
    const constant = file.nodes[1]!
    file.nodes[1] = { ...constant, attributes: { value: constant.attributes.tensor! } }
    const { graph, note } = asFloat(file)
    assert.match(note!, /half-precision/)
    assert.deepEqual([...(graph.initializers.get('w')!.data as Float32Array)], numbers)
    const x = Float32Array.of(1, 2, 0.5, 4, 2, 1)
    assert.deepEqual([...(await run(graph, x))], [1, 3, -3, 3, 1 + 2 ** -23, Number.POSITIVE_INFINITY])
  })

  it('gives and takes float32', () => {
    const file: Graph = { ...graphOf([node('Relu', ['x'], ['y'])], {}, { shape: [2] }) }
    file.inputs = [{ ...file.inputs[0]!, type: 'float16' }]
    file.outputs = [{ ...file.outputs[0]!, type: 'float16' }]
    const { graph } = asFloat(file)
    assert.deepEqual([graph.inputs[0]!.type, graph.outputs[0]!.type], ['float32', 'float32'])
  })
})
