/**
 * The built-in detector: plain 3 x 3 convolutions with BatchNormalization and ReLU, shortcuts, a feature pyramid by addition (Lin et al.
 * 2017) and a light decoupled anchor-free head on three grids (FCOS). Plain convolutions train quickest here and double in speed as int8.
 */
import { GraphBuilder, type Value } from '../graph/builder.ts'
import { elementCount, floatTensor, type Graph } from '../onnx/graph.ts'
import type { Random } from './random.ts'
import type { Specification } from './specification.ts'

export const architecture = 'muninn-plain-1'
const strides = [8, 16, 32]
const pyramid = 64
const epsilon = 1e-3

/** Probability that the head gives everywhere before it has learnt (Focal Loss, Lin et al. 2017). */
const prior = 0.01

/** The network from scratch for batch 1: `image` to raw rows, without decoding. */
export function plainNetwork({
  width,
  height,
  classes,
  random,
}: {
  width: number
  height: number
  classes: readonly string[]
  random: Random
}): {
  graph: Graph
  specification: Specification
} {
  const g = new GraphBuilder(architecture)
  const image = g.input('image', 'uint8', [1, height, width, 3])
  // uint8 RGB to about -2..2.
  const pixels = g.op('Cast', [g.transpose(image, [0, 3, 1, 2])], { attributes: { to: 1 } })
  const x = g.scale(g.sub(pixels, g.constant(128)), 1 / 64)

  const filter = (name: string, shape: readonly number[], deviation: number) =>
    g.initializer(
      name,
      floatTensor(
        shape,
        Float32Array.from({ length: elementCount(shape) }, () => random.normal() * deviation),
      ),
    )
  const vector = (name: string, length: number, value: number) =>
    g.initializer(name, floatTensor([length], new Float32Array(length).fill(value)))
  /** Convolution, BatchNormalization, ReLU; He initialisation. */
  const unit = (name: string, input: Value, channels: number, kernel: number, stride = 1): Value => {
    const inputs = input.shape[1]!
    const w = filter(`${name}.weight`, [channels, inputs, kernel, kernel], Math.sqrt(2 / (inputs * kernel * kernel)))
    const y = g.conv(input, w, null, { stride, pad: (kernel - 1) / 2 })
    const statistics = [
      vector(`${name}.scale`, channels, 1),
      vector(`${name}.bias`, channels, 0),
      vector(`${name}.mean`, channels, 0),
      vector(`${name}.variance`, channels, 1),
    ]
    return g.relu(g.op('BatchNormalization', [y, ...statistics], { attributes: { epsilon: { float: epsilon } } }))
  }
  const block = (name: string, input: Value) => g.add(input, unit(name, input, input.shape[1]!, 3))

  const stem = unit('stem', x, 16, 3, 2)
  const s4 = block('stage1.block1', unit('stage1.down', stem, 32, 3, 2))
  const s8 = block('stage2.block2', block('stage2.block1', unit('stage2.down', s4, 64, 3, 2)))
  const s16 = block('stage3.block2', block('stage3.block1', unit('stage3.down', s8, 128, 3, 2)))
  const s32 = block('stage4.block1', unit('stage4.down', s16, 160, 3, 2))

  const twice = (value: Value) =>
    g.op('Resize', [value, null, g.once('twice', () => g.constant([1, 1, 2, 2], [4]))], {
      attributes: { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
    })
  const p32 = unit('pyramid.from32', s32, pyramid, 1)
  const p16 = g.add(unit('pyramid.from16', s16, pyramid, 1), twice(p32))
  const p8 = g.add(unit('pyramid.from8', s8, pyramid, 1), twice(p16))

  const classifiers: Specification['classifiers'] = []
  const rows = [p8, p16, p32].map((level, i) => {
    const name = `head${strides[i]}`
    const shared = unit(`${name}.smooth`, level, pyramid, 3)
    const last = (part: string, input: Value, count: number, bias: number, deviation: number) => {
      const [weight, biasName] = [`${name}.${part}.weight`, `${name}.${part}.bias`]
      const w = filter(weight, [count, pyramid, 1, 1], deviation)
      return { weight, bias: biasName, y: g.conv(input, w, vector(biasName, count, bias)) }
    }
    // exp(0.7) is about two strides: half of a middling object on its grid.
    const box = last('box', unit(`${name}.boxTower`, shared, pyramid, 3), 4, 0.7, 0.01)
    const kind = last(
      'class',
      unit(`${name}.classTower`, shared, pyramid, 3),
      classes.length,
      -Math.log((1 - prior) / prior),
      0.01,
    )
    classifiers.push({ weight: kind.weight, bias: kind.bias })
    return g.reshape(g.concat([box.y, kind.y], 1), [1, 4 + classes.length, -1])
  })
  const all = g.op('Transpose', [g.concat(rows, 2)], { attributes: { perm: [0, 2, 1] }, name: 'rows' })
  return {
    graph: { ...g.graph, outputs: [] },
    specification: {
      v: 1,
      architecture,
      classes: [...classes],
      resize: 'letterbox',
      head: 'distances',
      rows: all.name,
      feature: s32.name,
      strides,
      classifiers,
      nms: 'per-class',
      nmsIou: 0.6,
    },
  }
}
