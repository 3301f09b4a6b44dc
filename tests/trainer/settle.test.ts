/** What exporters leave open is settled: sizes, shapes that are computed in the run, initialisers listed as inputs. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { adopt } from '../../trainer/adapters/adopt-file.ts'
import { settle, settleOpen } from '../../trainer/adapters/settle.ts'
import { adapters } from '../../trainer/adapters/table.ts'
import { continued, withInput } from '../../trainer/detector/core.ts'
import { deployed } from '../../trainer/detector/deploy.ts'
import { GraphBuilder } from '../../trainer/graph/builder.ts'
import { emptyGraph, floatTensor, type Graph, intTensor } from '../../trainer/onnx/graph.ts'
import { readOnnx } from '../../trainer/onnx/read.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { yoloxNet } from '../support/foreign-detectors.ts'

const classes = ['a', 'b']
const plain = yoloxNet({ classes: 2, width: 96, height: 64, loud: true })

const node = (op: string, inputs: string[], output: string, attributes = {}) => {
  return { op, domain: '', name: output, inputs, outputs: [output], attributes }
}

/** The same network with open sizes, its reshapes computed from the batch, and its weights listed as inputs. */
function open(): Graph {
  const initializers = new Map(plain.initializers)
  initializers.set('zero', intTensor([1], [0]))
  initializers.set('rest', intTensor([2], [7, -1]))
  const nodes = plain.nodes.flatMap((node) => {
    if (node.op !== 'Reshape') return [node]
    const [shape, batch, target] = ['shape', 'batch', 'target'].map((part) => `${node.name}/${part}`) as [string, string, string]
    const made = (op: string, inputs: string[], output: string, attributes = {}) => ({
      op,
      domain: '',
      name: output,
      inputs,
      outputs: [output],
      attributes,
    })
    return [
      made('Shape', [node.inputs[0]!], shape),
      made('Gather', [shape, 'zero'], batch, { axis: 0 }),
      made('Concat', [batch, 'rest'], target, { axis: 0 }),
      { ...node, inputs: [node.inputs[0]!, target] },
    ]
  })
  const weights = [...initializers].map(([name, { type, shape }]) => ({ name, type, shape }))
  const inputs = [{ ...plain.inputs[0]!, shape: ['batch', 3, 'height', 'width'] }, ...weights]
  return readOnnx(writeOnnx({ ...plain, nodes, inputs, initializers }))
}

describe("an export that is told of the picture by inputs of Paddle's", () => {
  it('has them settled: the picture is the input, boxes are in its pixels', async () => {
    const divided = (name: string, from: string, by: string) => ({
      op: 'Div',
      domain: '',
      name,
      inputs: [from, by],
      outputs: [name],
      attributes: {},
    })
    const graph: Graph = {
      ...plain,
      inputs: [
        { name: 'im_shape', type: 'float32', shape: ['batch', 2] },
        ...plain.inputs,
        { name: 'scale_factor', type: 'float32', shape: ['batch', 2] },
      ],
      nodes: [divided('sides', 'im_shape', 'scale_factor'), ...plain.nodes],
    }
    const { graph: settled } = await settle(readOnnx(writeOnnx(graph)), { width: 96, height: 64 })
    assert.deepEqual(
      settled.inputs.map(({ name }) => name),
      ['net/images'],
    )
    assert.deepEqual([...(settled.initializers.get('net/sides')!.data as Float32Array)], [64, 96])
  })
})

