/**
 * YOLOv5 (Ultralytics, 2020): rows are [x, y, w, h, objectness logit, class logits] of an anchor; centre = cell + 2 sigmoid - 1/2, size =
 * (2 sigmoid)^2 anchors.
 */
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import { assignByShape } from '../anchor-assignment.ts'
import { cellsOf } from '../cells.ts'
import {
  chosenClassWeight,
  completeIou,
  crossEntropy,
  given,
  lookedForOnly,
  objectWeight,
  perPositive,
  qualityOf,
  softmaxCrossEntropy,
} from './box-loss.ts'
import { type Centres, columns, type HeadKind, type HeadLosses, type LossInput } from './head.ts'

const lead = 5

function boxes(g: GraphBuilder, _: unknown, rows: Value, { x, y, stride, sizes }: Centres): Value {
  const part = (i: number) => g.scale(g.sigmoid(columns(g, rows, i, i + 1)), 2)
  // From the cell's centre, which is half a stride right of its number: 2 sigmoid - 1.
  const centre = (i: number, at: Value) => g.add(g.mul(g.sub(part(i), g.constant(1)), stride), at)
  const half = (i: number, size: Value) => g.mul(g.mul(part(i), part(i)), g.scale(size, 0.5))
  const [cx, cy, w, h] = [centre(0, x), centre(1, y), half(2, sizes!.width), half(3, sizes!.height)]
  return g.concat([g.sub(cx, w), g.sub(cy, h), g.add(cx, w), g.add(cy, h)], rows.shape.length - 1)
}

export const anchors: HeadKind = {
  rate: 2.8e-3,
  classesAt: () => lead,
  otherColumns: () => lead,
  newClassBias: -2,
  oneHot: true,
  assign: assignByShape(4),
  boxes,
  scores: (g, { classes }, rows) =>
    g.mul(g.sigmoid(columns(g, rows, lead, lead + classes.length)), g.sigmoid(columns(g, rows, 4, 5))),
  losses: lossesOf(boxes),
}

/**
 * YOLOv5's losses, of boxes that are decoded so: 0.05 (1 - complete IoU) and 0.5 C / 80 x binary cross-entropy of classes, each the mean over a grid's
 * positives, and the cross-entropy of objectness with the overlap as target, the mean over a grid's rows times its balance; summed over grids.
 * Also with one class, whose filter may be new.
 */
export function lossesOf(decode: HeadKind['boxes']): HeadKind['losses'] {
  return (input) => {
    const { g, specification, rows, chosen, centres, weight, oneHot } = input
    const { width, height } = centres
    const classes = specification.classes.length
    const grids = specification.strides.length
    const lookedFor = chosenClassWeight(input)
    const surprises = crossEntropy(g, chosen(lead, lead + classes), oneHot!)
    return lossesByGrid(input, {
      decode,
      probabilities: () => g.sigmoid(columns(g, rows, lead, lead + classes)),
      object: (overlap) => qualityOf(g, overlap, weight),
      entropy: g.mean(lookedFor ? g.mul(surprises, lookedFor) : surprises, [1], true),
      balance: grids === 3 ? [4, 1, 0.4] : [4, 1, 0.25, 0.06, 0.02],
      gains: {
        box: (0.05 * 3) / grids,
        classes: (((0.5 * classes) / 80) * 3) / grids,
        object: (((width * height) / 640 ** 2) * 3) / grids,
      },
    })
  }
}

/**
 * Yolo-FastestV2 (dog-qiuqiu, 2021): rows as above, but the anchors of a cell have its classes in common, which are a softmax, and an anchor's
 * shape must be within a factor of two.
 */
export const yoloFastestV2: HeadKind = {
  ...anchors,
  assign: assignByShape(2),
  scores: (g, { classes }, rows) => {
    const kinds = columns(g, rows, lead, lead + classes.length)
    return g.mul(g.op('Softmax', [kinds], { attributes: { axis: rows.shape.length - 1 } }), g.sigmoid(columns(g, rows, 4, 5)))
  },
  /** As published: 3.2 (1 - complete IoU), 32 / C x the softmax's cross-entropy, 64 x that of objectness, whose target is 1 whatever the overlap. */
  losses: (input) => {
    const { g, specification, rows, chosen, weight, oneHot } = input
    const classes = specification.classes.length
    const logits = lookedForOnly(g, chosen(lead, lead + classes), chosenClassWeight(input))
    return lossesByGrid(input, {
      decode: boxes,
      probabilities: () => g.op('Softmax', [columns(g, rows, lead, lead + classes)], { attributes: { axis: 1 } }),
      object: () => weight,
      entropy: softmaxCrossEntropy(g, logits, oneHot!, 'classes'),
      balance: [1, 0.4],
      gains: { box: 3.2, classes: 32 / classes, object: 64 },
    })
  },
}

interface ByGrid {
  readonly decode: HeadKind['boxes']
  /** Of the classes of all rows [R, C]. */
  readonly probabilities: () => Value
  /** What the objectness of each positive is to be [P, 1], by its overlap. */
  readonly object: (overlap: Value) => Value
  /** Of the classes of each positive, [P, 1]. */
  readonly entropy: Value
  /** What the objectness of each grid counts, fine to coarse. */
  readonly balance: readonly number[]
  readonly gains: { readonly box: number; readonly classes: number; readonly object: number }
}

/** The parts of a loss, each the mean over a grid's positives or rows, summed over grids. */
function lossesByGrid(input: LossInput, { decode, probabilities, object, entropy, balance, gains }: ByGrid): HeadLosses {
  const { g, specification, rows, chosen, centres, target, weight, index } = input
  const { width, height } = centres
  const rowWeight = objectWeight(input, probabilities)
  const { levels } = cellsOf({ width, height, ...specification })
  const overlap = completeIou(g, decode(g, specification, chosen(0, lead), centres), target)
  const hits = g.op('ScatterND', [g.filled([rows.shape[0]!, 1]), index, object(overlap)], { attributes: { reduction: 'add' } })
  const wanted = given(g, g.min(hits, g.constant(1)), 'object')
  const surprise = g.mul(crossEntropy(g, columns(g, rows, 4, 5), wanted), rowWeight)
  const byPicture = g.reshape(surprise, [-1, levels.at(-1)!])
  const sums = specification.strides.map((stride, level) => {
    const own = g.op('Cast', [g.op('Equal', [centres.stride, g.constant(stride)])], { attributes: { to: 1 } })
    const here = g.mul(given(g, own, `grid ${level}`), weight)
    const perHere = g.div(g.constant(1), g.max(g.sum(here), g.constant(1)))
    return {
      box: perPositive(g, g.sub(g.constant(1), overlap), here, perHere),
      classes: perPositive(g, entropy, here, perHere),
      object: g.scale(g.mean(g.slice(byPicture, [levels[level]!], [levels[level + 1]!], [1])), balance[level]!),
    }
  })
  const total = (part: 'box' | 'classes' | 'object') =>
    g.scale(
      sums.map((each) => each[part]).reduce((sum, each) => g.add(sum, each)),
      gains[part],
    )
  return { box: total('box'), classes: total('classes'), object: total('object') }
}
