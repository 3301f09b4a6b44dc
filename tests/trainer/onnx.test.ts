/** Reading ONNX as exporters really write it, and what folding and lifting make of it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { MuninnError } from '../../protocol/errors.ts'
import { GraphBuilder } from '../../trainer/graph/builder.ts'
import { floatTensor, type Graph, intTensor, type Node } from '../../trainer/onnx/graph.ts'
import { infer } from '../../trainer/onnx/infer.ts'
import { Model } from '../../trainer/onnx/proto.ts'
import { readOnnx } from '../../trainer/onnx/read.ts'
import { refuseUnsupported } from '../../trainer/onnx/support.ts'
import { upgrade } from '../../trainer/onnx/upgrade.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'

const node = (op: string, inputs: string[], outputs: string[], attributes: Node['attributes'] = {}): Node => ({
  op,
  domain: '',
  name: outputs[0]!,
  inputs,
  outputs,
  attributes,
})

function graphOf(nodes: Node[], given: Partial<Graph> = {}): Graph {
  return {
    name: 'g',
    inputs: [{ name: 'x', type: 'float32', shape: ['n', 3, 8, 8] }],
    outputs: [{ name: 'y', type: 'float32', shape: ['n'] }],
    nodes,
    initializers: new Map(),
    opsets: { '': 17 },
    metadata: {},
    ...given,
  }
}

/** A file as raw protobuf fields, for what our own writing never does. */
const file = (graph: Record<string, unknown>, model: Record<string, unknown> = {}) =>
  Model.encode(
    Model.create({ irVersion: 3, opsetImport: [{ domain: '', version: 9 }], graph: { name: 'g', ...graph }, ...model }),
  ).finish()
const value = (name: string, elemType = 1) => ({ name, type: { tensorType: { elemType, shape: { dim: [{ dimValue: 2 }] } } } })
const relu = { opType: 'Relu', input: ['x'], output: ['y'], name: 'r' }
const whole = { node: [relu], input: [value('x')], output: [value('y')] }

