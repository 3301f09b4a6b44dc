/**
 * YOLOX (Ge et al. 2021) as its authors export it, with or without decoding inside: BGR 0..255 in; per grid a Concat of
 * [box, sigmoid(objectness), sigmoid(classes)]. Rows are taken from before the sigmoids, so that the file can be trained on logits.
 */

import { columns } from '../detector/heads/head.ts'
import type { Value } from '../graph/builder.ts'
import { type Adapter, asTrained, misfit } from './adapter.ts'
import { trainableCore } from './build-core.ts'
import { asCentred, type OwnOutput } from './own-decoding.ts'

const family = 'YOLOX'

export const yolox: Adapter = async (foreign, options) => {
  const classes = options.classes.length
  const found = foreign.graph.nodes.flatMap(({ op, inputs }) => {
    if (op !== 'Concat' || inputs.length !== 3) return []
    const shapes = inputs.map((name) => foreign.shape(name))
    if (shapes.some((shape) => shape.length !== 4) || shapes[0]![1] !== 4 || shapes[1]![1] !== 1) return []
    const logits = inputs.slice(1).map((name) => foreign.behind(name, ['Sigmoid']))
    return [{ parts: [inputs[0]!, ...logits], classes: shapes[2]![1]! }]
  })
  // An optimiser may have put the nodes in another order.
  const heads = found.sort((a, b) => foreign.cells(b.parts[0]!) - foreign.cells(a.parts[0]!))
  if (heads.length === 0)
    throw misfit(family, `no Concat of [box, objectness, classes] was found; its outputs are ${foreign.describeOutputs()}`)
  const other = heads.find((each) => each.classes !== classes)
  if (other) throw misfit(family, `it has filters for ${other.classes} classes, and ${classes} names were given`)
  const output = foreign.output([1, undefined, 5 + classes])
  if (!output) throw misfit(family, `its outputs are ${foreign.describeOutputs()}; [1, cells, ${5 + classes}] is wanted`)
  const form = (box: (...from: Parameters<OwnOutput['make']>) => Value): OwnOutput => ({
    output,
    make: (g, decoded) => g.concat([box(g, decoded), g.sigmoid(columns(g, decoded.rows, 4, 5 + classes))], 1),
  })
  return await trainableCore({
    family,
    foreign,
    options,
    architecture: 'yolox',
    normalization: { ...asTrained, channels: 'bgr' },
    resize: 'letterbox',
    why: `${heads.length} grids of [box, objectness, classes] side by side`,
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
    classMaps: heads.map(({ parts }) => ({ map: parts[2]!, before: 0, after: 0 })),
    // Raw, as the demos decode it, or decoded inside (--decode_in_inference).
    own: [[form((g, { rows }) => columns(g, rows, 0, 4))], [form((g, { boxes }) => asCentred(g, boxes))]],
  })
}
