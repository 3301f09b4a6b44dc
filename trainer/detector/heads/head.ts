/** What a head is: it knows the layout of one form of raw rows, how a row becomes a box and scores, and what trains it. */
import type { Box } from '../../../protocol/boxes.ts'
import type { GraphBuilder, Value } from '../../graph/builder.ts'
import type { Assignment } from '../assignment.ts'
import type { Cells } from '../cells.ts'
import type { Specification } from '../specification.ts'

/** Where the cell of each row lies: values [rows, 1] in input pixels. */
export interface Centres {
  readonly x: Value
  readonly y: Value
  readonly stride: Value
  /** Of its anchor, for heads that have some. */
  readonly sizes: { readonly width: Value; readonly height: Value } | null
  /** Of the input. */
  readonly width: number
  readonly height: number
}

/** The cells of a whole picture of width x height pixels, as constants [n, 1]. */
export function centresOf(
  g: GraphBuilder,
  { x, y, stride, sizes }: Cells,
  { width, height }: { width: number; height: number },
): Centres {
  const column = (values: Float32Array) => g.constant(values, [values.length, 1])
  return {
    x: column(x),
    y: column(y),
    stride: column(stride),
    sizes: sizes && { width: column(sizes.width), height: column(sizes.height) },
    width,
    height,
  }
}

export interface LossInput {
  readonly g: GraphBuilder
  readonly specification: Specification
  /** All rows of the batch [R, width]. */
  readonly rows: Value
  /** Columns `from` to `to` of the rows that answer for true boxes, [P, to - from]. */
  readonly chosen: (from: number, to: number) => Value
  /** Cells of the chosen rows. */
  readonly centres: Centres
  /** Row of each positive, int64 [P, 1], and its row and class, int64 [P, 2]. */
  readonly index: Value
  readonly classIndex: Value
  /** 1 at the true class [P, C]; only for heads that ask for it. */
  readonly oneHot: Value | null
  /** Candidates of each box, which stand side by side in P, and for each the places of those that are the same cell, int64 [P, 4]; 1 and null for heads that do not choose. */
  readonly slots: number
  readonly rivals: Value | null
  /** True boxes [P, 4]. */
  readonly target: Value
  /** 0 for padding, [P, 1]. */
  readonly weight: Value
  /** 0 where nothing may be learnt, [R, 1]. */
  readonly rowWeight: Value
  /** 0 where nothing may be learnt of a class, [R, C]; null where every class was looked for everywhere. */
  readonly classWeight: Value | null
  /** One over the count of positives, a scalar. */
  readonly normalizer: Value
  /** What a `share` is at least: all of a step's together at least 1. */
  readonly leastShare: number
}

/** Scalars; their sum is minimised. */
export interface HeadLosses {
  readonly box: Value
  readonly classes: Value
  readonly object: Value
  /** What they were divided by where that is not given by `normalizer`: by it the micro-batches of a step count. */
  readonly share?: Value
}

export interface HeadKind {
  /** First column of the class logits, and count of columns that are not class logits. */
  readonly classesAt: (specification: Specification) => number
  readonly otherColumns: (specification: Specification) => number
  /** AdamW's peak learning rate: the one at which it learns best from some hundred labels (`bench:few-labels`), of its next of kin where it was not tried. */
  readonly rate: number
  /** Bias of the filter of a class that is new: the logit of a probability that is right for most cells. */
  readonly newClassBias: number
  /** Whether the loss wants `oneHot`. */
  readonly oneHot: boolean
  /** Whether each picture's losses are its own, over `normalizer` or by `share`: then a step's pictures may go one by one. */
  readonly apart?: boolean
  /** Which rows answer for which box, or could; adaptive training sample selection where left out. */
  readonly assign?: (truths: readonly Box[], cells: Cells) => Assignment[]
  /** Rows that answer for the boxes of a picture, where they are more than those of other heads. */
  readonly perPicture?: number
  /** Most candidates of a box, where the losses choose among them by what is predicted. */
  readonly slots?: (specification: Specification) => number
  /** Boxes [.., 4] x1 y1 x2 y2 in input pixels. */
  readonly boxes: (g: GraphBuilder, specification: Specification, rows: Value, centres: Centres) => Value
  /** Probabilities [.., C]. */
  readonly scores: (g: GraphBuilder, specification: Specification, rows: Value) => Value
  readonly losses: (input: LossInput) => HeadLosses
}

/** Columns of the last axis. */
export const columns = (g: GraphBuilder, rows: Value, from: number, to: number): Value =>
  g.slice(rows, [from], [to], [rows.shape.length - 1])

/** Boxes [.., 4] x1 y1 x2 y2 of distances [.., 4] to their left, top, right and bottom sides, in input pixels. */
export function boxesAround(g: GraphBuilder, distances: Value, { x, y }: Pick<Centres, 'x' | 'y'>): Value {
  const side = (i: number) => columns(g, distances, i, i + 1)
  return g.concat([g.sub(x, side(0)), g.sub(y, side(1)), g.add(x, side(2)), g.add(y, side(3))], distances.shape.length - 1)
}

/** The largest exponent of a size that is decoded: exp(8) strides is beyond any picture, and keeps float32 finite. */
const maxLogSize = 8
export const limitedExp = (g: GraphBuilder, value: Value): Value =>
  g.exp(g.op('Clip', [value, g.constant(-maxLogSize), g.constant(maxLogSize)]))