describe('reading an ONNX file', () => {
  it('does not count initialisers that are listed as inputs as inputs', () => {
    const weight = { name: 'w', dims: [2], dataType: 1, floatData: [1, 2] }
    const graph = readOnnx(
      file({
        node: [{ opType: 'Add', input: ['x', 'w'], output: ['y'] }],
        input: [value('x'), value('w')],
        output: [value('y')],
        initializer: [weight],
      }),
    )
    assert.deepEqual(
      graph.inputs.map(({ name }) => name),
      ['x'],
    )
    assert.deepEqual(graph.initializers.get('w'), floatTensor([2], [1, 2]))
  })

  it('sorts nodes that were not saved in order', () => {
    const second = { opType: 'Neg', input: ['m'], output: ['y'] }
    const graph = readOnnx(file({ ...whole, node: [second, { ...relu, output: ['m'] }] }))
    assert.deepEqual(
      graph.nodes.map(({ op }) => op),
      ['Relu', 'Neg'],
    )
  })

  it('keeps the largest int64, which exporters write for "to the end"', () => {
    const slice = {
      opType: 'Slice',
      input: ['x'],
      output: ['y'],
      attribute: [
        { name: 'starts', type: 7, ints: [1] },
        { name: 'ends', type: 7, ints: ['9223372036854775807'] },
      ],
    }
    const ends = { name: 'e', dims: [1], dataType: 7, int64Data: ['9223372036854775807'] }
    const graph = upgrade(readOnnx(file({ ...whole, node: [slice], initializer: [ends] })))
    assert.deepEqual(infer(graph).values.get('y')?.shape, [1])
    assert.equal(graph.initializers.get('e')!.data[0], 2n ** 63n - 1n)
  })

  const loop = {
    opType: 'Loop',
    name: 'the loop',
    input: ['x'],
    output: ['y'],
    attribute: [{ name: 'body', type: 5, g: { name: 'b' } }],
  }
  const refusals: readonly (readonly [what: string, bytes: Uint8Array, message: RegExp])[] = [
    [
      'a tensor in another file',
      file({ ...whole, initializer: [{ name: 'w', dims: [2], dataType: 1, dataLocation: 1 }] }),
      /tensor w lies in another file; keep it beside the model, or save the model as one file/,
    ],
    [
      'a tensor whose few bytes declare a huge size',
      file({ ...whole, initializer: [{ name: 'w', dims: [500_000_000], dataType: 1 }] }),
      /tensor w has 0 values/,
    ],
    [
      'a tensor larger than any detector',
      file({ ...whole, initializer: [{ name: 'w', dims: [2_000_000_000, 2_000_000_000], dataType: 1 }] }),
      /tensor w has the shape/,
    ],
    [
      'int4 weights',
      file({ ...whole, initializer: [{ name: 'w', dims: [2], dataType: 22, rawData: Uint8Array.of(1) }] }),
      /tensor w has the data type int4/,
    ],
    ['a subgraph', file({ ...whole, node: [loop] }), /body of node the loop is a subgraph/],
    ['sparse tensors', file({ ...whole, sparseInitializer: [Uint8Array.of()] }), /sparse tensors/],
    [
      'functions of its own',
      file({ ...whole, node: [{ ...relu, domain: 'own' }] }, { functions: [Uint8Array.of()] }),
      /functions of its own; inline them/,
    ],
    ['a value that nothing makes', file({ ...whole, node: [{ ...relu, input: ['z'] }] }), /node r uses z before it is made/],
    [
      'a circle',
      file({
        ...whole,
        node: [
          { ...relu, input: ['b'], output: ['a'] },
          { ...relu, input: ['a'], output: ['b'] },
        ],
      }),
      /the graph goes round in a circle/,
    ],
    ['a value made twice', file({ ...whole, node: [relu, relu] }), /y is made twice/],
    ['an output that is never made', file({ ...whole, output: [value('q')] }), /the output q is never made/],
  ]
  for (const [what, bytes, message] of refusals) {
    it(`refuses ${what}`, () => {
      assert.throws(() => readOnnx(bytes), { code: 'BAD_MODEL', message })
    })
  }

  it('refuses an output type that would end the process, also one that only a Cast makes', () => {
    assert.throws(
      () => refuseUnsupported(readOnnx(file({ ...whole, output: [value('y', 22)] }))),
      /output y is of an element type/,
    )
    const cast = graphOf([node('Cast', ['x'], ['m'], { to: 22 }), node('Cast', ['m'], ['y'], { to: 1 })])
    assert.throws(() => refuseUnsupported(cast), /value m is of an element type/)
  })

  it('refuses it also where only a branch makes it', () => {
    const branch = (to: number): Graph => ({
      ...graphOf([node('Cast', ['x'], ['m'], { to }), node('Cast', ['m'], ['b'], { to: 1 })]),
      inputs: [],
      outputs: [{ name: 'b', type: 'float32', shape: ['n'] }],
    })
    const attributes = { then_branch: { graph: branch(1) }, else_branch: { graph: branch(22) } }
    const inputs: Graph['inputs'] = [...graphOf([]).inputs, { name: 'c', type: 'bool', shape: [] }]
    const read = readOnnx(writeOnnx(graphOf([node('If', ['c'], ['y'], attributes)], { inputs })))
    assert.throws(() => refuseUnsupported(read), /value m is of an element type/)
  })

  it('makes what a branch takes from around it before the branch', () => {
    const branch: Graph = {
      ...graphOf([node('Neg', ['r'], ['b'])]),
      inputs: [],
      outputs: [{ name: 'b', type: 'float32', shape: ['n'] }],
    }
    const attributes = { then_branch: { graph: branch }, else_branch: { graph: branch } }
    const inputs: Graph['inputs'] = [...graphOf([]).inputs, { name: 'c', type: 'bool', shape: [] }]
    const nodes = [node('If', ['c'], ['y'], attributes), node('Relu', ['x'], ['r'])]
    const read = readOnnx(writeOnnx(graphOf(nodes, { inputs })))
    assert.deepEqual(
      read.nodes.map(({ op }) => op),
      ['Relu', 'If'],
    )
    assert.deepEqual(infer(read).values.get('y')?.shape, [-1, 3, 8, 8])
  })
})

