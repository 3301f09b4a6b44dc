/**
 * Yolo-FastestV2 (dog-qiuqiu, 2021): BGR / 255 in, the picture stretched to the input; two grids of three anchors. Each grid ends in three maps:
 * boxes, objectness, and classes that the anchors of a cell have in common. Exports give them side by side after sigmoid and softmax,
 * [1, h, w, 5 x 3 + C], or the cells of both grids in one list, or the maps alone. They are decoded in none of them.
 */
import { columns } from '../detector/heads/head.ts'
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { type Adapter, asTrained, misfit } from './adapter.ts'
import { trainableCore } from './build-core.ts'
import type { Foreign } from './foreign.ts'
import type { Decoded, OwnOutput } from './own-decoding.ts'
import { toldPriors } from './published-priors.ts'

const family = 'Yolo-FastestV2'

/** Of COCO at 352 pixels; the authors' tool makes others of other pictures. */
const published = [12.64, 19.39, 37.88, 51.48, 55.71, 138.31, 126.91, 78.23, 131.57, 214.55, 279.92, 258.87]
const perCell = 3

export const yoloFastestV2: Adapter = async (foreign, options) => {
  const classes = options.classes.length
  const width = 5 * perCell + classes
  const grids = gridsOf(foreign, classes)
  if (!grids)
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; with ${classes} classes two of [1, h, w, ${width}], or of each grid [1, ${4 * perCell}, h, w], [1, ${perCell}, h, w] and [1, ${classes}, h, w], are wanted`,
    )
  const cells = grids.map(({ object }) => {
    const [, , rows, across] = foreign.shape(object) as [number, number, number, number]
    return { columns: across, rows, perCell }
  })
  return await trainableCore({
    family,
    foreign,
    options,
    architecture: 'yolo-fastestv2',
    normalization: { ...asTrained, channels: 'bgr', scale: 1 / 255 },
    resize: 'stretch',
    why: `two grids with ${perCell} anchors a cell, which have its ${classes} classes in common; not decoded inside: anchors as ${options.anchors ? 'told' : "published for COCO (others stand in its authors' .data file: --anchors)"}`,
    head: 'yolo-fastestv2',
    levels: grids.map(({ box, object, kinds }) => [box, object, { shared: kinds, anchors: perCell }]),
    fields: {
      strides: foreign.strides(
        grids.map(({ object }) => object),
        family,
      ),
      anchors: toldPriors(family, options.anchors ?? published, cells),
      nms: 'class-agnostic',
      nmsIou: 0.45,
    },
    classMaps: grids.map(({ kinds }) => ({ map: kinds, before: 0, after: 0, shared: true })),
    own: [ownOutputs(foreign, grids, width)],
  })
}

interface Grid {
  readonly box: string
  readonly object: string
  readonly kinds: string
}

/** The maps behind the outputs in their order, three a grid; undefined when they are others. */
function gridsOf(foreign: Foreign, classes: number): Grid[] | undefined {
  const maps = foreign.graph.outputs.flatMap(({ name }) => mapsBehind(foreign, name))
  if (maps.length !== 6) return undefined
  const grids = [0, 3].map((from): Grid => ({ box: maps[from]!, object: maps[from + 1]!, kinds: maps[from + 2]! }))
  const fits = grids.every(({ box, object, kinds }) => {
    const shapes = [box, object, kinds].map((map) => foreign.shape(map))
    const widths = shapes.map((shape) => shape[1]).join()
    return (
      widths === `${4 * perCell},${perCell},${classes}` &&
      shapes.every((shape) => shape.slice(2).join() === shapes[0]!.slice(2).join())
    )
  })
  return fits ? grids : undefined
}

/** Maps whose values are moved, joined, and put through sigmoid and softmax, in the order in which they are joined. */
function mapsBehind(foreign: Foreign, name: string): string[] {
  const parts = foreign.parts(name)
  if (parts.length > 1) return parts.flatMap((part) => mapsBehind(foreign, part))
  const map = foreign.mapBehind(name)
  return map === undefined ? [] : [map]
}

/** What its outputs are in terms of the rows; nothing to compare where they are the maps themselves. */
function ownOutputs(foreign: Foreign, grids: readonly Grid[], width: number): OwnOutput[] {
  const outputs = foreign.graph.outputs.map(({ name }) => name)
  const ofGrid = (g: GraphBuilder, decoded: Decoded, level: number) =>
    besideEachOther(g, decoded.ofLevel(decoded.rows, level), width)
  if (outputs.length === grids.length)
    return outputs.map((output, level) => ({ output, make: (g, decoded) => ofGrid(g, decoded, level) }))
  const [output] = outputs
  if (outputs.length > 1 || !output) return []
  return [
    {
      output,
      make: (g, decoded) =>
        g.concat(
          grids.map((_, level) => ofGrid(g, decoded, level)),
          0,
        ),
    },
  ]
}

/** Rows [cells x anchors, 5 + C] as [cells, 5 anchors + C]: all boxes, all objectness, and the classes once. */
function besideEachOther(g: GraphBuilder, rows: Value, width: number): Value {
  const byCell = g.reshape(rows, [-1, perCell, rows.shape[1]!])
  const part = (from: number, to: number) => g.reshape(g.slice(byCell, [from], [to], [2]), [-1, perCell * (to - from)])
  const kinds = columns(g, g.slice(byCell, [0], [1], [1]), 5, rows.shape[1]!)
  const softmax = g.op('Softmax', [g.reshape(kinds, [-1, width - 5 * perCell])], { attributes: { axis: 1 } })
  return g.concat([g.sigmoid(part(0, 4)), g.sigmoid(part(4, 5)), softmax], 1)
}
