/** Gradient rules of normalisations that use what one picture or token gives (Ba et al. 2016, Ulyanov et al. 2016, Wu and He 2018). */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { floatOf, intOf, intsOf, normalAxis } from '../onnx/shapes.ts'
import { type Rule, sumTo } from './rule.ts'

interface Standardized {
  /** (x - mean) / sqrt(variance + epsilon) */
  readonly hat: Value
  /** The gradient of x from that of `hat`. */
  readonly back: (dHat: Value) => Value
}

/** dx = (d - mean(d) - hat mean(d hat)) / sqrt(variance + epsilon); without centring the mean is left out. */
function standardize(g: GraphBuilder, x: Value, axes: readonly number[], epsilon: number, centre = true): Standardized {
  const centred = centre ? g.sub(x, g.mean(x, axes, true)) : x
  const inverse = g.op('Reciprocal', [g.sqrt(g.add(g.mean(g.mul(centred, centred), axes, true), g.constant(epsilon)))])
  const hat = g.mul(centred, inverse)
  const back = (d: Value) => {
    const along = g.mul(hat, g.mean(g.mul(d, hat), axes, true))
    const rest = centre ? g.sub(d, g.mean(d, axes, true)) : d
    return g.mul(inverse, g.sub(rest, along))
  }
  return { hat, back }
}

const trailing = (axis: number, rank: number): number[] => [...Array(rank).keys()].slice(normalAxis(axis, rank))

/** Scale and shift over the axes behind `axis`. */
const overTokens =
  (centre: boolean): Rule =>
  ({ g, node, inputs, dy, wanted }) => {
    const [x, scale, bias] = inputs as [Value, Value, Value | null | undefined]
    const axes = trailing(intOf(node.attributes.axis, -1), x.shape.length)
    const { hat, back } = standardize(g, x, axes, floatOf(node.attributes.epsilon, 1e-5), centre)
    return [
      wanted[0] ? back(g.mul(dy, scale)) : null,
      wanted[1] ? sumTo(g, g.mul(dy, hat), scale.shape) : null,
      bias && wanted[2] ? sumTo(g, dy, bias.shape) : null,
    ]
  }

export const layerNormalization = {
  /** Opset 21 has a scale per channel, opset 18 had one per group. */
  GroupNormalization: ({ g, node, inputs, dy, wanted }) => {
    const [x, scale, bias] = inputs as [Value, Value, Value]
    const [n, channels] = x.shape as [number, number]
    const groups = intOf(node.attributes.num_groups, 1)
    const split = (value: Value) => g.reshape(value, [n, groups, channels / groups, g.elementsOf(value) / (n * channels)])
    const each = scale.shape[0] === channels ? channels / groups : 1
    const factor = g.reshape(scale, [1, groups, each, 1])
    const { hat, back } = standardize(g, split(x), [2, 3], floatOf(node.attributes.epsilon, 1e-5))
    const d = split(dy)
    return [
      wanted[0] ? g.reshape(back(g.mul(d, factor)), x.shape) : null,
      wanted[1] ? g.reshape(sumTo(g, g.mul(d, hat), [1, groups, each, 1]), scale.shape) : null,
      wanted[2] ? g.reshape(sumTo(g, d, [1, groups, each, 1]), bias.shape) : null,
    ]
  },
  InstanceNormalization: ({ g, node, inputs, dy, wanted }) => {
    const [x, scale, bias] = inputs as [Value, Value, Value]
    const axes = trailing(2, x.shape.length)
    const perChannel = [1, scale.shape[0]!, ...axes.map(() => 1)]
    const { hat, back } = standardize(g, x, axes, floatOf(node.attributes.epsilon, 1e-5))
    return [
      wanted[0] ? back(g.mul(dy, g.reshape(scale, perChannel))) : null,
      wanted[1] ? g.reshape(sumTo(g, g.mul(dy, hat), perChannel), scale.shape) : null,
      wanted[2] ? g.reshape(sumTo(g, dy, perChannel), bias.shape) : null,
    ]
  },
  LayerNormalization: overTokens(true),
  /** y = x / |x|: dx = (dy - d|x|/dx sum(dy y)) / |x| */
  LpNormalization: ({ g, node, inputs, outputs, dy }) => {
    const [x, y] = [inputs[0]!, outputs[0]!]
    const axis = [normalAxis(intOf(node.attributes.axis, -1), x.shape.length)]
    const along = g.sum(g.mul(dy, y), axis, true)
    if (intOf(node.attributes.p, 2) === 1) {
      const norm = g.sum(g.op('Abs', [x]), axis, true)
      return [g.div(g.sub(dy, g.mul(g.op('Sign', [x]), along)), norm)]
    }
    return [g.div(g.sub(dy, g.mul(y, along)), g.sqrt(g.sum(g.mul(x, x), axis, true)))]
  },
  MeanVarianceNormalization: ({ g, node, inputs, dy }) => {
    const axes = intsOf(node.attributes.axes) ?? [0, 2, 3]
    return [standardize(g, inputs[0]!, axes, 1e-9).back(dy)]
  },
  RMSNormalization: overTokens(false),
} satisfies Record<string, Rule>