describe('a damaged file', () => {
  it('is read or refused, whatever bytes of it are changed', () => {
    const weight = { name: 'w', dims: [2, 3], dataType: 1, floatData: [1, 2, 3, 4, 5, 6] }
    const slice = {
      opType: 'Slice',
      input: ['x'],
      output: ['s'],
      attribute: ['starts', 'ends'].map((name) => ({ name, type: 7, ints: [1] })),
    }
    const gemm = { opType: 'Gemm', name: 'g', input: ['w', 's'], output: ['y'], attribute: [{ name: 'alpha', type: 1, f: 2 }] }
    const good = file({ ...whole, node: [slice, gemm], initializer: [weight] })
    let state = 1
    const random = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    let read = 0
    for (let round = 0; round < 3000; round++) {
      const bytes = Uint8Array.from(good)
      for (let changes = 1 + random(4); changes > 0; changes--) bytes[random(bytes.length)] = random(256)
      try {
        infer(upgrade(readOnnx(bytes.subarray(0, round % 3 === 0 ? random(bytes.length) : undefined))))
        read++
      } catch (error) {
        assert.ok(error instanceof MuninnError, `round ${round}: ${String(error)}`)
      }
    }
    assert.ok(read > 100, 'some changes do no harm')
  })
})

/** A flattening as PyTorch exports it: [n, 3, 8, 8] to [n, 192] by arithmetic on the shape. */
const flattening = graphOf(
  [
    node('Shape', ['x'], ['shape']),
    node('Constant', [], ['zero'], { value: { tensor: intTensor([], [0]) } }),
    node('Gather', ['shape', 'zero'], ['batch'], { axis: 0 }),
    node('Constant', [], ['axes'], { value_ints: [0] }),
    node('Unsqueeze', ['batch', 'axes'], ['batches']),
    node('Constant', [], ['rest'], { value_ints: [-1] }),
    node('Concat', ['batches', 'rest'], ['sizes'], { axis: 0 }),
    node('Reshape', ['x', 'sizes'], ['y']),
  ],
  { outputs: [{ name: 'y', type: 'float32', shape: ['n', 'all'] }] },
)

describe('shapes that a graph works out itself', () => {
  it('are known where the sizes of the inputs are', () => {
    const sized = { ...flattening, inputs: [{ ...flattening.inputs[0]!, shape: [4, 3, 8, 8] }] }
    assert.deepEqual(infer(sized).values.get('y')?.shape, [4, 192])
  })

  it('are unknown, not wrong, where they are not', () => {
    const { values, faults } = infer(flattening)
    assert.deepEqual(values.get('batch')?.shape, [])
    assert.equal(values.has('y'), false)
    assert.match(faults[0]!.reason, /Reshape y has a shape that is known only in the run/)
  })

  it('are followed by the builder, which puts their values into a step graph', () => {
    const g = GraphBuilder.from({ ...flattening, inputs: [{ name: 'x', type: 'float32', shape: [2, 3, 8, 8] }] })
    assert.deepEqual(g.value('y').shape, [2, 192])
  })

  it('give the same numbers folded as onnxruntime gives unfolded', async () => {
    // A grid of cell centres as detectors export it: Range, Expand, Reshape, arithmetic, NonZero of a mask.
    const float = (name: string, value: number) => node('Constant', [], [name], { value_float: { float: value } })
    const int = (name: string, ...values: number[]) => node('Constant', [], [name], { value_ints: values })
    const scalar = (name: string, value: number) => node('Constant', [], [name], { value_int: value })
    const nodes = [
      scalar('from', 0),
      scalar('to', 5),
      scalar('by', 1),
      node('Range', ['from', 'to', 'by'], ['range']),
      int('column', 5, 1),
      node('Reshape', ['range', 'column'], ['rows']),
      int('square', 5, 5),
      node('Expand', ['rows', 'square'], ['grid']),
      node('Transpose', ['grid'], ['turned'], { perm: [1, 0] }),
      node('Sub', ['grid', 'turned'], ['difference']),
      scalar('three', 3),
      node('Mod', ['difference', 'three'], ['mod']),
      node('NonZero', ['mod'], ['places']),
      node('Cast', ['places'], ['floats'], { to: 1 }),
      float('half', 0.5),
      node('Add', ['floats', 'half'], ['centres']),
      int('starts', -2),
      int('ends', -100),
      int('first', 0),
      int('back', -1),
      node('Slice', ['centres', 'starts', 'ends', 'first', 'back'], ['upper']),
      int('one', 1),
      node('ReduceMax', ['upper'], ['most'], { axes: [1], keepdims: 1 }),
      node('Div', ['upper', 'most'], ['share']),
      int('twice', 2, 1),
      node('Tile', ['share', 'twice'], ['tiled']),
      node('Identity', ['x'], ['y']),
    ]
    const graph = graphOf(nodes, { outputs: [{ name: 'tiled', type: 'float32', shape: ['a', 'b'] }] })
    const folded = infer(graph).known.get('tiled')!
    const session = await ort.InferenceSession.create(writeOnnx(graph))
    const { tiled } = await session.run({ x: new ort.Tensor('float32', new Float32Array(192), [1, 3, 8, 8]) })
    assert.deepEqual(folded.shape, tiled!.dims)
    assert.deepEqual(folded.data, tiled!.data)
    await session.release()
  })
})

