/** A detector with two scales and about a thousand parameters, and one training step of it: every family of ops, small enough for a processor that poses as a graphics card. */
import { cellsOf } from '../../trainer/detector/cells.ts'
import { targetOptionsOf } from '../../trainer/detector/heads/table.ts'
import { losses, trainingGraph } from '../../trainer/detector/loss.ts'
import { Random } from '../../trainer/detector/random.ts'
import type { Specification } from '../../trainer/detector/specification.ts'
import { targetsOf } from '../../trainer/detector/targets.ts'
import type { Feeds } from '../../trainer/engine/feeds.ts'
import { compileStep, packed } from '../../trainer/engine/step-graph.ts'
import type { StepRunnerOptions } from '../../trainer/engine/step-runner.ts'
import { initialState } from '../../trainer/engine/trainer-state.ts'
import { GraphBuilder, type Value } from '../../trainer/graph/builder.ts'
import { elementCount, floatTensor } from '../../trainer/onnx/graph.ts'

const size = 64
const batch = 2
const classes = ['a', 'b']
const strides = [8, 16]

/** Heads whose cells are fixed before the step, and chosen within it. */
export type TinyHead = 'distances' | 'yolox'

function network(random: Random, head: TinyHead) {
  const g = new GraphBuilder('tiny')
  const image = g.input('image', 'uint8', [1, size, size, 3])
  const pixels = g.op('Cast', [g.transpose(image, [0, 3, 1, 2])], { attributes: { to: 1 } })
  const numbers = (shape: readonly number[], make: () => number) =>
    floatTensor(shape, Float32Array.from({ length: elementCount(shape) }, make))
  const vector = (name: string, length: number, value: number) =>
    g.initializer(
      name,
      numbers([length], () => value),
    )
  const filter = (name: string, shape: readonly [number, number, number, number]) =>
    g.initializer(
      name,
      numbers(shape, () => random.normal() * Math.sqrt(2 / (shape[1] * shape[2] * shape[3]))),
    )
  const normalised = (name: string, y: Value) => {
    const count = y.shape[1]!
    const parts = [vector(`${name}.scale`, count, 1), vector(`${name}.bias`, count, 0.1)]
    const running = [vector(`${name}.mean`, count, 0), vector(`${name}.variance`, count, 1)]
    return g.op('BatchNormalization', [y, ...parts, ...running])
  }
  const unit = (name: string, x: Value, channels: number, { kernel = 3, stride = 1, group = 1 } = {}) => {
    const w = filter(`${name}.weight`, [channels, x.shape[1]! / group, kernel, kernel])
    return normalised(name, g.conv(x, w, null, { stride, pad: (kernel - 1) / 2, group }))
  }
  const silu = (x: Value) => g.mul(x, g.sigmoid(x))

  const stem = g.relu(unit('stem', g.scale(g.sub(pixels, g.constant(128)), 1 / 64), 8, { stride: 2 }))
  const pooled = g.op('MaxPool', [stem], { attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] } })
  const depthwise = silu(unit('depthwise', pooled, 8, { stride: 2, group: 8 }))
  const s8 = g.add(
    depthwise,
    g.op('LeakyRelu', [unit('mix', depthwise, 8, { kernel: 1 })], { attributes: { alpha: { float: 0.1 } } }),
  )
  const s16 = g.op('HardSwish', [unit('down', s8, 12, { stride: 2 })])
  const up = g.op('Resize', [s16, null, g.constant([1, 1, 2, 2], [4])], {
    attributes: { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
  })
  const classifiers: Specification['classifiers'] = []
  const rows = [g.concat([s8, up], 1), s16].map((level, i) => {
    const last = (part: string, count: number, value: number) => {
      const [weight, bias] = [`head${i}.${part}.weight`, `head${i}.${part}.bias`]
      return { weight, bias, y: g.conv(level, filter(weight, [count, level.shape[1]!, 1, 1]), vector(bias, count, value)) }
    }
    const lead = head === 'yolox' ? 5 : 4
    const [box, kind] = [last('box', lead, 0.7), last('class', classes.length, -1)]
    classifiers.push({ weight: kind.weight, bias: kind.bias })
    return g.reshape(g.concat([box.y, kind.y], 1), [1, lead + classes.length, -1])
  })
  const all = g.op('Transpose', [g.concat(rows, 2)], { attributes: { perm: [0, 2, 1] }, name: 'rows' })
  const specification: Specification = {
    v: 1,
    architecture: 'tiny',
    classes,
    resize: 'letterbox',
    head,
    rows: all.name,
    feature: s16.name,
    strides,
    classifiers,
    nms: 'per-class',
    nmsIou: 0.6,
  }
  return { core: { ...g.graph, outputs: [] }, specification }
}

/** What a runner is made from, and one batch of noise with boxes. The state is new each time. */
export function tinyStep(head: TinyHead = 'distances'): { options: Omit<StepRunnerOptions, 'workers'>; feeds: Feeds } {
  const random = new Random(7)
  const { core, specification } = network(random, head)
  const targets = { ...targetOptionsOf(specification, batch, 4), ...(head === 'distances' && { positives: 24 }) }
  const step = compileStep({
    graph: trainingGraph(core, specification, { batch, width: size, height: size, positives: targets.positives }),
    losses: [...losses],
    parameters: [...core.initializers.keys()].filter((name) => /\.(weight|scale|bias)$/.test(name)),
    dialect: 'std',
  })
  const labels = Array.from({ length: batch }, () =>
    Array.from({ length: 3 }, () => {
      const [x, y, side] = [random.integer(30), random.integer(30), 12 + random.integer(22)]
      return { box: [x, y, x + side, y + side * 0.8] as const, label: random.integer(classes.length) }
    }),
  )
  return {
    options: {
      step,
      losses: [...losses],
      state: initialState(packed(core, step.parameters), packed(core, step.statistics)),
      rateScale: (name) => (name.startsWith('head') ? 1 : 0.5),
      decay: (_, shape) => (shape.length > 1 ? 0.02 : 0),
      clip: 2,
    },
    feeds: {
      image: {
        type: 'uint8',
        shape: [batch, size, size, 3],
        data: Uint8Array.from({ length: batch * size * size * 3 }, () => random.integer(256)),
      },
      ...targetsOf(labels, {
        cells: cellsOf({ width: size, height: size, strides }),
        ...targets,
      }),
    },
  }
}
