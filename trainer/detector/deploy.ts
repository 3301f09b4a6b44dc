/** Puts the deployed model's end behind a core: decoding, non-maximum suppression and the embedding, as nodes inside the file. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import type { Graph } from '../onnx/graph.ts'
import { intTensor } from '../onnx/graph.ts'
import { cellsOf } from './cells.ts'
import { continued, withInput } from './core.ts'
import { centresOf } from './heads/head.ts'
import { headOf } from './heads/table.ts'
import { type Specification, withSpecification } from './specification.ts'

/** Lowest score that leaves the file: the miner needs the doubtful ones. */
export const scoreFloor = 0.05
/** Most detections that leave the file, best first. */
export const maxDetections = 300

/**
 * The whole deployed file from a core. With suppression per class a box that survives for two classes leaves as two rows, each with
 * one class.
 */
export function deployed(core: Graph, specification: Specification, { width, height }: { width: number; height: number }): Graph {
  const g = continued(withInput(core, { batch: 1, width, height }))
  let boxes: Value
  let scores: Value
  if (specification.head === 'fixed') {
    boxes = g.value(specification.rows)
    scores = g.value(specification.scores!)
  } else {
    const rows = g.value(specification.rows)
    const flat = g.reshape(rows, rows.shape.slice(1))
    const centres = centresOf(g, cellsOf({ width, height, ...specification }), { width, height })
    boxes = headOf(specification).boxes(g, specification, flat, centres)
    scores = headOf(specification).scores(g, specification, flat)
  }
  suppress(g, boxes, calibrated(g, scores, specification), specification)
  const feature = g.value(specification.feature)
  const pooled = g.reshape(g.mean(feature, [2, 3]), [feature.shape[1]!])
  const length = g.sqrt(g.add(g.sum(g.mul(pooled, pooled)), g.constant(1e-12)))
  g.output(g.div(pooled, length), 'embedding')
  return withSpecification({ ...g.graph, name: specification.architecture }, specification)
}

/** Scores [cells, C] as the probabilities that the calibration makes of them. */
function calibrated(g: GraphBuilder, scores: Value, { calibration }: Specification): Value {
  if (!calibration) return scores
  const row = (values: readonly number[]) => g.constant(Float32Array.from(values), [1, values.length])
  const bounded = g.op('Clip', [scores, g.constant(1e-6), g.constant(1 - 1e-6)])
  const logit = g.op('Log', [g.div(bounded, g.sub(g.constant(1), bounded))])
  const scaled = g.mul(logit, row(calibration.map(({ scale }) => scale)))
  return g.sigmoid(g.add(scaled, row(calibration.map(({ shift }) => shift))))
}

/** Outputs `boxes` [n, 4] and `scores` [n, C], best first. */
function suppress(g: GraphBuilder, boxes: Value, scores: Value, { nms, nmsIou }: Specification): void {
  const classes = scores.shape[1]!
  const agnostic = nms === 'class-agnostic'
  const int = (value: number) => g.initializer(`limit_${value}`, intTensor([1], [value]))
  const single = (name: string, value: number) =>
    g.initializer(name, { type: 'float32', shape: [1], data: Float32Array.of(value) })
  const ranked = agnostic ? g.op('ReduceMax', [scores], { attributes: { axes: [1], keepdims: 1 } }) : scores
  const byClass = g.transpose(ranked, [1, 0])
  const inputs = [g.op('Unsqueeze', [boxes, g.ints([0])]), g.op('Unsqueeze', [byClass, g.ints([0])])]
  // [n, 3]: batch, class, box
  const chosen = g.op('NonMaxSuppression', [
    ...inputs,
    int(maxDetections),
    single('nmsIou', nmsIou),
    single('scoreFloor', scoreFloor),
  ])
  const score = g.op('GatherND', [byClass, g.slice(chosen, [1], [3], [1])])
  const count = g.op('Min', [g.op('Shape', [score]), int(maxDetections)])
  const [best, order] = g.ops('TopK', [score, count], { outputs: 2 }) as [Value, Value]
  const box = g.op('Gather', [g.slice(chosen, [2], [3], [1]), order])
  g.output(g.op('GatherND', [boxes, box]), 'boxes')
  if (agnostic) {
    g.output(g.op('GatherND', [scores, box]), 'scores')
    return
  }
  const kind = g.op('Gather', [g.slice(chosen, [1], [2], [1]), order])
  const isKind = g.op('Equal', [kind, g.initializer('classes', intTensor([1, classes], [...Array(classes).keys()]))])
  const oneHot = g.op('Cast', [isKind], { attributes: { to: 1 } })
  g.output(g.mul(oneHot, g.op('Unsqueeze', [best, g.ints([1])])), 'scores')
}
