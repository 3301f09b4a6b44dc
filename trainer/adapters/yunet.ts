/**
 * YuNet (libfacedetection, the face detector of OpenCV's zoo): of each grid outputs cls [1, cells, C], obj [1, cells, 1], bbox [1, cells, 4] and
 * perhaps kps [1, cells, 10]; BGR 0..255, letterbox. Boxes as YOLOX has them, score = sqrt(cls obj) (FaceDetectorYN). Key points are left out.
 */
import { columns } from '../detector/heads/head.ts'
import { type Adapter, asTrained, misfit } from './adapter.ts'
import { trainableCore } from './build-core.ts'
import type { Foreign } from './foreign.ts'
import type { OwnOutput } from './own-decoding.ts'
import { ownName } from './settle.ts'

const family = 'YuNet'

export const yunet: Adapter = async (foreign, options) => {
  const classes = options.classes.length
  const grids = gridsOf(foreign, classes)
  if (grids.length < 2)
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; of each grid [1, cells, ${classes}], [1, cells, 1], [1, cells, 4] and key points are wanted`,
    )
  const parts = grids.map((grid) => [grid.bbox, grid.obj, grid.cls].map((name) => foreign.mapBehind(name)))
  if (parts.some((each) => each.includes(undefined))) throw misfit(family, 'its outputs come from no maps [1, K, h, w]')
  const levels = parts as string[][]
  return await trainableCore({
    family,
    foreign,
    options,
    architecture: 'yunet',
    normalization: { ...asTrained, channels: 'bgr' },
    resize: 'letterbox',
    why: `${grids.length} grids with an output each for classes, objectness and boxes`,
    head: 'yunet',
    levels,
    fields: {
      strides: foreign.strides(
        levels.map(([box]) => box!),
        family,
      ),
      nms: 'class-agnostic',
      // FaceDetectorYN's default.
      nmsIou: 0.3,
    },
    classMaps: levels.map(([, , cls]) => ({ map: cls!, before: 0, after: 0 })),
    own: [
      grids.flatMap(({ cls, obj, bbox }, level): OwnOutput[] => [
        { output: cls, make: (g, { rows, ofLevel }) => ofLevel(g.sigmoid(columns(g, rows, 5, 5 + classes)), level) },
        { output: obj, make: (g, { rows, ofLevel }) => ofLevel(g.sigmoid(columns(g, rows, 4, 5)), level) },
        { output: bbox, make: (g, { rows, ofLevel }) => ofLevel(columns(g, rows, 0, 4), level) },
      ]),
    ],
  })
}

interface Outputs {
  readonly cls: string
  readonly obj: string
  readonly bbox: string
}

/** Outputs that belong to a grid, fine to coarse; none when some are left over. */
function gridsOf(foreign: Foreign, classes: number): Outputs[] {
  const outputs = foreign.outputs([1, undefined, undefined])
  const cells = (name: string) => foreign.shape(name)[1]!
  const grids = [...new Set(outputs.map(cells))]
    .sort((a, b) => b - a)
    .map((count) => {
      const here = outputs.filter((name) => cells(name) === count)
      const wide = (width: number) => here.filter((name) => foreign.shape(name)[2] === width)
      // With one class both have one column: told by their names, else by their order, classes first.
      const scores = wide(classes).sort((a, b) => Number(isObject(a)) - Number(isObject(b)))
      const cls = scores[0]
      const obj = wide(1).find((name) => name !== cls)
      // With four classes both have four columns; the scores come from a sigmoid.
      const bbox = wide(4).find((name) => name !== cls)
      return { cls, obj, bbox, left: here.length - 3 - wide(10).length }
    })
  const whole =
    outputs.length === foreign.graph.outputs.length && grids.every(({ cls, obj, bbox, left }) => cls && obj && bbox && left === 0)
  return whole ? grids.map(({ cls, obj, bbox }) => ({ cls: cls!, obj: obj!, bbox: bbox! })) : []
}

const isObject = (name: string) => /obj/i.test(ownName(name))