describe('an export with open sizes', () => {
  it('becomes the same deployed file as one without', async () => {
    const size = { width: 96, height: 64 }
    const of = async (graph: Graph) => {
      const { core, specification } = await adopt(graph, adapters.yolox!, { classes, size })
      return deployed(core, specification, size)
    }
    const [wanted, ours] = [await of(plain), await of(open())]
    assert.deepEqual(ours.inputs, wanted.inputs)
    assert.deepEqual(
      ours.nodes.map(({ op }) => op),
      wanted.nodes.map(({ op }) => op),
    )
  })

  it('has every shape known, and no node left that computes one', async () => {
    const { graph } = await settle(open(), { width: 96, height: 64 })
    assert.deepEqual(graph.outputs[0]!.shape, [1, 126, 7])
    assert.deepEqual(
      graph.nodes.filter(({ op }) => op === 'Shape' || op === 'Gather'),
      [],
    )
  })

  it('says which node has a shape that is known only in the run', async () => {
    const graph = open()
    const nodes = [
      ...graph.nodes,
      node('Cast', ['output'], 'late/shape', { to: 7 }),
      node('Reshape', ['output', 'late/shape'], 'late'),
    ]
    await assert.rejects(settle({ ...graph, nodes }, { width: 96, height: 64 }), {
      code: 'BAD_MODEL',
      message: /late \(Reshape\)/,
    })
  })

  it('ends before a choice of boxes whose shapes are known only in the run, and says where', async () => {
    const graph = open()
    const nodes = [...graph.nodes, node('NonZero', ['output'], 'chosen'), node('Expand', ['output', 'chosen'], 'late')]
    const late = { ...graph, nodes, outputs: [{ name: 'late', type: 'float32' as const, shape: [] }] }
    const { graph: settled, shapes, cut } = await settle(late, { width: 96, height: 64 })
    assert.deepEqual(settled.outputs, [])
    assert.match(cut ?? '', /late \(Expand\)/)
    assert.deepEqual(shapes.value('net/output').shape, [1, 126, 7])
  })

  it('is taken at the size that it was traced at, where it works at no other', async () => {
    const grid = floatTensor([1, 3, 224, 224], new Float32Array(3 * 224 * 224))
    const traced: Graph = {
      ...plain,
      inputs: [{ name: 'images', type: 'float32', shape: ['N', 3, 'h', 'w'] }],
      initializers: new Map([['grid', grid]]),
      nodes: [node('Add', ['images', 'grid'], 'sum')],
      outputs: [{ name: 'sum', type: 'float32', shape: [] }],
    }
    assert.deepEqual((await settleOpen(traced)).graph.inputs[0]!.shape, [1, 3, 224, 224])
    await assert.rejects(settleOpen(traced, { width: 96, height: 64 }), /do not broadcast/)
  })

  it("has TensorFlow's padding worked out, and is had for other pictures with a Resize by no whole factor", async () => {
    // As timm's padding is traced: as much as the last window lacks, at least 0; of 5 cells 3 are made, and of these 5 again.
    const graph: Graph = {
      ...plain,
      inputs: [{ name: 'images', type: 'float32', shape: [1, 3, 5, 5] }],
      initializers: new Map([
        ['lacks', floatTensor([8], [0, 0, 1, 1, 0, 0, 1, -1])],
        ['none', floatTensor([], [0])],
        ['sizes', intTensor([4], [1, 3, 5, 5])],
        ['weights', floatTensor([3, 3, 3, 3], Array(81).fill(0.1))],
      ]),
      nodes: [
        node('Clip', ['lacks', 'none'], 'pads/float'),
        node('Cast', ['pads/float'], 'pads', { to: 7 }),
        node('Pad', ['images', 'pads'], 'padded'),
        node('Conv', ['padded', 'weights'], 'small', { strides: [2, 2], pads: [0, 0, 0, 1] }),
        node('Resize', ['small', '', '', 'sizes'], 'large', { mode: 'nearest' }),
      ],
      outputs: [{ name: 'large', type: 'float32', shape: [] }],
    }
    const { graph: settled, shapes } = await settleOpen(graph)
    assert.deepEqual(
      settled.nodes.map(({ op }) => op),
      ['Pad', 'Conv', 'Resize'],
    )
    assert.deepEqual(shapes.value('net/large').shape, [1, 3, 5, 5])
    const g = new GraphBuilder('core')
    const image = g.input('image', 'uint8', [1, 5, 5, 3])
    g.op('Cast', [g.transpose(image, [0, 3, 1, 2])], { attributes: { to: 1 }, name: 'net/images' })
    for (const [name, tensor] of settled.initializers) g.initializer(name, tensor)
    for (const each of settled.nodes) g.append(each)
    const several = continued(withInput(g.graph, { batch: 4, width: 5, height: 5 }))
    assert.deepEqual(several.value('net/large').shape, [4, 3, 5, 5])
    const other = continued(withInput(g.graph, { batch: 4, width: 3, height: 7 }))
    assert.deepEqual(other.value('net/large').shape, [4, 3, 7, 3])
  })

  it('makes the size that RT-DETR wants to be told a constant, that of the input', async () => {
    const { graph } = await settle(
      {
        ...plain,
        inputs: [
          { name: 'images', type: 'float32', shape: ['N', 3, 64, 96] },
          { name: 'orig_target_sizes', type: 'int64', shape: ['N', 2] },
        ],
        outputs: [{ name: 'scaled', type: 'float32', shape: [] }],
        nodes: [
          node('Cast', ['orig_target_sizes'], 'size', { to: 1 }),
          node('ReduceMean', ['images'], 'mean', { keepdims: 0 }),
          node('Mul', ['mean', 'size'], 'scaled'),
        ],
        initializers: new Map(),
      },
      { width: 416, height: 416 },
    )
    assert.deepEqual(
      graph.inputs.map(({ shape }) => shape),
      [[1, 3, 64, 96]],
    )
    const size = graph.initializers.get(graph.nodes.find(({ op }) => op === 'Mul')!.inputs[1]!)
    assert.deepEqual(
      [size?.shape, [...(size?.data as Float32Array)]],
      [
        [1, 2],
        [96, 64],
      ],
    )
  })
})

