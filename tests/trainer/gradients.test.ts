/** Every gradient rule against central finite differences, from one table of cases. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { cpuDialect } from '../../trainer/engine/dialect.ts'
import { compileStep, total } from '../../trainer/engine/step-graph.ts'
import type { Dialect } from '../../trainer/gradients/rule.ts'
import { differentiable } from '../../trainer/gradients/rules.ts'
import { GraphBuilder, type Value } from '../../trainer/graph/builder.ts'
import { elementCount } from '../../trainer/onnx/graph.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'

function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

interface Case {
  readonly op: string
  readonly what: string
  /** Shapes of the trained inputs. */
  readonly shapes: readonly (readonly number[])[]
  readonly build: (g: GraphBuilder, inputs: Value[]) => Value
  /** Values of the inputs from uniform [0, 1); -1..1 when left out. */
  readonly values?: (uniform: number) => number
  readonly tolerance?: number
}

const attributes = (given: Record<string, number | string | number[] | { float: number }>) => ({ attributes: given })
const unary = (op: string, values?: Case['values'], given = {}): Case => ({
  op,
  what: 'element-wise',
  shapes: [[2, 3, 4]],
  build: (g, [x]) => g.op(op, [x!], { attributes: given }),
  values,
})
const away = (u: number) => (u < 0.5 ? u * 1.6 - 1 : u * 1.6 - 0.6)
const binary = (op: string, what: string, a: number[], b: number[], values?: Case['values']): Case => ({
  op,
  what,
  shapes: [a, b],
  build: (g, [x, y]) => g.op(op, [x!, y!]),
  values,
})
interface ConvCase {
  n?: number
  ci: number
  co: number
  k: number
  size?: number
  stride?: number
  pad?: number
  group?: number
  dilation?: number
}
const conv = ({ n = 2, ci, co, k, size = 8, stride = 1, pad = 0, group = 1, dilation = 1 }: ConvCase): Case => ({
  op: 'Conv',
  what: `${n}x${ci}x${size} to ${co}, kernel ${k}, stride ${stride}, pad ${pad}, group ${group}, dilation ${dilation}`,
  shapes: [[n, ci, size, size], [co, ci / group, k, k], [co]],
  build: (g, [x, w, b]) =>
    g.op(
      'Conv',
      [x!, w!, b!],
      attributes({
        kernel_shape: [k, k],
        strides: [stride, stride],
        pads: [pad, pad, pad, pad],
        dilations: [dilation, dilation],
        group,
      }),
    ),
})
const pool = (op: string, k: number, stride: number, pad: number, given = {}): Case => ({
  op,
  what: `kernel ${k}, stride ${stride}, pad ${pad}`,
  shapes: [[2, 3, 8, 8]],
  build: (g, [x]) =>
    g.op(op, [x!], attributes({ kernel_shape: [k, k], strides: [stride, stride], pads: [pad, pad, pad, pad], ...given })),
  tolerance: 2e-2,
})

