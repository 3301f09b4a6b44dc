/** Small networks laid out as SSD and its kin are exported. */
import type { GraphBuilder, Value } from '../../trainer/graph/builder.ts'
import type { Graph } from '../../trainer/onnx/graph.ts'
import { cellsOf, type ForeignOptions, type Layout, Net, three } from './foreign-net.ts'

/** Sizes of the priors of a grid in pixels, and the priors themselves as shares of the picture: centre x, centre y, width, height. */
export const ssdSizes = [
  [10, 16, 24],
  [32, 48],
  [64, 96],
]
export function ssdPriors({ width, height }: Layout): number[][] {
  return three.flatMap((stride, i) => {
    const [columns, rows] = [Math.ceil(width / stride), Math.ceil(height / stride)]
    return cellsOf(width, height, stride).flatMap(([x, y]) =>
      ssdSizes[i]!.map((size) => [(x + 0.5) / columns, (y + 0.5) / rows, size / width, size / height]),
    )
  })
}

export function ssdNet(layout: ForeignOptions): Graph {
  const net = new Net(layout)
  const { g } = net
  const image = g.input('input', 'float32', [1, 3, layout.height, layout.width])
  const width = layout.classes + 1
  const heads = net.features(image, three).map((x, i) => {
    const perCell = ssdSizes[i]!.length
    const rows = (value: Value, k: number) => g.reshape(g.transpose(value, [0, 2, 3, 1]), [1, -1, k])
    const kinds = net.head(`cls${i}`, x, perCell * width, (channel) => (channel % width === 0 && !layout.loud ? 3 : 0))
    return { kinds: rows(kinds, width), location: rows(net.head(`reg${i}`, x, perCell * 4), 4) }
  })
  const softmax = g.op(
    'Softmax',
    [
      g.concat(
        heads.map(({ kinds }) => kinds),
        1,
      ),
    ],
    { attributes: { axis: 2 } },
  )
  const location = g.concat(
    heads.map((each) => each.location),
    1,
  )
  return net.done([softmax, decodedSsd(g, location, ssdPriors(layout))], ['scores', 'boxes'], layout.opset)
}

/** Corners in shares of the picture from offsets and priors (centre x, centre y, width, height in shares). */
function decodedSsd(g: GraphBuilder, location: Value, priors: readonly (readonly number[])[]): Value {
  const constant = (from: number) =>
    g.constant(
      priors.flatMap((each) => each.slice(from, from + 2)),
      [1, priors.length, 2],
    )
  const [places, sizes] = [constant(0), constant(2)]
  const part = (value: Value, from: number) => g.slice(value, [from], [from + 2], [2])
  const centre = g.add(g.mul(g.scale(part(location, 0), 0.1), sizes), places)
  const half = g.div(g.mul(g.exp(g.scale(part(location, 2), 0.2)), sizes), g.constant(2))
  return g.concat([g.sub(centre, half), g.add(centre, half)], 2)
}

/** Sides of Ultra-Light's priors, in pixels (Linzaer 2019). */
export const ultraLightSides = [
  [10, 16, 24],
  [32, 48],
  [64, 96],
  [128, 192, 256],
]

/** Ultra-Light as it is exported without post-processing: boxes are offsets. */
export function ultraLightNet(layout: ForeignOptions): Graph {
  const net = new Net(layout)
  const { g } = net
  const image = g.input('input', 'float32', [1, 3, layout.height, layout.width])
  const width = layout.classes + 1
  const rows = (value: Value, k: number) => g.reshape(g.transpose(value, [0, 2, 3, 1]), [1, -1, k])
  const heads = net.features(image, [8, 16, 32, 64]).map((x, i) => {
    const perCell = ultraLightSides[i]!.length
    const kinds = net.head(`cls${i}`, x, perCell * width, (channel) => (channel % width === 0 && !layout.loud ? 3 : 0))
    return [rows(kinds, width), rows(net.head(`reg${i}`, x, perCell * 4), 4)] as const
  })
  const all = (part: 0 | 1) =>
    g.concat(
      heads.map((each) => each[part]),
      1,
    )
  return net.done([g.op('Softmax', [all(0)], { attributes: { axis: 2 } }), all(1)], ['scores', 'boxes'], layout.opset)
}

export interface OffsetsExport {
  /** Of the features; where grids are of a single cell, the stride of a grid is not theirs. */
  readonly strides: readonly number[]
  readonly perCell: readonly number[]
  /** All numbers of all grids are joined before they are made rows (ssd.pytorch). */
  readonly flat?: boolean
  /** Without it scores are logits. */
  readonly softmax?: boolean
  readonly keyPoints?: boolean
  /** Priors to decode with inside: centre x, centre y, width, height in shares of the picture. */
  readonly priors?: readonly (readonly number[])[]
}

/** SSD as it is trained: a map of offsets and one of scores of each grid, decoded only where priors are given. */
export function offsetsNet(layout: ForeignOptions, { strides, perCell, flat, softmax, keyPoints, priors }: OffsetsExport): Graph {
  const net = new Net(layout)
  const { g } = net
  const image = g.input('input', 'float32', [1, 3, layout.height, layout.width])
  const features = net.features(image, strides, 60)
  const rows = (name: string, width: number) => {
    const maps = features.map((x, i) => net.head(`${name}${i}`, x, perCell[i]! * width))
    const parts = maps.map((map) => g.reshape(g.transpose(map, [0, 2, 3, 1]), flat ? [1, -1] : [1, -1, width]))
    const all = g.concat(parts, 1)
    return flat ? g.reshape(all, [1, -1, width]) : all
  }
  const offsets = rows('loc', 4)
  const loc = priors ? decodedSsd(g, offsets, priors) : offsets
  const logits = rows('conf', layout.classes + 1)
  const conf = softmax ? g.op('Softmax', [logits], { attributes: { axis: 2 } }) : logits
  return keyPoints
    ? net.done([loc, conf, rows('landmarks', 10)], ['loc', 'conf', 'landmarks'], layout.opset)
    : net.done([loc, conf], ['loc', 'conf'], layout.opset)
}
