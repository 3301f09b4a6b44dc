/**
 * FastestDet (dog-qiuqiu, 2022): BGR / 255 in, the picture stretched to the input; one grid, output [1, 5 + C, h, w] of
 * [sigmoid objectness, x, y, w, h, softmax classes]. Rows are taken from before sigmoid and softmax.
 */

import { columns } from '../detector/heads/head.ts'
import { type Adapter, asTrained, misfit } from './adapter.ts'
import { trainableCore } from './build-core.ts'

const family = 'FastestDet'

export const fastestdet: Adapter = async (foreign, options) => {
  const classes = options.classes.length
  const output = foreign.output([1, 5 + classes, undefined, undefined])
  if (!output)
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; with ${classes} classes [1, ${5 + classes}, h, w] is wanted`,
    )
  const parts = foreign.parts(output).map((name) => foreign.mapBehind(name))
  const [object, box, kinds] = parts
  const widths = parts.map((name) => (name ? foreign.shape(name)[1] : 0))
  if (!object || !box || !kinds || widths.join() !== `1,4,${classes}`)
    throw misfit(family, 'its output is no Concat of [objectness, box, classes] with 1, 4 and a channel per class')
  return await trainableCore({
    family,
    foreign,
    options,
    architecture: 'fastestdet',
    normalization: { ...asTrained, channels: 'bgr', scale: 1 / 255 },
    resize: 'stretch',
    why: `one grid of ${5 + classes} channels: objectness, box, classes`,
    head: 'fastestdet',
    levels: [[object, box, kinds]],
    fields: { strides: foreign.strides([object], family), nms: 'class-agnostic', nmsIou: 0.45 },
    classMaps: [{ map: kinds, before: 0, after: 0 }],
    own: [
      [
        {
          output,
          make: (g, { rows }) => {
            const softmax = g.op('Softmax', [columns(g, rows, 5, 5 + classes)], { attributes: { axis: 1 } })
            return g.transpose(g.concat([g.sigmoid(columns(g, rows, 0, 1)), columns(g, rows, 1, 5), softmax], 1), [1, 0])
          },
        },
      ],
    ],
  })
}
