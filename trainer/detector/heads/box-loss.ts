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

/** Half of the square up to 1, from there on straight (Girshick 2015). */
export function smoothL1(g: GraphBuilder, difference: Value): Value {
  const size = g.op('Abs', [difference])
  const near = g.min(size, g.constant(1))
  // n^2 / 2 + |d| - n: both forms in one.
  return g.add(g.scale(g.mul(near, near), 0.5), g.sub(size, near))
}

interface Sides {
  readonly x1: Value
  readonly y1: Value
  readonly x2: Value
  readonly y2: Value
}

/** Sides of boxes [P, 4], each [P, 1]. */
function sidesOf(g: GraphBuilder, boxes: Value): Sides {
  const side = (i: number) => g.slice(boxes, [i], [i + 1], [1])
  return { x1: side(0), y1: side(1), x2: side(2), y2: side(3) }
}

const area = (g: GraphBuilder, { x1, y1, x2, y2 }: Sides): Value => g.mul(g.sub(x2, x1), g.sub(y2, y1))
const square = (g: GraphBuilder, value: Value): Value => g.mul(value, value)
/** Keeps a quotient finite. */
const tiny = 1e-7

function compared(g: GraphBuilder, boxA: Value, boxB: Value) {
  const [a, b] = [sidesOf(g, boxA), sidesOf(g, boxB)]
  const shared = {
    x1: g.max(a.x1, b.x1),
    y1: g.max(a.y1, b.y1),
    x2: g.min(a.x2, b.x2),
    y2: g.min(a.y2, b.y2),
  }
  const hull = {
    x1: g.min(a.x1, b.x1),
    y1: g.min(a.y1, b.y1),
    x2: g.max(a.x2, b.x2),
    y2: g.max(a.y2, b.y2),
  }
  const common = g.mul(g.relu(g.sub(shared.x2, shared.x1)), g.relu(g.sub(shared.y2, shared.y1)))
  const union = g.add(g.sub(g.add(area(g, a), area(g, b)), common), g.constant(1e-6))
  return { a, b, shared, hull, union, iou: g.div(common, union) }
}

/** Intersection over union and its generalised form (Rezatofighi et al. 2019) of boxes [P, 4], each [P, 1]. */
export function overlaps(g: GraphBuilder, a: Value, b: Value): { iou: Value; giou: Value } {
  const { hull, union, iou } = compared(g, a, b)
  const all = g.add(area(g, hull), g.constant(1e-6))
  return { iou, giou: g.sub(iou, g.div(g.sub(all, union), all)) }
}

/** Sizes, and how far the centres lie apart, of two sets of boxes. */
function shapes(g: GraphBuilder, { a, b, hull }: ReturnType<typeof compared>) {
  const size = ({ x1, y1, x2, y2 }: Sides) => [g.sub(x2, x1), g.sub(y2, y1)] as const
  const apart = (of: (sides: Sides) => Value) => g.scale(g.sub(of(b), of(a)), 0.5)
  return {
    a: size(a),
    b: size(b),
    hull: size(hull),
    dx: apart(({ x1, x2 }) => g.add(x1, x2)),
    dy: apart(({ y1, y2 }) => g.add(y1, y2)),
  }
}

/**
 * Complete IoU (Zheng et al. 2020) of predicted and true boxes [P, 4], [P, 1]: less the centres' distance over the hull's diagonal, both
 * squared, and how much the aspects differ, whose weight is given.
 */
export function completeIou(g: GraphBuilder, predicted: Value, target: Value): Value {
  const pair = compared(g, predicted, target)
  const { a, b, hull, dx, dy } = shapes(g, pair)
  const diagonal = g.add(g.add(square(g, hull[0]), square(g, hull[1])), g.constant(tiny))
  const distance = g.div(g.add(square(g, dx), square(g, dy)), diagonal)
  const angle = ([w, h]: readonly [Value, Value]) => g.op('Atan', [g.div(w, g.add(h, g.constant(tiny)))])
  const aspect = g.scale(square(g, g.sub(angle(b), angle(a))), 4 / Math.PI ** 2)
  const alpha = g.div(aspect, g.add(g.sub(aspect, pair.iou), g.constant(1 + tiny)))
  return g.sub(g.sub(pair.iou, distance), g.mul(given(g, alpha, 'aspect'), aspect))
}

/**
 * SIoU (Gevorgyan 2022) of predicted and true boxes [P, 4], [P, 1]: IoU less half of what the centres' distance, weighed by its angle, and the
 * sizes cost. The angle's sin(2 asin(min(|dx|, |dy|) / d)) is 2 |dx| |dy| / d^2.
 */
export function scyllaIou(g: GraphBuilder, predicted: Value, target: Value): Value {
  const pair = compared(g, predicted, target)
  const { a, b, hull, dx, dy } = shapes(g, pair)
  const apart = g.add(g.add(square(g, dx), square(g, dy)), g.constant(tiny))
  const angle = g.scale(g.div(g.op('Abs', [g.mul(dx, dy)]), apart), 2)
  const gamma = g.sub(angle, g.constant(2))
  const near = (d: Value, extent: Value) => g.exp(g.mul(gamma, square(g, g.div(d, g.add(extent, g.constant(tiny))))))
  const distance = g.sub(g.sub(g.constant(2), near(dx, hull[0])), near(dy, hull[1]))
  const differs = (i: 0 | 1) => {
    const share = g.div(g.op('Abs', [g.sub(a[i], b[i])]), g.add(g.max(a[i], b[i]), g.constant(tiny)))
    return square(g, square(g, g.sub(g.constant(1), g.exp(g.neg(share)))))
  }
  return g.sub(pair.iou, g.scale(g.add(distance, g.add(differs(0), differs(1))), 0.5))
}

