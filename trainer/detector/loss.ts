/** The training graph of a core: losses over the cells that assignment named, in the form each head was published with. */

import { stopGradient } from '../gradients/differentiate.ts'
import type { GraphBuilder, Value } from '../graph/builder.ts'
import type { Graph } from '../onnx/graph.ts'
import { continued, withInput } from './core.ts'
import { decodeBoxes } from './deploy.ts'
import { leadOf, rowWidth, type Specification } from './specification.ts'

/** Names of the reported losses; the first is minimised. */
export const losses = ['loss', 'boxLoss', 'classLoss', 'objectLoss'] as const

export interface TrainingShape {
  readonly batch: number
  readonly width: number
  readonly height: number
  /** Rows for positives in one batch; assignments are padded to it with weight 0. */
  readonly positives: number
}

/**
 * Inputs beside `image` [B, H, W, 3], with R = B x cells and P = positives:
 * `index` int64 [P, 1] row of a positive, `classIndex` int64 [P, 2] its row and class, `target` [P, 4] its true box, `centre` [P, 3]
 * x, y and stride of its cell, `weight` [P, 1] (0 for padding), `rowWeight` [R, 1] (0 where nothing may be learnt: ignored regions),
 * `normalizer` [1] (one over the count of positives).
 */
export function trainingGraph(
  core: Graph,
  specification: Specification,
  { batch, width, height, positives }: TrainingShape,
): Graph {
  const g = continued(withInput(core, { batch, width, height }))
  const raw = g.value(specification.rows)
  const count = raw.shape[0]! * raw.shape[1]!
  const rows = g.reshape(raw, [count, rowWidth(specification)])
  const index = g.input('index', 'int64', [positives, 1])
  const classIndex = g.input('classIndex', 'int64', [positives, 2])
  const target = g.input('target', 'float32', [positives, 4])
  const centre = g.input('centre', 'float32', [positives, 3])
  const weight = g.input('weight', 'float32', [positives, 1])
  const rowWeight = g.input('rowWeight', 'float32', [count, 1])
  const normalizer = g.reshape(g.input('normalizer', 'float32', [1]), [])

  const lead = leadOf(specification.head)
  const positive = g.op('GatherND', [g.slice(rows, [0], [lead], [1]), index])
  const part = (i: number) => g.slice(centre, [i], [i + 1], [1])
  const predicted = decodeBoxes(g, specification, positive, { x: part(0), y: part(1), stride: part(2) })
  const { iou, giou } = overlaps(g, predicted, target)
  const quality = g.mul(g.op('Identity', [g.max(iou, g.constant(0))], { name: `${stopGradient}/quality` }), weight)
  const logits = g.slice(rows, [lead], [rowWidth(specification)], [1])
  const none = (columns: number) => g.filled([count, columns])
  const add = { attributes: { reduction: 'add' } }
  const classes = specification.classes.length

  let boxLoss: Value
  let classLoss: Value
  let objectLoss: Value
  if (specification.head === 'yolox') {
    // YOLOX: 5 (1 - IoU^2), objectness over all rows, classes with the IoU as target at positives.
    boxLoss = g.scale(g.mul(g.sum(g.mul(g.sub(g.constant(1), g.mul(iou, iou)), weight)), normalizer), 5)
    const object = g.op('ScatterND', [none(1), index, weight], add)
    const bounded = g.min(object, g.constant(1))
    const objectTarget = g.op('Identity', [bounded], { name: `${stopGradient}/object` })
    objectLoss = g.mul(g.sum(g.mul(crossEntropy(g, g.slice(rows, [4], [5], [1]), objectTarget), rowWeight)), normalizer)
    const chosen = g.op('GatherND', [logits, index])
    const oneHot = g.input('oneHot', 'float32', [positives, classes])
    classLoss = g.mul(g.sum(g.mul(crossEntropy(g, chosen, g.mul(oneHot, quality)), weight)), normalizer)
  } else {
    // Generalized focal loss (Li et al. 2020): quality focal loss with beta 2, and GIoU weighted by 2.
    boxLoss = g.scale(g.mul(g.sum(g.mul(g.sub(g.constant(1), giou), weight)), normalizer), 2)
    const wanted = g.op('ScatterND', [none(classes), classIndex, g.reshape(quality, [positives])], add)
    const error = g.sub(wanted, g.sigmoid(logits))
    classLoss = g.mul(g.sum(g.mul(g.mul(crossEntropy(g, logits, wanted), g.mul(error, error)), rowWeight)), normalizer)
    objectLoss = g.scale(boxLoss, 0)
  }
  const loss = g.add(g.add(boxLoss, classLoss), objectLoss)
  for (const [i, value] of [loss, boxLoss, classLoss, objectLoss].entries()) g.output(g.reshape(value, [1]), losses[i]!)
  return g.graph
}

/** Binary cross-entropy on logits: softplus(x) - x t. */
function crossEntropy(g: GraphBuilder, logits: Value, target: Value): Value {
  return g.sub(g.op('Softplus', [logits]), g.mul(logits, target))
}

/** Intersection over union and its generalised form (Rezatofighi et al. 2019) of boxes [P, 4], each [P, 1]. */
function overlaps(g: GraphBuilder, a: Value, b: Value): { iou: Value; giou: Value } {
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
