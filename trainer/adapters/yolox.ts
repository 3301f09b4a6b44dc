/**
 * YOLOX (Ge et al. 2021) as its authors export it, with or without decoding inside: BGR 0..255 in; per grid a Concat of
 * [box, sigmoid(objectness), sigmoid(classes)]. Rows are taken from before the sigmoids, so that the file can be trained on logits.
 * EdgeYOLO (Liu et al. 2023) has one convolution for box and objectness, and the sigmoids behind the Concat; made for 8-bit numbers it gives
 * its maps alone: those of all boxes, then of objectness, then of classes.
 */

import { columns } from '../detector/heads/head.ts'
import type { Value } from '../graph/builder.ts'
import { type Adapter, asTrained, misfit } from './adapter.ts'
import { trainableCore } from './build-core.ts'
import type { Foreign } from './foreign.ts'
import { asCentred, type OwnOutput } from './own-decoding.ts'

const family = 'YOLOX'

export const yolox: Adapter = async (foreign, options) => {
  const classes = options.classes.length
  const apart = mapsApart(foreign)
  const heads = apart ?? joinedMaps(foreign)
  if (heads.length === 0)
    throw misfit(family, `no Concat of [box, objectness, classes] was found; its outputs are ${foreign.describeOutputs()}`)
  const other = heads.find((each) => each.classes !== classes)
  if (other) throw misfit(family, `it has filters for ${other.classes} classes, and ${classes} names were given`)
  return await trainableCore({
    family,
    foreign,
    options,
    architecture: 'yolox',
    normalization: { ...asTrained, channels: 'bgr' },
    resize: 'letterbox',
    why: `${heads.length} grids of [box, objectness, classes] ${apart ? 'in a map each, not decoded' : 'side by side'}`,
    head: 'yolox',
    levels: heads.map(({ parts }) => parts),
    fields: {
      strides: foreign.strides(
        heads.map(({ parts }) => parts[0]!),
        family,
      ),
      nms: 'class-agnostic',
      nmsIou: 0.45,
    },
    classMaps: heads.map(({ parts }) => ({ map: parts.at(-1)!, before: 0, after: 0 })),
    // Maps that are outputs themselves leave nothing to compare.
    own: apart ? [[]] : ownForms(foreign, classes),
  })
}

interface GridMaps {
  /** Box, objectness and classes, or the first two in one. */
  readonly parts: readonly string[]
  readonly classes: number
}

/** Of each Concat of a grid's maps what is joined there, before the sigmoids; fine to coarse. */
function joinedMaps(foreign: Foreign): GridMaps[] {
  const found = foreign.graph.nodes.flatMap(({ op, inputs }): GridMaps[] => {
    if (op !== 'Concat') return []
    const shapes = inputs.map((name) => foreign.shape(name))
    const before = shapes.slice(0, -1).map((shape) => shape[1])
    if (shapes.some((shape) => shape.length !== 4) || (before.join() !== '4,1' && before.join() !== '5')) return []
    const logits = inputs.slice(1).map((name) => foreign.behind(name, ['Sigmoid']))
    return [{ parts: [inputs[0]!, ...logits], classes: shapes.at(-1)![1]! }]
  })
  // An optimiser may have put the nodes in another order.
  return found.sort((a, b) => foreign.cells(b.parts[0]!) - foreign.cells(a.parts[0]!))
}

/** Three grids whose nine maps are the outputs, each from a convolution; undefined when they are others. */
function mapsApart(foreign: Foreign): GridMaps[] | undefined {
  const maps = foreign.graph.outputs.map(({ name }) => foreign.behind(name))
  if (maps.length !== 9 || maps.some((map) => foreign.maker(map)?.op !== 'Conv' || foreign.shape(map).length !== 4))
    return undefined
  const grids = [0, 1, 2].map((level) => [maps[level]!, maps[level + 3]!, maps[level + 6]!])
  const fits = grids.every(([box, object, kinds]) => {
    const cells = [box!, object!, kinds!].map((map) => foreign.cells(map))
    return foreign.shape(box!)[1] === 4 && foreign.shape(object!)[1] === 1 && new Set(cells).size === 1
  })
  return fits ? grids.map((parts) => ({ parts, classes: foreign.shape(parts[2]!)[1]! })) : undefined
}

/** Raw, as the demos decode it, or decoded inside (--decode_in_inference). @throws MuninnError BAD_MODEL */
function ownForms(foreign: Foreign, classes: number): OwnOutput[][] {
  const output = foreign.output([1, undefined, 5 + classes])
  if (!output) throw misfit(family, `its outputs are ${foreign.describeOutputs()}; [1, cells, ${5 + classes}] is wanted`)
  const form = (box: (...from: Parameters<OwnOutput['make']>) => Value): OwnOutput => ({
    output,
    make: (g, decoded) => g.concat([box(g, decoded), g.sigmoid(columns(g, decoded.rows, 4, 5 + classes))], 1),
  })
  return [[form((g, { rows }) => columns(g, rows, 0, 4))], [form((g, { boxes }) => asCentred(g, boxes))]]
}
