/** The geometry of a convolution node, in two spatial dimensions. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import type { Node } from '../onnx/graph.ts'
import { intOf, intsOf, resolvePads, transposedPads } from '../onnx/shapes.ts'
import { pad } from './shape.ts'

/** Two spatial dimensions; pads are top, left, bottom, right. */
export interface Geometry {
  readonly group: number
  readonly strides: readonly [number, number]
  readonly dilations: readonly [number, number]
  readonly pads: readonly [number, number, number, number]
}

export function geometryOf(node: Node, x: Value, w: Value): Geometry {
  if (x.shape.length !== 4)
    throw new Error(`${node.op} ${node.name} has ${x.shape.length - 2} spatial dimensions; two are supported`)
  const [top, left, bottom, right] = resolvePads(node.attributes, x.shape.slice(2), w.shape.slice(2))
  const [sy, sx] = intsOf(node.attributes.strides) ?? [1, 1]
  const [dy, dx] = intsOf(node.attributes.dilations) ?? [1, 1]
  return {
    group: intOf(node.attributes.group, 1),
    strides: [sy!, sx!],
    dilations: [dy!, dx!],
    pads: [top!, left!, bottom!, right!],
  }
}

/** That of the convolution which leads from the output y of a ConvTranspose back to the size of its input. */
export function transposedGeometry(node: Node, x: Value, w: Value, y: Value): Geometry {
  const plain = geometryOf(node, x, w)
  const pads = transposedPads(node.attributes, x.shape.slice(2), w.shape.slice(2), y.shape.slice(2))
  return { ...plain, pads: [pads[0]!, pads[1]!, pads[2]!, pads[3]!] }
}

export const isPlain = ({ dilations }: Geometry) => dilations[0] === 1 && dilations[1] === 1

export const isDepthwise = (x: Value, w: Value, { group }: Geometry): boolean =>
  group > 1 && group === x.shape[1] && group === w.shape[0]

/** Crops x where a pad is negative, for Conv takes none. */
export function cropped(g: GraphBuilder, x: Value, pads: Geometry['pads']): { x: Value; pads: [number, number, number, number] } {
  const crop = pads.map((each) => Math.min(each, 0))
  const out = pad(g, pad(g, x, 2, crop[0]!, crop[2]!), 3, crop[1]!, crop[3]!)
  return { x: out, pads: pads.map((each) => Math.max(each, 0)) as [number, number, number, number] }
}