describe('an If', () => {
  /** Squeezes the first axis where there is one number in it, as PyTorch writes a squeeze of a size that it does not know. */
  const squeezing = (condition: string): Graph => {
    const branch = (made: ReturnType<typeof node>): Graph => ({
      ...emptyGraph('branch'),
      nodes: [made],
      outputs: [{ name: 'own', type: 'float32', shape: [] }],
    })
    const attributes = {
      then_branch: { graph: branch(node('Squeeze', ['x', 'zeros'], 'own')) },
      else_branch: { graph: branch(node('Identity', ['x'], 'own')) },
    }
    return {
      ...emptyGraph('if'),
      inputs: [{ name: 'x', type: 'float32', shape: ['batch', 3, 8, 8] }],
      outputs: [{ name: 'y', type: 'float32', shape: ['a', 'b', 'c'] }],
      nodes: [
        node('Shape', ['x'], 'shape'),
        node('Gather', ['shape', 'zero'], 'batch', { axis: 0 }),
        node('Equal', ['batch', 'one'], 'single'),
        node('ReduceMax', ['x'], 'greatest', { keepdims: 0 }),
        node('Less', ['greatest', 'two'], 'dark'),
        node('If', [condition], 'y', attributes),
      ],
      initializers: new Map([
        ['zero', intTensor([], [0])],
        ['zeros', intTensor([1], [0])],
        ['one', intTensor([], [1])],
        ['two', floatTensor([], [2])],
      ]),
    }
  }

  it('is the branch that is taken, where that is known before the run', async () => {
    const { graph } = await settle(readOnnx(writeOnnx(squeezing('single'))), { width: 8, height: 8 })
    assert.deepEqual(graph.outputs[0]!.shape, [3, 8, 8])
    assert.ok(graph.nodes.every(({ op }) => op !== 'If'))
  })

  it('is refused where the picture decides it', async () => {
    await assert.rejects(settle(readOnnx(writeOnnx(squeezing('dark'))), { width: 8, height: 8 }), {
      code: 'BAD_MODEL',
      message: /node y \(If\): which branch is taken is known only in the run/,
    })
  })
})