/** From where on the loss of an overlap is straight (Peng and Yu 2021). */
const smoothPoint = 0.1

/** Smoothed extended IoU loss (EIoU, Peng and Yu 2021) of predicted and true boxes [P, 4], [P, 1]: boxes that do not meet have an overlap, too. */
export function extendedIouLoss(g: GraphBuilder, predicted: Value, target: Value): Value {
  const { a, b, shared, hull } = compared(g, predicted, target)
  const { x1: left, y1: top } = hull
  const corner = (x: Value, y: Value) => g.mul(g.sub(x, left), g.sub(y, top))
  const [lowX, lowY] = [g.min(shared.x1, shared.x2), g.min(shared.y1, shared.y2)]
  const [highX, highY] = [g.max(shared.x1, shared.x2), g.max(shared.y1, shared.y2)]
  const common = g.sub(
    g.add(corner(shared.x2, shared.y2), corner(lowX, lowY)),
    g.add(corner(shared.x1, highY), corner(highX, shared.y1)),
  )
  const union = g.add(g.sub(g.add(area(g, a), area(g, b)), common), g.constant(1e-6))
  const lost = g.sub(g.constant(1), g.div(common, union))
  const near = g.min(lost, g.constant(smoothPoint))
  return g.add(g.scale(square(g, near), 1 / (2 * smoothPoint)), g.sub(lost, near))
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

export type ClassLossInput = Pick<LossInput, 'classIndex' | 'rowWeight' | 'classWeight' | 'normalizer'> & {
  /** Of all rows [R, C]. */
  logits: Value
  /** Of the positives [P, 1]. */
  quality: Value
}

/** Weights of class logits [R, C], or [R, 1] where every class was looked for everywhere. */
export const classLossWeight = (
  g: GraphBuilder,
  { rowWeight, classWeight }: Pick<LossInput, 'rowWeight' | 'classWeight'>,
): Value => (classWeight ? g.mul(classWeight, rowWeight) : rowWeight)

/** Targets of all class logits [R, C]: `quality` [P, 1] at the true classes of positives, 0 elsewhere. */
export function classTargets(g: GraphBuilder, logits: Value, classIndex: Value, quality: Value): Value {
  const values = g.reshape(quality, [quality.shape[0]!])
  return g.op('ScatterND', [g.filled(logits.shape), classIndex, values], { attributes: { reduction: 'add' } })
}

/** Quality focal loss with beta 2 (Li et al. 2020): the overlap as the target of the true class, 0 elsewhere. */
export function qualityFocal(g: GraphBuilder, input: ClassLossInput): Value {
  const { logits, classIndex, quality, normalizer } = input
  const wanted = classTargets(g, logits, classIndex, quality)
  const weight = g.mul(qualityWeight(g, logits, wanted), classLossWeight(g, input))
  return g.mul(g.sum(g.mul(crossEntropy(g, logits, wanted), weight)), normalizer)
}

export const qualityWeight = (g: GraphBuilder, logits: Value, wanted: Value): Value => square(g, g.sub(wanted, g.sigmoid(logits)))

/** Focal loss with alpha 0.25 and gamma 2 (Lin et al. 2017): those that are told well weigh little, and background less. */
export function sigmoidFocal(g: GraphBuilder, input: Omit<ClassLossInput, 'quality'> & Pick<LossInput, 'weight'>): Value {
  const { logits, classIndex, weight: positive, normalizer } = input
  const wanted = classTargets(g, logits, classIndex, positive)
  const alpha = g.sub(g.constant(0.75), g.scale(wanted, 0.5))
  const weight = g.mul(g.mul(alpha, qualityWeight(g, logits, wanted)), classLossWeight(g, input))
  return g.mul(g.sum(g.mul(crossEntropy(g, logits, wanted), weight)), normalizer)
}

/** Varifocal loss with alpha 0.75 and gamma 2 (Zhang et al. 2021): positives weigh by their overlap, others by their own probability. */
export function varifocal(g: GraphBuilder, input: ClassLossInput): Value {
  const { logits, classIndex, quality, normalizer } = input
  const wanted = classTargets(g, logits, classIndex, quality)
  const weight = g.mul(varifocalWeight(g, logits, wanted), classLossWeight(g, input))
  return g.mul(g.sum(g.mul(crossEntropy(g, logits, wanted), weight)), normalizer)
}

export function varifocalWeight(g: GraphBuilder, logits: Value, wanted: Value): Value {
  const others = g.op('Cast', [g.op('Equal', [wanted, g.constant(0)])], { attributes: { to: 1 } })
  return g.add(wanted, g.mul(g.scale(square(g, g.sigmoid(logits)), 0.75), others))
}