const cases: readonly Case[] = [
  ...['Exp', 'Neg', 'Sigmoid', 'Tanh', 'Softplus', 'Erf', 'Identity'].map((op) => unary(op)),
  ...['Abs', 'Relu'].map((op) => unary(op, away)),
  unary('LeakyRelu', away, { alpha: { float: 0.1 } }),
  unary('HardSigmoid', (u) => u - 0.5, { alpha: { float: 0.2 }, beta: { float: 0.5 } }),
  unary('HardSwish', (u) => u * 4 - 2),
  ...['Log', 'Sqrt', 'Reciprocal'].map((op) => unary(op, (u) => u + 0.5)),
  { op: 'Pow', what: 'square', shapes: [[3, 4]], build: (g, [x]) => g.op('Pow', [x!, g.constant(2)]) },
  { op: 'Pow', what: 'to 2.5', shapes: [[3, 4]], build: (g, [x]) => g.op('Pow', [x!, g.constant(2.5)]), values: (u) => u + 0.5 },
  {
    op: 'Clip',
    what: 'inside and outside',
    shapes: [[5, 4]],
    build: (g, [x]) => g.op('Clip', [x!, g.constant(-0.3), g.constant(0.4)]),
    values: (u) => (u < 0.5 ? u * 0.4 : u + 0.1),
  },
  { op: 'Cast', what: 'float to float', shapes: [[4]], build: (g, [x]) => g.op('Cast', [g.mul(x!, x!)], attributes({ to: 1 })) },
  ...['Add', 'Sub', 'Mul', 'Div'].flatMap((op) => {
    const values = op === 'Div' ? (u: number) => u + 0.5 : undefined
    return [
      binary(op, 'same shape', [2, 3], [2, 3], values),
      binary(op, 'broadcast right', [2, 3, 4], [3, 1], values),
      binary(op, 'broadcast left', [1, 4], [2, 3, 4], values),
      binary(op, 'scalar', [2, 3], [], values),
    ]
  }),
  binary('Max', 'two sides', [3, 4], [3, 4]),
  binary('Min', 'broadcast', [3, 4], [4]),
  { op: 'Sum', what: 'three inputs', shapes: [[2, 3], [3], [2, 3]], build: (g, xs) => g.op('Sum', xs) },
  {
    op: 'Where',
    what: 'both sides',
    shapes: [
      [3, 4],
      [3, 4],
    ],
    build: (g, [x, y]) => g.op('Where', [g.op('Greater', [g.constant([1, -1, 1, -1], [4]), g.constant(0)]), x!, y!]),
  },
  { op: 'QuickGelu', what: 'silu, fused or not', shapes: [[2, 16, 4, 4]], build: (g, [x]) => g.mul(x!, g.sigmoid(x!)) },
  // shape
  {
    op: 'Concat',
    what: 'axis 1',
    shapes: [
      [2, 3],
      [2, 1],
      [2, 4],
    ],
    build: (g, xs) => g.concat(xs, 1),
  },
  { op: 'Expand', what: '3 to 2x3', shapes: [[3, 1]], build: (g, [x]) => g.op('Expand', [x!, g.ints([2, 3, 4])]) },
  { op: 'Flatten', what: 'axis 1', shapes: [[2, 3, 4]], build: (g, [x]) => g.op('Flatten', [x!]) },
  {
    op: 'Gather',
    what: 'axis 1, repeated',
    shapes: [[2, 4, 3]],
    build: (g, [x]) => g.op('Gather', [x!, g.ints([3, 0, 3])], attributes({ axis: 1 })),
  },
  {
    op: 'GatherND',
    what: 'rows, repeated',
    shapes: [[5, 3]],
    build: (g, [x]) => g.op('GatherND', [x!, g.reshape(g.ints([4, 1, 4]), [3, 1])]),
  },
  { op: 'Pad', what: 'pads and crops', shapes: [[2, 3, 4]], build: (g, [x]) => g.op('Pad', [x!, g.ints([0, 1, -1, 0, 2, 3])]) },
  { op: 'Reshape', what: 'to a row', shapes: [[2, 3, 4]], build: (g, [x]) => g.op('Reshape', [x!, g.ints([-1])]) },
  {
    op: 'Resize',
    what: 'nearest, twice',
    shapes: [[1, 2, 3, 4]],
    build: (g, [x]) =>
      g.op(
        'Resize',
        [x!, null, g.constant([1, 1, 2, 2], [4])],
        attributes({ mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' }),
      ),
  },
  { op: 'Slice', what: 'part', shapes: [[4, 6]], build: (g, [x]) => g.slice(x!, [1, 2], [3, -1], [0, 1]) },
  { op: 'Slice', what: 'every second', shapes: [[4, 7]], build: (g, [x]) => g.slice(x!, [1], [7], [1], [2]) },
  { op: 'Slice', what: 'backwards', shapes: [[4, 3]], build: (g, [x]) => g.slice(x!, [-1], [-100], [0], [-1]) },
  {
    op: 'Split',
    what: 'two parts, one unused',
    shapes: [[2, 5]],
    build: (g, [x]) => g.ops('Split', [x!, g.ints([2, 3])], { attributes: { axis: 1 }, outputs: 2 })[1]!,
  },
  { op: 'Squeeze', what: 'axis 1', shapes: [[2, 1, 3]], build: (g, [x]) => g.op('Squeeze', [x!, g.ints([1])]) },
  { op: 'Unsqueeze', what: 'axis 1', shapes: [[2, 3]], build: (g, [x]) => g.op('Unsqueeze', [x!, g.ints([1])]) },
  { op: 'Transpose', what: 'three axes', shapes: [[2, 3, 4]], build: (g, [x]) => g.transpose(x!, [2, 0, 1]) },
  // reductions and products
  { op: 'ReduceSum', what: 'equal sizes, first axis', shapes: [[3, 3]], build: (g, [x]) => g.sum(x!, [0]) },
  { op: 'ReduceMean', what: 'two axes kept', shapes: [[2, 3, 4]], build: (g, [x]) => g.mean(x!, [0, 2], true) },
  { op: 'GlobalAveragePool', what: '4x5', shapes: [[2, 3, 4, 5]], build: (g, [x]) => g.op('GlobalAveragePool', [x!]) },
  { op: 'Softmax', what: 'last axis', shapes: [[3, 5]], build: (g, [x]) => g.op('Softmax', [x!], attributes({ axis: -1 })) },
  { op: 'Softmax', what: 'middle axis', shapes: [[2, 4, 3]], build: (g, [x]) => g.op('Softmax', [x!], attributes({ axis: 1 })) },
  binary('MatMul', 'matrices', [3, 4], [4, 5]),
  binary('MatMul', 'batch against one', [2, 3, 4], [4, 5]),
  ...[0, 1].flatMap((transA) =>
    [0, 1].map(
      (transB): Case => ({
        op: 'Gemm',
        what: `transA ${transA}, transB ${transB}`,
        shapes: [transA ? [4, 3] : [3, 4], transB ? [5, 4] : [4, 5], [5]],
        build: (g, xs) => g.op('Gemm', xs, attributes({ transA, transB, alpha: { float: 0.7 }, beta: { float: 1.3 } })),
      }),
    ),
  ),
  // convolutions: every path of the emitter
  conv({ ci: 3, co: 16, k: 3, pad: 1 }),
  conv({ ci: 3, co: 16, k: 3, pad: 1, stride: 2 }),
  conv({ ci: 16, co: 32, k: 3, pad: 1 }),
  conv({ ci: 16, co: 32, k: 3, pad: 1, stride: 2 }),
  conv({ ci: 32, co: 16, k: 1 }),
  conv({ ci: 5, co: 7, k: 3, pad: 1 }),
  conv({ ci: 5, co: 7, k: 3, stride: 2, size: 9 }),
  conv({ ci: 16, co: 16, k: 5, pad: 2 }),
  conv({ ci: 16, co: 16, k: 3, pad: 1, group: 16 }),
  conv({ ci: 16, co: 16, k: 3, pad: 1, group: 16, stride: 2 }),
  conv({ ci: 16, co: 16, k: 5, pad: 2, group: 16 }),
  conv({ ci: 6, co: 6, k: 3, pad: 1, group: 6, stride: 2 }),
  conv({ ci: 4, co: 8, k: 3, pad: 1, group: 2 }),
  conv({ ci: 4, co: 6, k: 3, pad: 2, dilation: 2 }),
  conv({ ci: 4, co: 6, k: 1, stride: 2 }),
  conv({ n: 1, ci: 16, co: 16, k: 3, pad: 1, stride: 2, size: 7 }),
  {
    op: 'BatchNormalization',
    what: 'training',
    shapes: [[4, 16, 5, 5], [16], [16]],
    build: (g, [x, scale, bias]) =>
      g.op(
        'BatchNormalization',
        [x!, scale!, bias!, g.constant(new Float32Array(16), [16]), g.constant(new Float32Array(16).fill(1), [16])],
        {
          attributes: { epsilon: { float: 1e-3 } },
        },
      ),
  },
  pool('MaxPool', 2, 2, 0),
  pool('MaxPool', 3, 2, 1),
  pool('MaxPool', 5, 1, 2),
  pool('AveragePool', 2, 2, 0),
  pool('AveragePool', 3, 2, 1),
  pool('AveragePool', 3, 1, 1, { count_include_pad: 1 }),
]

const block = await cpuDialect()
const dialects: readonly Dialect[] = block === 'std' ? ['std'] : ['std', block]

describe('gradient rules', () => {
  for (const dialect of dialects) {
    for (const each of cases) {
      it(`${each.op} (${each.what}) agrees with finite differences in ${dialect}`, async () => {
        const uniform = random(7)
        const values = each.values ?? ((u: number) => u * 2 - 1)
        const g = new GraphBuilder('case')
        const scale = g.input('unused', 'float32', [1])
        const inputs = each.shapes.map((shape, i) =>
          g.initializer(`p${i}`, {
            type: 'float32',
            shape,
            data: Float32Array.from({ length: elementCount(shape) }, () => values(uniform())),
          }),
        )
        const y = each.build(g, inputs)
        const weights = g.constant(
          Float32Array.from({ length: elementCount(y.shape) }, () => uniform() * 2 - 1),
          y.shape,
        )
        const loss = g.sum(g.mul(g.mul(y, weights), g.reshape(scale, [])))
        g.output(loss, 'loss')
        const step = compileStep({ graph: g.graph, losses: ['loss'], parameters: inputs.map(({ name }) => name), dialect })
        const session = await ort.InferenceSession.create(writeOnnx(step.graph), {
          graphOptimizationLevel: 'disabled',
          enableMemPattern: false,
        })
        const start = Float32Array.from(inputs.flatMap(({ name }) => Array.from(g.constantOf(name)!.data as Float32Array)))
        const statistics: Record<string, ort.Tensor> =
          step.statistics.length > 0 ? { statistics: new ort.Tensor('float32', new Float32Array(total(step.statistics))) } : {}
        const run = async (parameters: Float32Array) => {
          const feeds = {
            parameters: new ort.Tensor('float32', parameters, [parameters.length]),
            unused: new ort.Tensor('float32', [1], [1]),
            ...statistics,
          }
          const out = await session.run(feeds)
          return { loss: Number(out.losses!.data[0]), gradient: out.gradient!.data as Float32Array }
        }
        const { gradient } = await run(start)
        for (let direction = 0; direction < 3; direction++) {
          const way = Float32Array.from(start, () => uniform() * 2 - 1)
          const epsilon = 1e-3
          const at = async (sign: number) => (await run(start.map((value, i) => value + sign * epsilon * way[i]!))).loss
          const numeric = ((await at(1)) - (await at(-1))) / (2 * epsilon)
          const exact = gradient.reduce((sum, value, i) => sum + value * way[i]!, 0)
          const size = Math.max(Math.hypot(...gradient), 1e-3)
          assert.ok(
            Math.abs(numeric - exact) / size < (each.tolerance ?? 5e-3),
            `finite differences say ${numeric}, the rule says ${exact}`,
          )
        }
        await session.release()
      })
    }
  }

  it('has a case for every rule', () => {
    const tested = new Set(cases.map(({ op }) => op))
    // Upsample is Resize under its old name, and upgrade() renames it.
    assert.deepEqual(
      differentiable.filter((op) => !tested.has(op) && op !== 'Upsample'),
      [],
    )
  })
})
