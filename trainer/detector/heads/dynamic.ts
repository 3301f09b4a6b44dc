/** Assignment that follows what is predicted: of each box's candidates, which stand side by side, some answer for it. No gradient flows through the choice. */
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import { given } from './box-loss.ts'
import type { LossInput } from './head.ts'

type Candidates = Pick<LossInput, 'g' | 'slots' | 'rivals' | 'weight'>

const asNumber = (g: GraphBuilder, flags: Value): Value => g.op('Cast', [flags], { attributes: { to: 1 } })

/** Values of candidates [P, 1] by box, [T, slots]. */
const byBox = ({ g, slots }: Candidates, values: Value): Value => g.reshape(values, [values.shape[0]! / slots, slots])
const flat = (g: GraphBuilder, values: Value): Value => g.reshape(values, [values.shape[0]! * values.shape[1]!, 1])

/** 1 for those of each box's candidates that fewer than `count` [1] or [T, 1] others of it surpass, [T, slots]. @param values [T, slots] */
function greatest(g: GraphBuilder, values: Value, count: Value): Value {
  const [boxes, slots] = values.shape as [number, number]
  const others = g.reshape(values, [boxes, 1, slots])
  const better = asNumber(g, g.op('Greater', [others, g.reshape(values, [boxes, slots, 1])]))
  return asNumber(g, g.op('Less', [g.sum(better, [2]), count]))
}

/** The greatest value of each box's candidates [T, 1]. @param values [T, slots] */
const greatestOf = (g: GraphBuilder, values: Value): Value =>
  g.op('ReduceMax', [values], { attributes: { axes: [1], keepdims: 1 } })

/** Below every worth that counts, and finite. */
const worthless = -1e6

/** Leaves a cell that answers for several boxes to the one for which it is worth most. @param answers 1 or 0, [P, 1] @param worth [P, 1] */
function contested({ g, rivals }: Candidates, answers: Value, worth: Value): Value {
  const counted = g.add(g.mul(worth, answers), g.scale(g.sub(g.constant(1), answers), worthless))
  const rivalling = g.op('Gather', [g.reshape(counted, [counted.shape[0]!]), rivals!], { attributes: { axis: 0 } })
  return g.mul(answers, g.sub(g.constant(1), asNumber(g, g.op('Less', [counted, greatestOf(g, rivalling)]))))
}

/**
 * SimOTA (Ge et al., YOLOX, 2021): 1 for candidates that answer for their box, [P, 1]. A box gets as many as its ten greatest overlaps sum up
 * to, at least one, those of the least cost: the classes' and three times -log of the overlap. NanoDet-Plus's dynamic soft labels and PicoDet's
 * choice are this with other costs of classes, 13 overlaps, and six times the overlap's.
 * @param overlap with the box [P, 1]
 * @param classCost [P, 1]
 */
export function simOta(
  input: Candidates,
  options: { overlap: Value; classCost: Value; summed?: number; overlapCost?: number },
): Value {
  const { g, weight } = input
  const { overlap, classCost, summed = 10, overlapCost = 3 } = options
  const known = g.mul(given(g, overlap, 'candidates/overlap'), weight)
  const cost = g.sub(given(g, classCost, 'candidates/cost'), g.scale(g.log(g.add(known, g.constant(1e-8))), overlapCost))
  // Padding comes last.
  const worth = g.sub(g.scale(g.sub(g.constant(1), weight), worthless), g.mul(cost, weight))
  const overlapsOfBox = byBox(input, known)
  const sum = g.sum(g.mul(overlapsOfBox, greatest(g, overlapsOfBox, g.constant(summed))), [1], true)
  const count = g.max(g.op('Floor', [sum]), g.constant(1))
  const answers = g.mul(flat(g, greatest(g, byBox(input, worth), count)), weight)
  return given(g, contested(input, answers, worth), 'answers')
}

/** Cells that answer for a box, and powers of score and overlap in their alignment (Feng et al. 2021, as YOLOv8 has them). */
const aligned = 10
const powers = { score: 0.5, overlap: 6 }

/**
 * Targets [P, 1] of task alignment (TOOD, Feng et al. 2021): of a box's candidates the ten with the greatest score^0.5 overlap^6 answer for it,
 * each by its alignment over the greatest one, times the greatest overlap; the others by 0. A cell of several boxes goes to the one that it overlaps most.
 * @param overlap of candidates with their box [P, 1]; 0 for padding
 * @param score of its class [P, 1]
 */
export function alignedTargets(input: Candidates, { overlap, score }: { overlap: Value; score: Value }): Value {
  const { g, weight } = input
  const power = (value: Value, exponent: number) => g.op('Pow', [value, g.constant(exponent)])
  const alignment = given(g, g.mul(power(score, powers.score), power(overlap, powers.overlap)), 'alignment')
  const best = g.mul(flat(g, greatest(g, byBox(input, alignment), g.constant(aligned))), weight)
  const answers = byBox(input, contested(input, best, overlap))
  const [own, overlapsOfBox] = [g.mul(byBox(input, alignment), answers), g.mul(byBox(input, overlap), answers)]
  const share = g.div(own, g.add(greatestOf(g, own), g.constant(1e-9)))
  return given(g, flat(g, g.mul(share, greatestOf(g, overlapsOfBox))), 'aligned')
}
