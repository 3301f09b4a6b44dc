/** Every head that can be trained, by the name that a specification gives it. */
import { MuninnError } from '../../../protocol/errors.ts'
import type { Head, Specification } from '../specification.ts'
import { anchors, yoloFastestV2 } from './anchors.ts'
import { distances } from './distances.ts'
import { distribution, nanodetPlus, picodet } from './distribution.ts'
import { fastestdet } from './fastestdet.ts'
import { fcos } from './fcos.ts'
import { efficientdet, retinanet } from './focal.ts'
import type { HeadKind } from './head.ts'
import { priors } from './priors.ts'
import { rtmdet } from './rtmdet.ts'
import { yolov4 } from './yolov4.ts'
import { yolov8 } from './yolov8.ts'
import { yolox } from './yolox.ts'
import { yunet } from './yunet.ts'

const heads: Readonly<Record<Exclude<Head, 'fixed'>, HeadKind>> = {
  distances,
  yolox,
  fastestdet,
  distribution,
  'nanodet-plus': nanodetPlus,
  picodet,
  rtmdet,
  yolov8,
  yunet,
  anchors,
  'yolo-fastestv2': yoloFastestV2,
  yolov4,
  priors,
  retinanet,
  efficientdet,
  fcos,
}

/** @throws MuninnError BAD_MODEL for a model that can only be run */
export function headOf({ head, architecture }: Pick<Specification, 'head' | 'architecture'>): HeadKind {
  if (head === 'fixed')
    throw new MuninnError('BAD_MODEL', `a ${architecture} model can be run, not trained: its head has no training loss here`)
  return heads[head]
}

/** Numbers in a row. */
export const rowWidth = (specification: Specification): number =>
  headOf(specification).otherColumns(specification) + specification.classes.length

/** Cells that answer for the boxes of a picture, where they are fixed before the step. */
const cellsPerPicture = 96
/** Room for them in a pass of few pictures: one may hold many boxes. */
const leastCells = 384
/** Boxes of a picture that have room for their candidates, which are many: at most, and at least. */
const mostBoxes = 64
const leastBoxes = 8

/** Room for boxes in a picture made of such pictures: a mosaic shows parts of four. */
export const roomFor = (samples: readonly { labels: readonly unknown[] }[]): number =>
  Math.min(mostBoxes, Math.max(leastBoxes, 2 * samples.reduce((most, { labels }) => Math.max(most, labels.length), 0)))

/**
 * Rows for what answers for boxes in a pass of so many pictures, and how targets are made for this head.
 * @param room for boxes in a picture, for heads that choose among their candidates
 */
export function targetOptionsOf(specification: Specification, pictures: number, room = mostBoxes) {
  const { assign, oneHot, slots, perPicture = cellsPerPicture } = headOf(specification)
  const candidates = slots?.(specification)
  const positives = candidates ? candidates * room * pictures : Math.max(leastCells, perPicture * pictures)
  return { classes: specification.classes.length, positives, oneHot, assign, slots: candidates }
}
