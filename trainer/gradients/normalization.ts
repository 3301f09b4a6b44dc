/**
 * BatchNormalization in training: batch statistics forward, and its gradient (Ioffe and Szegedy 2015) in two reductions; and its
 * gradient where it is frozen.
 */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import type { Node } from '../onnx/graph.ts'
import { floatOf } from '../onnx/shapes.ts'
import {
  blocked,
  blockedChannelSum,
  blockedChannelSumOfProduct,
  isBlocked,
  perChannelLine,
  scaledChannels,
  unblocked,
} from './blocked.ts'
import type { Dialect, Rule } from './rule.ts'

const countOf = ({ shape: [n, , height, width] }: Value): number => n! * height! * width!

/** Mean per channel of [N, C, H, W], shape [C]; in two steps, for one over [0, 2, 3] is five times slower. */
const channelMean = (g: GraphBuilder, x: Value): Value => g.mean(g.mean(x, [2, 3]), [0])

/**
 * Sum per channel of a times b, both [N, C, H, W]. As a product of a row and a column for each picture and channel, the products are never
 * written down: two to three times as quick on onnxruntime's CPU provider.
 */
function channelSumOfProduct(g: GraphBuilder, a: Value, b: Value, dialect: Dialect): Value {
  const [n, channels, height, width] = a.shape as [number, number, number, number]
  if (dialect === 'std') return g.scale(channelMean(g, g.mul(a, b)), countOf(a))
  const [row, column] = [a, b].map((each) => g.reshape(each, [n * channels, 1, height * width]))
  const sums = g.op('FusedMatMul', [row!, column!], { domain: 'com.microsoft', attributes: { transB: 1 } })
  return g.sum(g.reshape(sums, [n, channels]), [0])
}

/** 1 / sqrt(variance + eps), [C]: what the forward pass made, the backward pass reads. */
const inverseDeviation = (g: GraphBuilder, variance: Value, epsilon: number): Value =>
  g.once(`inverse deviation of ${variance.name} ${epsilon}`, () =>
    g.op('Reciprocal', [g.sqrt(g.add(variance, g.constant(epsilon)))]),
  )

/** The slope of the line that a normalization is for each channel. */
const slopeOf = (g: GraphBuilder, scale: Value, inverse: Value): Value =>
  g.once(`slope by ${inverse.name}`, () => g.mul(scale, inverse))

/**
 * Emits a BatchNormalization that uses the batch's statistics.
 * @returns the output and [mean, biased variance], each [C]
 */
export function emitBatchNormalization(
  g: GraphBuilder,
  node: Node,
  inputs: readonly (Value | null)[],
  dialect: Dialect,
): { y: Value; saved: Value[] } {
  const [x, scale, bias, mean, variance] = inputs as Value[]
  const epsilon = floatOf(node.attributes.epsilon, 1e-5)
  if (isBlocked(g, x!)) {
    const blocks = blocked(g, x!)
    const count = countOf(x!)
    const batchMean = blockedChannelSum(g, blocks, 1 / count)
    const square = blockedChannelSumOfProduct(g, blocks, blocks, 1 / count)
    // Rounding may make it negative where a channel hardly varies.
    const batchVariance = g.relu(g.sub(square, g.mul(batchMean, batchMean)))
    const slope = slopeOf(g, scale!, inverseDeviation(g, batchVariance, epsilon))
    const y = perChannelLine(g, blocks, slope, g.sub(bias!, g.mul(slope, batchMean)))
    return { y: unblocked(g, y), saved: [batchMean, batchVariance] }
  }
  if (dialect !== 'std') {
    // momentum 0: the "running" outputs are the batch's own mean and (biased) variance.
    const attributes = { epsilon: { float: epsilon }, momentum: { float: 0 }, training_mode: 1 }
    const [y, batchMean, batchVariance] = g.ops('BatchNormalization', [x!, scale!, bias!, mean!, variance!], {
      attributes,
      outputs: 3,
    })
    return { y: y!, saved: [batchMean!, batchVariance!] }
  }
  const perChannel = (value: Value) => g.reshape(value, [1, value.shape[0]!, 1, 1])
  const batchMean = channelMean(g, x!)
  const centred = g.sub(x!, perChannel(batchMean))
  const batchVariance = channelMean(g, g.mul(centred, centred))
  const slope = slopeOf(g, scale!, inverseDeviation(g, batchVariance, epsilon))
  return { y: g.add(g.mul(centred, perChannel(slope)), perChannel(bias!)), saved: [batchMean, batchVariance] }
}

