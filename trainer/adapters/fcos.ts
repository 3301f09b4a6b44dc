/**
 * FCOS as torchvision has it, whole or its backbone and head without post-processing: logits of classes [1, cells, C], distances [1, cells, 4] that end in
 * a ReLU, and centre-ness [1, cells, 1]; RGB / 255 less ImageNet's mean, letterbox.
 */
import { columns } from '../detector/heads/head.ts'
import { type Adapter, misfit } from './adapter.ts'
import { trainableCore } from './build-core.ts'
import type { Foreign } from './foreign.ts'
import { listsInside } from './lists-inside.ts'
import { ownBoxes } from './own-decoding.ts'

const family = 'FCOS'

export const fcos: Adapter = async (whole, options) => {
  const classes = options.classes.length
  const inside = listsInside(whole)
  const foreign = inside ? whole.upTo(...inside.lists, ...inside.boxes) : whole
  const found = gridsOf(inside ? whole.upTo(...inside.lists) : whole, classes)
  if (!found)
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; with ${classes} classes [1, cells, ${classes}], [1, cells, 4] and [1, cells, 1] of maps of each grid, of which that of distances ends in a ReLU, are wanted`,
    )
  const { grids, outputs } = found
  return await trainableCore({
    family,
    foreign,
    options,
    architecture: 'fcos',
    normalization: { channels: 'rgb', scale: 1 / 255, mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] },
    resize: 'letterbox',
    why: `${grids.length} grids of ${classes} classes, distances and centre-ness; ${inside ? 'decoded inside, of which the file would choose the best' : "not decoded inside: distances are read as torchvision's, in strides from the corners of cells"}`,
    head: 'fcos',
    levels: grids.map(({ distances, centre, kinds }) => [distances, centre, kinds]),
    fields: {
      strides: foreign.strides(
        grids.map(({ kinds }) => kinds),
        family,
      ),
      // torchvision's points stand as many whole pixels apart as the picture has room for.
      cellOffset: 0,
      evenCells: true,
      wholeSteps: true,
      nms: 'per-class',
      nmsIou: 0.6,
    },
    classMaps: grids.map(({ kinds }) => ({ map: kinds, before: 0, after: 0 })),
    own: [
      [
        { output: outputs.distances, make: (g, { rows }) => g.relu(columns(g, rows, 0, 4)) },
        { output: outputs.centre, make: (g, { rows }) => columns(g, rows, 4, 5) },
        { output: outputs.kinds, make: (g, { rows }) => columns(g, rows, 5, 5 + classes) },
        ...ownBoxes(inside?.boxes ?? []),
      ],
    ],
  })
}

type Three = Readonly<Record<'distances' | 'centre' | 'kinds', string>>

/** The maps of each grid, and the outputs that are joined of them. */
function gridsOf(foreign: Foreign, classes: number): { grids: Three[]; outputs: Three } | undefined {
  const [first, ...more] = foreign.graph.outputs.map(({ name }) => name)
  const lists = [first, ...more].filter((name) => name !== undefined && foreign.shape(name).length === 3)
  if (first === undefined || lists.length !== 3 || more.length !== 2) return undefined
  const endsInRelu = (name: string) => foreign.parts(name).every((part) => foreign.maker(foreign.behind(part))?.op === 'Relu')
  const distances = foreign.outputs([1, undefined, 4]).find(endsInRelu)
  // With one class both are as wide; classes come first, as torchvision has them.
  const kinds = foreign.outputs([1, undefined, classes]).find((name) => name !== distances)
  const centre = foreign.outputs([1, undefined, 1]).find((name) => name !== kinds)
  if (!distances || !kinds || !centre) return undefined
  const outputs = { distances, centre, kinds }
  const maps = (name: string) => foreign.parts(name).map((part) => foreign.behind(part, ['Relu']))
  const [far, near, all] = [maps(distances), maps(centre), maps(kinds)]
  const grids = all.map((map, i): Three => ({ distances: far[i] ?? '', centre: near[i] ?? '', kinds: map }))
  const isMap = (map: string, channels: number) => {
    const shape = map === '' ? [] : foreign.shape(map)
    return shape.length === 4 && shape[0] === 1 && shape[1] === channels
  }
  const fits = grids.every((each) => isMap(each.distances, 4) && isMap(each.centre, 1) && isMap(each.kinds, classes))
  return fits && far.length === all.length && near.length === all.length ? { grids, outputs } : undefined
}
