/** What the small networks in foreign-detectors.ts and foreign-ssd.ts are made of: layers with weights from a seed, and maps of logits. */
import { Random } from '../../trainer/detector/random.ts'
import { GraphBuilder, type Value } from '../../trainer/graph/builder.ts'
import { elementCount, floatTensor, type Graph } from '../../trainer/onnx/graph.ts'

export interface Layout {
  readonly classes: number
  readonly width: number
  readonly height: number
  readonly seed?: number
  readonly opset?: number
}

/** Spread of the head's weights: wide gives a fresh network something to say, narrow lets it start near nothing. */
export const spread = 0.15

export class Net {
  readonly g = new GraphBuilder('foreign')
  readonly #random: Random
  readonly #loud: boolean
  readonly #opset: number

  constructor({ seed = 1, opset = 17, loud }: ForeignOptions) {
    this.#random = new Random(seed)
    this.#loud = loud
    this.#opset = opset
  }

  /** Before opset 13 the sizes are an attribute. */
  split(value: Value, sizes: readonly number[], axis: number): Value[] {
    const old = this.#opset < 13
    const attributes: Record<string, number | readonly number[]> = old ? { axis, split: sizes } : { axis }
    return this.g.ops('Split', old ? [value] : [value, this.g.ints(sizes)], { attributes, outputs: sizes.length })
  }

  weight(name: string, shape: readonly number[], deviation: number): Value {
    const data = Float32Array.from({ length: elementCount(shape) }, () => this.#random.normal() * deviation)
    return this.g.initializer(name, floatTensor(shape, data))
  }

  vector(name: string, shape: readonly number[], value: (index: number) => number): Value {
    return this.g.initializer(
      name,
      floatTensor(
        shape,
        Float32Array.from({ length: elementCount(shape) }, (_, i) => value(i)),
      ),
    )
  }

  /** Convolution, live BatchNormalization, ReLU. */
  unit(name: string, x: Value, channels: number, stride: number, deviation = 1): Value {
    const inputs = x.shape[1]!
    const y = this.g.conv(x, this.weight(`${name}.weight`, [channels, inputs, 3, 3], Math.sqrt(2 / (9 * inputs))), null, {
      stride,
      pad: 1,
    })
    const statistics = [1, 0, 0, deviation ** 2].map((value, i) => this.vector(`${name}.bn${i}`, [channels], () => value))
    return this.g.relu(this.g.op('BatchNormalization', [y, ...statistics], { attributes: { epsilon: { float: 1e-5 } } }))
  }

  /** One feature map for each stride; `deviation` of what comes in. */
  features(image: Value, strides: readonly number[], deviation = 1, channels = 32): Value[] {
    let x = this.unit('stem', image, 16, 2, deviation)
    const maps: Value[] = []
    for (let stride = 4; stride <= strides.at(-1)!; stride *= 2) {
      x = this.unit(`stage${stride}`, x, channels, 2)
      if (strides.includes(stride)) maps.push(this.unit(`lateral${stride}`, x, channels, 1))
    }
    return maps
  }

  /** Self-attention of two heads with a shortcut; queries, keys and values are one convolution, the place is told by a depthwise one (C2PSA). */
  attention(name: string, x: Value): Value {
    const { g } = this
    const [, channels, h, w] = x.shape as [number, number, number, number]
    const [heads, depth] = [2, channels / 2]
    const convolution = (part: string, input: Value, outputs: number) =>
      g.conv(
        input,
        this.weight(`${name}.${part}.weight`, [outputs, input.shape[1]!, 1, 1], Math.sqrt(1 / input.shape[1]!)),
        this.vector(`${name}.${part}.bias`, [outputs], () => 0),
      )
    const each = g.reshape(convolution('qkv', x, 2 * channels), [1, heads, 2 * depth, h * w])
    const [q, k, v] = this.split(each, [depth / 2, depth / 2, depth], 2) as [Value, Value, Value]
    const scores = g.scale(g.op('MatMul', [g.transpose(q, [0, 1, 3, 2]), k]), (depth / 2) ** -0.5)
    const weights = g.transpose(g.op('Softmax', [scores], { attributes: { axis: -1 } }), [0, 1, 3, 2])
    const seen = g.reshape(g.op('MatMul', [v, weights]), [1, channels, h, w])
    const place = g.op('Conv', [g.reshape(v, [1, channels, h, w]), this.weight(`${name}.pe.weight`, [channels, 1, 3, 3], 0.2)], {
      attributes: { group: channels, pads: [1, 1, 1, 1] },
    })
    return g.add(x, convolution('proj', g.add(seen, place), channels))
  }

  /** Cells first and the batch behind them, with their numbers in the shapes, as PyTorch's own attention is exported (YOLOv5's transformer). */
  sequence(x: Value): Value {
    const { g } = this
    const [, channels, h, w] = x.shape as [number, number, number, number]
    const cells = g.transpose(g.reshape(x, [1, channels, h * w]), [2, 0, 1])
    const heads = g.transpose(g.reshape(cells, [h * w, 4, channels / 4]), [1, 0, 2])
    const joined = g.reshape(g.transpose(g.relu(heads), [1, 0, 2]), [h * w, 1, channels])
    return g.reshape(g.transpose(g.add(cells, joined), [1, 2, 0]), [1, channels, h, w])
  }

  /** A depthwise convolution and one over channels, as YOLO26 has them below its classes. */
  separable(name: string, x: Value): Value {
    const channels = x.shape[1]!
    const depthwise = this.g.op('Conv', [x, this.weight(`${name}.0.weight`, [channels, 1, 3, 3], 0.3)], {
      attributes: { group: channels, pads: [1, 1, 1, 1] },
    })
    const pointwise = this.weight(`${name}.1.weight`, [channels, channels, 1, 1], Math.sqrt(2 / channels))
    return this.g.relu(this.g.conv(this.g.relu(depthwise), pointwise, null))
  }

  /** A 1 x 1 convolution (or one of another side) with bias to a map of logits. */
  head(name: string, x: Value, channels: number, bias: (channel: number) => number = () => 0, side = 1): Value {
    const w = this.weight(`${name}.weight`, [channels, x.shape[1]!, side, side], (this.#loud ? spread : 0.01) / side)
    const b = this.vector(`${name}.bias`, [channels], (i) => bias(i) + (this.#loud ? this.#random.normal() * spread : 0))
    return this.g.conv(x, w, b, { stride: 1, pad: (side - 1) / 2 })
  }

  done(outputs: readonly Value[], names: readonly string[], opset = 17): Graph {
    for (const [i, value] of outputs.entries()) this.g.output(value, names[i]!)
    this.g.graph.opsets[''] = opset
    return this.g.graph
  }
}

export interface ForeignOptions extends Layout {
  /** Weights of a network that has much to say, for decoding; false: one that is to be trained. */
  readonly loud: boolean
}

export const three = [8, 16, 32]
export const prior = -Math.log(99)

/** Columns and rows of a grid's cells, row by row. */
export function cellsOf(width: number, height: number, stride: number): [number, number][] {
  const columns = Math.ceil(width / stride)
  return Array.from({ length: columns * Math.ceil(height / stride) }, (_, i) => [i % columns, Math.floor(i / columns)])
}
