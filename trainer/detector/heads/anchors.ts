/**
 * YOLOv5 (Ultralytics, 2020): rows are [x, y, w, h, objectness logit, class logits] of an anchor; centre = cell + 2 sigmoid - 1/2, size =
 * (2 sigmoid)^2 anchors.
 */
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import { assignByShape } from '../anchor-assignment.ts'
import { cellsOf } from '../cells.ts'
import { chosenClassWeight, completeIou, crossEntropy, given, objectWeight, perPositive, qualityOf } from './box-loss.ts'
import { type Centres, columns, type HeadKind } from './head.ts'

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
  classesAt: () => lead,
  otherColumns: () => lead,
  newClassBias: -2,
  oneHot: true,
  assign: assignByShape,
  boxes,
  scores: (g, { classes }, rows) =>
    g.mul(g.sigmoid(columns(g, rows, lead, lead + classes.length)), g.sigmoid(columns(g, rows, 4, 5))),
  /**
   * 0.05 (1 - complete IoU) and 0.5 C / 80 x binary cross-entropy of classes, each the mean over a grid's positives, and the cross-entropy of
   * objectness with the overlap as target, the mean over a grid's rows times its balance; summed over grids. Also with one class, whose filter may be new.
   */
  losses: (input) => {
    const { g, specification, rows, chosen, centres, target, weight, index, oneHot } = input
    const { width, height } = centres
    const last = lead + specification.classes.length
    const rowWeight = objectWeight(input, () => g.sigmoid(columns(g, rows, lead, last)))
    const { levels } = cellsOf({ width, height, ...specification })
    const grids = specification.strides.length
    const share = 3 / grids
    const overlap = completeIou(g, boxes(g, specification, chosen(0, lead), centres), target)
    const quality = qualityOf(g, overlap, weight)
    const hits = g.op('ScatterND', [g.filled([rows.shape[0]!, 1]), index, quality], { attributes: { reduction: 'add' } })
    const wanted = given(g, g.min(hits, g.constant(1)), 'object')
    const surprise = g.mul(crossEntropy(g, columns(g, rows, 4, 5), wanted), rowWeight)
    const byPicture = g.reshape(surprise, [-1, levels.at(-1)!])
    const classes = specification.classes.length
    const lookedFor = chosenClassWeight(input)
    const surprises = crossEntropy(g, chosen(lead, last), oneHot!)
    const entropy = g.mean(lookedFor ? g.mul(surprises, lookedFor) : surprises, [1], true)
    const sums = specification.strides.map((stride, level) => {
      const own = g.op('Cast', [g.op('Equal', [centres.stride, g.constant(stride)])], { attributes: { to: 1 } })
      const here = g.mul(given(g, own, `grid ${level}`), weight)
      const perHere = g.div(g.constant(1), g.max(g.sum(here), g.constant(1)))
      const object = g.mean(g.slice(byPicture, [levels[level]!], [levels[level + 1]!], [1]))
      return {
        box: perPositive(g, g.sub(g.constant(1), overlap), here, perHere),
        classes: perPositive(g, entropy, here, perHere),
        object: g.scale(object, balanceOf(grids)[level]!),
      }
    })
    const total = (part: 'box' | 'classes' | 'object', gain: number) =>
      g.scale(
        sums.map((each) => each[part]).reduce((sum, each) => g.add(sum, each)),
        gain * share,
      )
    return {
      box: total('box', 0.05),
      classes: total('classes', (0.5 * classes) / 80),
      object: total('object', (width * height) / 640 ** 2),
    }
  },
}

/** What the objectness of each grid counts, fine to coarse, as published. */
const balanceOf = (grids: number): readonly number[] => (grids === 3 ? [4, 1, 0.4] : [4, 1, 0.25, 0.06, 0.02])
