/** What a deployed file says of itself in its metadata: enough to run it, and to train it again from the file alone. */
import { type Static, Type } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import { parseJson } from '../../protocol/parse.ts'
import { ClassName } from '../../protocol/primitives.ts'
import type { Graph } from '../onnx/graph.ts'

/** The forms of raw rows that there are; heads/table.ts has one file for each. `fixed`: nodes that are only run, not trained. */
export const Head = Type.Enum(['distances', 'yolox', 'fixed'])
export type Head = Static<typeof Head>

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
    /** Convolutions with one filter per class: name of weight and bias. */
    classifiers: Type.Array(Type.Object({ weight: Type.String(), bias: Type.String() })),
    /** `per-class`: a row carries one class; `class-agnostic`: one box, one row, with all its classes. */
    nms: Type.Enum(['per-class', 'class-agnostic']),
    nmsIou: Type.Number({ minimum: 0, maximum: 1 }),
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