/** The statistics stand as they are given (a frozen layer): a scale and a shift per channel. */
function givenStatistics(g: GraphBuilder, node: Node, inputs: readonly Value[], dy: Value, wanted: readonly boolean[]) {
  const [x, scale, , mean, variance] = inputs as [Value, Value, Value, Value, Value]
  const perChannel = (value: Value) => g.reshape(value, [1, value.shape[0]!, ...x.shape.slice(2).map(() => 1)])
  const inverse = inverseDeviation(g, variance, floatOf(node.attributes.epsilon, 1e-5))
  const total = (value: Value) => g.sum(x.shape.length > 2 ? g.sum(value, [...x.shape.keys()].slice(2)) : value, [0])
  return [
    wanted[0] ? g.mul(dy, perChannel(g.mul(scale, inverse))) : null,
    wanted[1] ? g.mul(total(g.mul(dy, g.sub(x, perChannel(mean)))), inverse) : null,
    wanted[2] ? total(dy) : null,
    null,
    null,
  ]
}

export const normalization = {
  /**
   * With M numbers in a channel, r = 1 / sqrt(var + eps), S = sum(dy), T = (sum(dy x) - mean S) r:
   * dscale = T, dbias = S, dx = scale r (dy + b x + c), b = -r T / M, c = -S / M - b mean.
   */
  BatchNormalization: ({ g, node, inputs, dy, wanted, saved, dialect }) => {
    const [x, scale] = [inputs[0]!, inputs[1]!]
    if (saved.length !== 2) return givenStatistics(g, node, inputs as Value[], dy, wanted)
    const [mean, variance] = saved as [Value, Value]
    const [channels, count] = [x.shape[1]!, countOf(x)]
    const inverse = inverseDeviation(g, variance, floatOf(node.attributes.epsilon, 1e-5))
    const slope = slopeOf(g, scale, inverse)
    const blocks = isBlocked(g, x) ? { x: blocked(g, x), dy: blocked(g, dy) } : undefined
    const dbias = blocks ? blockedChannelSum(g, blocks.dy) : g.scale(channelMean(g, dy), count)
    const product = blocks ? blockedChannelSumOfProduct(g, blocks.dy, blocks.x) : channelSumOfProduct(g, dy, x, dialect)
    const dscale = g.mul(g.sub(product, g.mul(mean, dbias)), inverse)
    const perChannel = (value: Value) => g.reshape(value, [1, channels, 1, 1])
    const dx = () => {
      const b = g.scale(g.mul(inverse, dscale), -1 / count)
      const c = g.sub(g.scale(dbias, -1 / count), g.mul(b, mean))
      if (blocks) return scaledChannels(g, perChannelLine(g, blocks.x, b, c, blocks.dy), slope)
      // b x + c is an inference-mode BatchNormalization with mean 0 and variance 1: one pass instead of two.
      const line =
        dialect === 'std'
          ? g.add(g.mul(x, perChannel(b)), perChannel(c))
          : g.op('BatchNormalization', [x, b, c, g.filled([channels], 0), g.filled([channels], 1)], {
              attributes: { epsilon: { float: 0 } },
            })
      return g.mul(g.add(dy, line), perChannel(slope))
    }
    return [wanted[0] ? dx() : null, wanted[1] ? dscale : null, wanted[2] ? dbias : null, null, null]
  },
} satisfies Record<string, Rule>
