/** What makes a step quick on the processor is in its graph: were the blocked layout or a fusion lost, the numbers would stay the same and nobody be told. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { losses } from '../../trainer/detector/loss.ts'
import { plainNetwork } from '../../trainer/detector/network.ts'
import { Random } from '../../trainer/detector/random.ts'
import { cpuDialect } from '../../trainer/engine/dialect.ts'
import { fused } from '../../trainer/engine/fuse.ts'
import { compileStep, type StepGraph } from '../../trainer/engine/step-graph.ts'
import { nchwc } from '../../trainer/gradients/blocked.ts'
import { GraphBuilder } from '../../trainer/graph/builder.ts'
import { planOn } from '../../trainer/loop/plan.ts'
import type { Graph, Node } from '../../trainer/onnx/graph.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { classes, referenceStep, size } from '../support/reference-step.ts'

const { graph, parameters } = referenceStep()
const compiled = (recompute = false): StepGraph =>
  compileStep({ graph, losses: [...losses], parameters, dialect: 'nchwc16', recompute })
const count = ({ nodes }: Graph, fits: (node: Node) => boolean): number => nodes.filter(fits).length
const ops = (of: Graph, op: string, domain = '') => count(of, (node) => node.op === op && node.domain === domain)
const activated = (of: Graph) =>
  count(of, ({ op, domain, attributes }) => op === 'Conv' && domain === nchwc && !!attributes.activation)
const normalized = ops(graph, 'BatchNormalization')

describe('the step graph in the blocked layout', () => {
  it('computes every 3 x 3 convolution, its gradients and BatchNormalization in blocks', () => {
    const { graph: step } = compiled()
    assert.equal(ops(step, 'BatchNormalization'), 0)
    const kernelOf = ({ inputs, attributes }: Node) =>
      attributes.kernel_shape ?? step.initializers.get(inputs[1]!)?.shape.slice(2)
    const plain = step.nodes.filter((node) => node.op === 'Conv' && node.domain === '' && String(kernelOf(node)) !== '1,1')
    assert.deepEqual(plain, [])
    assert.equal(ops(step, 'ConvTranspose'), 0)
    // Forward, its statistics, gradient of the filter, one or two lines of the gradient of BatchNormalization, nearly always the gradient of the input.
    assert.ok(ops(step, 'Conv', nchwc) >= 6 * normalized, `${ops(step, 'Conv', nchwc)} convolutions in blocks`)
  })

  it('stays in blocks from layer to layer', () => {
    const { graph: step } = compiled()
    const reorders = ops(step, 'ReorderInput', nchwc) + ops(step, 'ReorderOutput', nchwc)
    // Were each convolution reordered on its own, forward and backward, there would be four for each at the least.
    assert.ok(reorders > 0 && reorders < 2 * normalized, `${reorders} reorders for ${normalized} convolutions`)
  })

  it('makes a filter gradient from blocks as they lie: a whole block of input channels in each row of results', () => {
    const { graph: step } = compiled()
    const dilationOf = ({ attributes }: Node) => (attributes.dilations as readonly number[] | undefined)?.[1] ?? 1
    // All but the first layer, whose three channels make no block, and the products of 1 x 1 filters.
    const kernelled = [...parameters].filter((name) => {
      const [, channels, height] = graph.initializers.get(name)!.shape
      return height! > 1 && channels! % 16 === 0
    })
    const fromBlocks = count(step, (node) => node.op === 'Conv' && node.domain === nchwc && dilationOf(node) % 16 === 0)
    assert.ok(kernelled.length > 15 && fromBlocks >= kernelled.length, `${fromBlocks} for ${kernelled.length} filters`)
  })

  it('scales filters and their gradients by BatchNormalization where outputs are much larger, instead of these', () => {
    const { graph: step } = compiled()
    const isLine = ({ op, domain, attributes, inputs }: Node) =>
      op === 'Conv' && domain === nchwc && String(attributes.kernel_shape) === '1,1' && attributes.group !== 1 && !inputs[3]
    // One a layer is the forward pass.
    const scaled = count(step, isLine) - normalized
    assert.ok(scaled > 0 && scaled < normalized - 3, `the outputs of ${scaled} of ${normalized} layers are scaled`)
  })

  it('does the ReLU behind each layer where that writes its output, in the backward pass as well', () => {
    const behindSums = ops(graph, 'Relu') - normalized
    assert.ok(normalized > 20 && behindSums < normalized)
    assert.equal(activated(compiled().graph), normalized)
    assert.equal(activated(compiled(true).graph), 2 * normalized)
    // What is left: one that keeps each batch variance from falling below 0.
    assert.equal(ops(compiled().graph, 'Relu'), behindSums + normalized)
  })

  it('adds the gradients of a value that several layers read where the last convolution of them writes its own', () => {
    const { graph: step } = compiled()
    const makers = new Map(step.nodes.flatMap((node) => node.outputs.map((name) => [name, node])))
    const readers = (name: string) => count(step, ({ inputs }) => inputs.includes(name))
    const inBlocks = (node: Node | undefined) => node?.op === 'Conv' && node.domain === nchwc && !node.attributes.activation
    const apart = ({ op, inputs }: Node) =>
      op === 'Add' && inputs.some((name) => inBlocks(makers.get(name)) && readers(name) === 1)
    assert.deepEqual(step.nodes.filter(apart), [])
    const adding = step.nodes.filter((node) => inBlocks(node) && node.inputs[3] && String(node.attributes.pads) === '1,1,1,1')
    // The shortcuts of its blocks, and a head's two towers over each grid.
    assert.ok(adding.length >= 6, `${adding.length} convolutions add`)
  })

  it('reads the pixels in one pass', () => {
    const { graph: step } = compiled()
    assert.equal(ops(step, 'DequantizeLinear'), 1)
    assert.equal(
      count(step, ({ op, inputs }) => op === 'Cast' && inputs[0] === 'image'),
      0,
    )
  })

  it('is what a training on this processor runs', async (t) => {
    if (process.arch !== 'x64') return t.skip('onnxruntime has the blocked layout on every x64 processor; here it may have none')
    assert.match(await cpuDialect(), /^nchwc/)
    const { graph: network, specification } = plainNetwork({ width: size, height: size, classes, random: new Random(1) })
    const { step } = await planOn('cpu', {
      core: network,
      specification,
      width: size,
      height: size,
      batch: 4,
      parameters: [...network.initializers.keys()].filter((name) => /\.(weight|scale|bias)$/.test(name)),
      rateScale: () => 1,
      decay: () => 0,
    })
    assert.ok(ops(step.graph, 'Conv', nchwc) >= 6 * normalized)
    assert.ok(activated(step.graph) >= normalized)
    // onnxruntime runs what the last nodes need first: the gradients of the last layers, whose outputs it can then let go.
    const { nodes } = step.graph
    const read = new Set(nodes.flatMap(({ inputs }) => inputs))
    const ends = step.pieces.gradient!.map(({ name }) => name).filter((name) => !read.has(name))
    assert.ok(ends.length > normalized)
    assert.deepEqual(
      nodes.slice(-ends.length).map(({ outputs }) => outputs[0]),
      ends,
    )
  })
})

describe('fused nodes of the forward graph', () => {
  const made = (build: (g: GraphBuilder) => void): Graph => {
    const g = new GraphBuilder('made')
    build(g)
    return g.graph
  }
  const silu = made((g) => {
    const x = g.input('x', 'float32', [1, 4])
    g.output(g.mul(x, g.sigmoid(x)), 'y')
  })
  const bgr = made((g) => {
    const planes = g.transpose(g.slice(g.input('image', 'uint8', [1, 8, 8, 3]), [-1], [-5], [3], [-1]), [0, 3, 1, 2])
    const pixels = g.op('Cast', [planes], { attributes: { to: 1 } })
    g.output(g.scale(g.sub(pixels, g.constant(114)), 1 / 57), 'y')
  })
  const names = ({ nodes }: Graph) => nodes.map(({ op }) => op).filter((op) => op !== 'Identity')

  it('are SiLU, and the reordering and scaling of pixels', () => {
    assert.deepEqual(names(fused(silu, 'nchwc16')), ['QuickGelu'])
    assert.deepEqual(names(fused(bgr, 'nchwc16')), ['Transpose', 'Gather', 'DequantizeLinear'])
  })

  it('are none in standard ops', () => {
    assert.equal(fused(silu, 'std'), silu)
    assert.equal(fused(bgr, 'std'), bgr)
  })

  describe('pools of one picture', () => {
    /** SPP as YOLOX has it, and pools that no other reaches as far as. */
    const pools = made((g) => {
      const x = g.input('x', 'float32', [2, 3, 13, 11])
      const pool = (side: number, attributes: Node['attributes'] = {}) =>
        g.op('MaxPool', [x], {
          attributes: { kernel_shape: [side, side], pads: Array.from({ length: 4 }, () => (side - 1) / 2), ...attributes },
        })
      const all = [5, 9, 13].map((side) => pool(side))
      const apart = [pool(15, { dilations: [2, 2], pads: [14, 14, 14, 14] }), pool(17, { pads: [16, 16, 0, 0] })]
      for (const [i, each] of [...all, ...apart].entries()) g.output(each, `y${i}`)
    })
    const chained = fused(pools, 'nchwc16')
    const poolsOf = ({ nodes }: Graph) => nodes.filter(({ op }) => op === 'MaxPool')

    it('go on from the next smaller one where that gives the same', () => {
      const [five, nine, thirteen, ...apart] = poolsOf(chained)
      assert.equal(five!.inputs[0], 'x')
      for (const [pool, before] of [
        [nine!, five!],
        [thirteen!, nine!],
      ] as const) {
        assert.equal(pool.inputs[0], before.outputs[0])
        assert.deepEqual(
          [pool.attributes.kernel_shape, pool.attributes.pads],
          [
            [5, 5],
            [2, 2, 2, 2],
          ],
        )
      }
      assert.deepEqual(apart, poolsOf(pools).slice(3))
    })

    it('give the same numbers', async () => {
      const random = new Random(4)
      const x = new ort.Tensor(
        'float32',
        Float32Array.from({ length: 858 }, () => random.between(-1, 1)),
        [2, 3, 13, 11],
      )
      const results = await Promise.all(
        [pools, chained].map(async (graph) => {
          const session = await ort.InferenceSession.create(writeOnnx(graph), { graphOptimizationLevel: 'disabled' })
          return Object.values(await session.run({ x })).map(({ data }) => data)
        }),
      )
      assert.equal(results[0]!.length, 5)
      assert.deepEqual(results[1], results[0])
    })
  })
})