describe('lifting an old file to opset 17', () => {
  const run = async (graph: Graph) => {
    const session = await ort.InferenceSession.create(writeOnnx(graph), { logSeverityLevel: 4 })
    const x = new ort.Tensor(
      'float32',
      Float32Array.from({ length: 384 }, (_, i) => Math.sin(i) * 2),
      [2, 3, 8, 8],
    )
    const { y } = await session.run({ x })
    await session.release()
    return Array.from(y!.data as Float32Array)
  }
  const ints = (...values: number[]): Node['attributes'][string] => values
  const cases: readonly (readonly [what: string, opset: number, nodes: Node[]])[] = [
    ['a Softmax over everything behind its axis', 9, [node('Softmax', ['x'], ['y'], { axis: 1 })]],
    ['a LogSoftmax with the old default axis', 11, [node('LogSoftmax', ['x'], ['y'])]],
    ['a Softmax over the last axis', 9, [node('Softmax', ['x'], ['y'], { axis: 3 })]],
    ['a Clip with one bound', 9, [node('Clip', ['x'], ['y'], { min: { float: -0.5 } })]],
    ['a Slice with attributes', 9, [node('Slice', ['x'], ['y'], { starts: ints(1), ends: ints(3), axes: ints(2) })]],
    ['a Pad with attributes', 9, [node('Pad', ['x'], ['y'], { pads: ints(0, 0, 1, 1, 0, 0, 2, 2), value: { float: 1 } })]],
    [
      'a Squeeze, Unsqueeze and ReduceSum with attributes',
      11,
      [
        node('Unsqueeze', ['x'], ['u'], { axes: ints(0) }),
        node('Squeeze', ['u'], ['s'], { axes: ints(0) }),
        node('ReduceSum', ['s'], ['y'], { axes: ints(1), keepdims: 0 }),
      ],
    ],
    ['a Split with attributes', 11, [node('Split', ['x'], ['y', 'rest'], { axis: 1, split: ints(1, 2) })]],
    [
      'an Upsample',
      9,
      [
        node('Constant', [], ['scales'], { value: { tensor: floatTensor([4], [1, 1, 2, 2]) } }),
        node('Upsample', ['x', 'scales'], ['y'], { mode: 'nearest' }),
      ],
    ],
    [
      'a linear Resize of opset 10',
      10,
      [
        node('Constant', [], ['scales'], { value: { tensor: floatTensor([4], [1, 1, 2, 2]) } }),
        node('Resize', ['x', 'scales'], ['y'], { mode: 'linear' }),
      ],
    ],
    ['a TopK with its count as an attribute', 9, [node('TopK', ['x'], ['y', 'at'], { k: 2, axis: 1 })]],
    ['a Dropout', 9, [node('Dropout', ['x'], ['y'], { ratio: { float: 0.5 } })]],
  ]
  for (const [what, opset, nodes] of cases) {
    it(`keeps what ${what} gives`, async () => {
      const old = graphOf(nodes, {
        opsets: { '': opset },
        outputs: [{ name: 'y', type: 'float32', shape: ['a', 'b', 'c', 'd'] }],
      })
      const before = await run(old)
      const after = await run(upgrade(old))
      assert.equal(after.length, before.length)
      for (const [i, each] of before.entries()) assert.ok(Math.abs(each - after[i]!) < 1e-6, `value ${i}: ${each}, ${after[i]}`)
    })
  }

  it('leaves a newer file as it is', () => {
    const graph = graphOf([node('Relu', ['x'], ['y'])], { opsets: { '': 21 } })
    assert.equal(upgrade(graph), graph)
  })
})
