/** What an int8 file says of itself in its metadata: that it cannot be trained on, and which float file can. */
import { type Static, Type } from 'typebox'
import { parseJson } from '../../protocol/parse.ts'
import { Sha256 } from '../../protocol/primitives.ts'
import type { Graph } from '../onnx/graph.ts'

export const QuantizationMark = Type.Object(
  {
    v: Type.Literal(1),
    /** SHA-256 of the float file that it was made from. */
    float: Sha256,
  },
  { additionalProperties: false },
)
export type QuantizationMark = Static<typeof QuantizationMark>

const key = 'muninn-int8'

export function markOf(graph: Graph): QuantizationMark | null {
  const text = graph.metadata[key]
  return text === undefined ? null : parseJson(QuantizationMark, text, 'metadata of the int8 file')
}

export function withMark(graph: Graph, mark: QuantizationMark): Graph {
  return { ...graph, metadata: { ...graph.metadata, [key]: JSON.stringify(mark) } }
}
