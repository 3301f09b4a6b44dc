/** The training graph of a core: the losses of its head over the cells that assignment named. */
import { MuninnError } from '../../protocol/errors.ts'
import type { Value } from '../graph/builder.ts'
import type { Graph } from '../onnx/graph.ts'
import { continued, withInput } from './core.ts'
import { columns } from './heads/head.ts'
import { headOf, rowWidth } from './heads/table.ts'
import type { Specification } from './specification.ts'
import { mostRivals } from './targets.ts'

/** Names of the reported losses; the first is minimised. */
export const losses = ['loss', 'boxLoss', 'classLoss', 'objectLoss'] as const
/** Name of the scalar by which the micro-batches of a step count, where a head tells it; else all count alike. */
const share = 'share'

export interface TrainingShape {
  readonly batch: number
  readonly width: number
  readonly height: number
  /** Rows for positives in one batch; assignments are padded to it with weight 0. */
  readonly positives: number
  /** Micro-batches of a step, 1 when left out. */
  readonly parts?: number
  /** Some classes were not looked for everywhere: the graph wants `classWeight`. */
  readonly partial?: boolean
}

/**
 * Inputs beside `image` [B, H, W, 3], with R = B x cells and P = positives:
 * `index` int64 [P, 1] row of a positive, `classIndex` int64 [P, 2] its row and class, `target` [P, 4] its true box, `centre` [P, 3]
 * x, y and stride of its cell ([P, 5] with width and height where cells have anchors), `weight` [P, 1] (0 for padding), `rowWeight` [R, 1] (0 where nothing may be learnt: ignored regions),
 * `normalizer` [1] (one over the count of positives), for heads that ask for it `oneHot` [P, C], for heads that choose among
 * candidates `rivals` int64 [P, 4] (places of the candidates that are the same cell, itself among them), and in a partial graph
 * `classWeight` [R, C] (0 where nothing is known of a class: not exhaustively labelled).
 */
export function trainingGraph(
  core: Graph,
  specification: Specification,
  { batch, width, height, positives, parts = 1, partial = false }: TrainingShape,
): Graph {
  const head = headOf(specification)
  const g = continued(withInput(core, { batch, width, height }))
  const raw = g.value(specification.rows)
  if (raw.shape[0] !== batch)
    throw new MuninnError(
      'BAD_MODEL',
      `the rows of the model hold ${raw.shape[0]} pictures where ${batch} go in: a Reshape in it does not follow the batch, and pictures would be mixed up`,
    )
  const count = raw.shape[0]! * raw.shape[1]!
  const rows = g.reshape(raw, [count, rowWidth(specification)])
  const index = g.input('index', 'int64', [positives, 1])
  const classIndex = g.input('classIndex', 'int64', [positives, 2])
  const target = g.input('target', 'float32', [positives, 4])
  const sized = specification.anchors !== undefined
  const centre = g.input('centre', 'float32', [positives, sized ? 5 : 3])
  const weight = g.input('weight', 'float32', [positives, 1])
  const rowWeight = g.input('rowWeight', 'float32', [count, 1])
  const normalizer = g.reshape(g.input('normalizer', 'float32', [1]), [])
  const oneHot = head.oneHot ? g.input('oneHot', 'float32', [positives, specification.classes.length]) : null
  const classWeight = partial ? g.input('classWeight', 'float32', [count, specification.classes.length]) : null
  const slots = head.slots?.(specification) ?? 1
  const rivals = slots > 1 ? g.input('rivals', 'int64', [positives, mostRivals]) : null
  const part = (i: number): Value => columns(g, centre, i, i + 1)
  const made = head.losses({
    g,
    specification,
    rows,
    chosen: (from, to) => g.op('GatherND', [columns(g, rows, from, to), index]),
    centres: {
      x: part(0),
      y: part(1),
      stride: part(2),
      sizes: sized ? { width: part(3), height: part(4) } : null,
      width,
      height,
    },
    index,
    classIndex,
    oneHot,
    slots,
    rivals,
    target,
    weight,
    rowWeight,
    classWeight,
    normalizer,
    leastShare: 1 / parts,
  })
  const { box, classes, object } = made
  const loss = g.add(g.add(box, classes), object)
  for (const [i, value] of [loss, box, classes, object].entries()) g.output(g.reshape(value, [1]), losses[i]!)
  if (made.share) g.output(g.reshape(made.share, [1]), share)
  return g.graph
}
