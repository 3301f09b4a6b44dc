/**
 * SSD (Liu et al. 2016): rows are [x, y, w, h, background logit, class logits] of a prior box; offsets in the prior's size times the
 * variances, classes and background a softmax.
 */
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import { assignByOverlap } from '../anchor-assignment.ts'
import { given, logSoftmax, lookedForOnly, objectWeight, perPositive, smoothL1 } from './box-loss.ts'
import { type Centres, columns, type HeadKind, limitedExp } from './head.ts'

const lead = 5
/** Negatives that are learnt from for each positive: the hardest ones (2.2, hard negative mining). */
const negativesPerPositive = 3

export const priors: HeadKind = {
  rate: 7e-4,
  classesAt: () => lead,
  otherColumns: () => lead,
  // Beside a background whose logit lies well above 0 nearly everywhere.
  newClassBias: -3,
  oneHot: true,
  apart: true,
  assign: assignByOverlap,
  boxes: (g, { variances }, rows, centres) => moved(g, variances!, columns(g, rows, 0, 4), centres),
  scores: (g, { classes }, rows) => {
    const last = rows.shape.length - 1
    const all = g.op('Softmax', [columns(g, rows, 4, lead + classes.length)], { attributes: { axis: last } })
    return columns(g, all, 1, 1 + classes.length)
  },
  /** Smooth L1 of the offsets, and the softmax's cross-entropy over positives and the three times as many hardest negatives. */
  losses: (input) => {
    const { g, specification, rows, chosen, centres, target, weight, normalizer, index, oneHot } = input
    const wanted = encoded(g, specification.variances!, target, centres)
    const box = perPositive(g, g.sum(smoothL1(g, g.sub(chosen(0, 4), wanted)), [1], true), weight, normalizer)
    const width = lead + specification.classes.length
    // Everywhere looked for: the background.
    const classWeight = input.classWeight && g.concat([g.filled(input.rowWeight.shape, 1), input.classWeight], 1)
    const logits = columns(g, rows, 4, width)
    const rowWeight = objectWeight({ ...input, classWeight }, () => g.op('Softmax', [logits], { attributes: { axis: 1 } }))
    const likely = logSoftmax(g, lookedForOnly(g, logits, classWeight), 'classes')
    const rest = columns(g, likely, 1, 1 + specification.classes.length)
    const positive = g.neg(g.sum(g.mul(g.op('GatherND', [rest, index]), oneHot!), [1], true))
    const background = g.neg(columns(g, likely, 0, 1))
    const hard = hardest(g, background, { index, weight, rowWeight })
    const classes = g.add(perPositive(g, positive, weight, normalizer), g.mul(g.sum(g.mul(background, hard)), normalizer))
    return { box, classes, object: g.constant(0) }
  },
}

/** Boxes [.., 4] of offsets x, y, width, height [.., 4]. */
export function moved(
  g: GraphBuilder,
  [centre, size]: readonly [number, number],
  offsets: Value,
  { x, y, sizes }: Centres,
): Value {
  const column = (i: number) => columns(g, offsets, i, i + 1)
  const { width, height } = sizes!
  const cx = g.add(g.mul(g.scale(column(0), centre), width), x)
  const cy = g.add(g.mul(g.scale(column(1), centre), height), y)
  const w = g.mul(limitedExp(g, g.scale(column(2), size)), g.scale(width, 0.5))
  const h = g.mul(limitedExp(g, g.scale(column(3), size)), g.scale(height, 0.5))
  return g.concat([g.sub(cx, w), g.sub(cy, h), g.add(cx, w), g.add(cy, h)], offsets.shape.length - 1)
}

/** The offsets that would give the true boxes, [P, 4]. */
export function encoded(
  g: GraphBuilder,
  [centre, size]: readonly [number, number],
  target: Value,
  { x, y, sizes }: Centres,
): Value {
  const side = (i: number) => columns(g, target, i, i + 1)
  const offset = (low: Value, high: Value, at: Value, extent: Value) =>
    g.scale(g.div(g.sub(g.scale(g.add(low, high), 0.5), at), extent), 1 / centre)
  const growth = (low: Value, high: Value, extent: Value) => g.scale(g.log(g.div(g.sub(high, low), extent)), 1 / size)
  const { width, height } = sizes!
  return g.concat(
    [
      offset(side(0), side(2), x, width),
      offset(side(1), side(3), y, height),
      growth(side(0), side(2), width),
      growth(side(1), side(3), height),
    ],
    1,
  )
}

/** 1 at the negatives with the greatest loss, [R, 1]; at least as many as one box would bring when a batch has no box. */
function hardest(
  g: GraphBuilder,
  loss: Value,
  { index, weight, rowWeight }: { index: Value; weight: Value; rowWeight: Value },
): Value {
  const count = loss.shape[0]!
  const hit = g.op('ScatterND', [g.filled([count, 1]), index, weight], { attributes: { reduction: 'add' } })
  const allowed = g.mul(g.sub(g.constant(1), g.min(hit, g.constant(1))), rowWeight)
  const ranked = g.reshape(g.mul(given(g, loss, 'hardness'), allowed), [count])
  const [sorted] = g.ops('TopK', [ranked, g.ints([count])], { attributes: { axis: 0 }, outputs: 2 }) as [Value, Value]
  const wanted = g.scale(g.max(g.reshape(g.sum(weight), [1]), g.constant(1)), negativesPerPositive)
  const last = g.op('Cast', [g.min(wanted, g.constant(count - 1))], { attributes: { to: 7 } })
  const least = g.op('Gather', [sorted, last], { attributes: { axis: 0 } })
  const hard = g.op('Cast', [g.op('Greater', [ranked, least])], { attributes: { to: 1 } })
  return given(g, g.mul(g.reshape(hard, [count, 1]), allowed), 'hard')
}
