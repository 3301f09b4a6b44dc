/** What the losses of all heads are made of: overlaps of boxes, cross-entropy, and values that count as given. */
import { stopGradient } from '../../gradients/differentiate.ts'
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import type { LossInput } from './head.ts'

/** The same value, through which no gradient flows; `name` must be one of a kind in the graph. */
export const given = (g: GraphBuilder, value: Value, name: string): Value =>
  g.op('Identity', [value], { name: `${stopGradient}/${name}` })

/** Binary cross-entropy on logits: softplus(x) - x t. */
export function crossEntropy(g: GraphBuilder, logits: Value, target: Value): Value {
  return g.sub(g.op('Softplus', [logits]), g.mul(logits, target))
}

/** Intersection over union and its generalised form (Rezatofighi et al. 2019) of boxes [P, 4], each [P, 1]. */
export function overlaps(g: GraphBuilder, a: Value, b: Value): { iou: Value; giou: Value } {
  const side = (value: Value, i: number) => g.slice(value, [i], [i + 1], [1])
  const [ax1, ay1, ax2, ay2] = [0, 1, 2, 3].map((i) => side(a, i)) as [Value, Value, Value, Value]
  const [bx1, by1, bx2, by2] = [0, 1, 2, 3].map((i) => side(b, i)) as [Value, Value, Value, Value]
  const positive = (value: Value) => g.relu(value)
  const shared = g.mul(positive(g.sub(g.min(ax2, bx2), g.max(ax1, bx1))), positive(g.sub(g.min(ay2, by2), g.max(ay1, by1))))
  const area = (x1: Value, y1: Value, x2: Value, y2: Value) => g.mul(g.sub(x2, x1), g.sub(y2, y1))
  const union = g.add(g.sub(g.add(area(ax1, ay1, ax2, ay2), area(bx1, by1, bx2, by2)), shared), g.constant(1e-6))
  const iou = g.div(shared, union)
  const hull = g.add(area(g.min(ax1, bx1), g.min(ay1, by1), g.max(ax2, bx2), g.max(ay2, by2)), g.constant(1e-6))
  return { iou, giou: g.sub(iou, g.div(g.sub(hull, union), hull)) }
}

/** Overlap of each predicted box with its true one as a target [P, 1]: no gradient, 0 for padding. */
export const qualityOf = (g: GraphBuilder, iou: Value, weight: Value): Value =>
  g.mul(given(g, g.max(iou, g.constant(0)), 'quality'), weight)

/** Sum of `values` [P, 1] over the positives, divided by their count. */
export const perPositive = (g: GraphBuilder, values: Value, weight: Value, normalizer: Value): Value =>
  g.mul(g.sum(g.mul(values, weight)), normalizer)

/** log softmax along the last axis of [n, k], kept finite by taking the greatest logit off first. */
export function logSoftmax(g: GraphBuilder, logits: Value, name: string): Value {
  const greatest = given(g, g.op('ReduceMax', [logits], { attributes: { axes: [1], keepdims: 1 } }), `${name}/greatest`)
  const shifted = g.sub(logits, greatest)
  return g.sub(shifted, g.log(g.sum(g.exp(shifted), [1], true)))
}

/** Cross-entropy of a softmax over logits [P, C] with the true class, [P, 1]. */
export const softmaxCrossEntropy = (g: GraphBuilder, logits: Value, oneHot: Value, name: string): Value =>
  g.neg(g.sum(g.mul(logSoftmax(g, logits, name), oneHot), [1], true))

/**
 * Classes that were not looked for take no part in a softmax: their logits [n, C] count as minus infinity and get no gradient, and the
 * others share its sum.
 */
export const lookedForOnly = (g: GraphBuilder, logits: Value, classWeight: Value | null): Value =>
  classWeight ? g.add(g.mul(logits, classWeight), g.scale(g.sub(g.constant(1), classWeight), hidden)) : logits
/** exp of it is 0, and it is finite. */
const hidden = -1e4

/**
 * Row weights [R, 1] for what all classes share, an objectness or a background. Where some classes were not looked for, "no object here"
 * is worth the share of the row's class probabilities [R, C] that belongs to classes that were: a row that is sure of a class that nobody
 * looked for says nothing. Rows that answer for an object count whole. No gradient flows through the weights.
 */
export function objectWeight(
  { g, rowWeight, classWeight, index, weight }: Pick<LossInput, 'g' | 'rowWeight' | 'classWeight' | 'index' | 'weight'>,
  probabilities: () => Value,
): Value {
  if (!classWeight) return rowWeight
  const all = probabilities()
  const share = g.div(g.sum(g.mul(all, classWeight), [1], true), g.max(g.sum(all, [1], true), g.constant(1e-6)))
  const hits = g.op('ScatterND', [g.filled(rowWeight.shape), index, weight], { attributes: { reduction: 'add' } })
  return given(g, g.mul(rowWeight, g.max(share, g.min(hits, g.constant(1)))), 'looked-for')
}

/** The weights of the rows that answer for true boxes, [P, C]. */
export const chosenClassWeight = ({ g, classWeight, index }: Pick<LossInput, 'g' | 'classWeight' | 'index'>): Value | null =>
  classWeight && g.op('GatherND', [classWeight, index])

/** Quality focal loss with beta 2 (Li et al. 2020): the overlap as the target of the true class, 0 elsewhere. */
export function qualityFocal(
  g: GraphBuilder,
  input: Pick<LossInput, 'classIndex' | 'rowWeight' | 'classWeight' | 'normalizer'> & { logits: Value; quality: Value },
): Value {
  const { logits, classIndex, quality, rowWeight, classWeight, normalizer } = input
  const weight = classWeight ? g.mul(classWeight, rowWeight) : rowWeight
  const none = g.filled(logits.shape)
  const wanted = g.op('ScatterND', [none, classIndex, g.reshape(quality, [quality.shape[0]!])], {
    attributes: { reduction: 'add' },
  })
  const error = g.sub(wanted, g.sigmoid(logits))
  return g.mul(g.sum(g.mul(g.mul(crossEntropy(g, logits, wanted), g.mul(error, error)), weight)), normalizer)
}
