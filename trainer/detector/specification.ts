/** What a deployed file says of itself in its metadata: enough to run it, and to train it again from the file alone. */
import { type Static, Type } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import { parseJson } from '../../protocol/parse.ts'
import { ClassName } from '../../protocol/primitives.ts'
import type { Graph } from '../onnx/graph.ts'

/** The forms of raw rows that there are; heads/table.ts has one file for each. `fixed`: nodes that are only run, not trained. */
export const Head = Type.Enum([
  'distances',
  'yolox',
  'fastestdet',
  'distribution',
  'nanodet-plus',
  'picodet',
  'rtmdet',
  'yolov8',
  'yunet',
  'anchors',
  'yolo-fastestv2',
  'yolov4',
  'priors',
  'retinanet',
  'efficientdet',
  'fcos',
  'fixed',
])
export type Head = Static<typeof Head>

/** A convolution with a filter per class: its channels are `anchors` blocks of `before` others, one per class, `after` others. */
const Classifier = Type.Object({
  weight: Type.String(),
  bias: Type.String(),
  anchors: Type.Optional(Type.Integer({ minimum: 1 })),
  before: Type.Optional(Type.Integer({ minimum: 0 })),
  after: Type.Optional(Type.Integer({ minimum: 0 })),
  /** The filter of a class sees that class's own channel alone: `group` is the count of classes. */
  depthwise: Type.Optional(Type.Boolean()),
})
export type Classifier = Static<typeof Classifier>

export const Specification = Type.Object(
  {
    v: Type.Literal(1),
    architecture: Type.String(),
    classes: Type.Array(ClassName, { minItems: 1 }),
    resize: Type.Enum(['letterbox', 'stretch']),
    head: Head,
    /** Name of the raw rows [batch, cells, width] in the graph; for `fixed` the boxes [cells, 4]. */
    rows: Type.String(),
    /** For `fixed`: name of the scores [cells, classes]. */
    scores: Type.Optional(Type.String()),
    /** Name of the feature map [batch, D, h, w] that the embedding is pooled from. */
    feature: Type.String(),
    strides: Type.Array(Type.Integer({ minimum: 1 })),
    /** Where a cell's centre lies between its corner (0) and the next cell's (1), in strides; half when left out. */
    cellOffset: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    /** The cells of a grid share the picture evenly, where its size is no multiple of the stride. */
    evenCells: Type.Optional(Type.Boolean()),
    /** With `evenCells`: they are as many whole pixels wide as they have room for. */
    wholeSteps: Type.Optional(Type.Boolean()),
    /** Centres of cells that lie beyond the picture's edge are put onto it. */
    clampedCells: Type.Optional(Type.Boolean()),
    /** For heads with several rows a cell: width and height of each of them in input pixels, by grid. */
    anchors: Type.Optional(Type.Array(Type.Array(Type.Tuple([Type.Number(), Type.Number()]), { minItems: 1 }))),
    /** For `yolov4`: how many cells a centre moves while its sigmoid goes from 0 to 1, by grid; 1 when left out. */
    centreScales: Type.Optional(Type.Array(Type.Number({ exclusiveMinimum: 0 }))),
    /** For `priors`: what centres and sizes are multiplied with (SSD's "variances"). */
    variances: Type.Optional(Type.Tuple([Type.Number(), Type.Number()])),
    /** For `distribution`: numbers of which each side is the expectation, reg_max + 1; 1: the side itself, in strides. */
    bins: Type.Optional(Type.Integer({ minimum: 1 })),
    /** What gives a class its filter; empty where it was not found, and then the classes stay as they are. */
    classifiers: Type.Array(Classifier),
    /** `per-class`: a row carries one class; `class-agnostic`: one box, one row, with all its classes. */
    nms: Type.Enum(['per-class', 'class-agnostic']),
    nmsIou: Type.Number({ minimum: 0, maximum: 1 }),
    /** What the logit of a score is multiplied by and what is added to it, by class, so that a score means a probability. */
    calibration: Type.Optional(Type.Array(Type.Object({ scale: Type.Number({ exclusiveMinimum: 0 }), shift: Type.Number() }))),
  },
  { additionalProperties: false },
)
export type Specification = Static<typeof Specification>

const key = 'muninn'

/** @throws MuninnError BAD_MODEL when the file was not made by us */
export function specificationOf(graph: Graph): Specification {
  const text = graph.metadata[key]
  if (text === undefined)
    throw new MuninnError(
      'BAD_MODEL',
      "the file does not say what it is: turn a foreign detector into a deployed model with 'muninn adopt' first",
    )
  return parseJson(Specification, text, 'metadata of the ONNX file')
}

export function withSpecification(graph: Graph, specification: Specification): Graph {
  return { ...graph, metadata: { ...graph.metadata, [key]: JSON.stringify(specification) } }
}
