/** Every head that can be trained, by the name that a specification gives it. */
import { MuninnError } from '../../../protocol/errors.ts'
import type { Head, Specification } from '../specification.ts'
import { anchors } from './anchors.ts'
import { distances } from './distances.ts'
import { distribution, picodet } from './distribution.ts'
import { fastestdet } from './fastestdet.ts'
import type { HeadKind } from './head.ts'
import { priors } from './priors.ts'
import { yolov8 } from './yolov8.ts'
import { yolox } from './yolox.ts'
import { yunet } from './yunet.ts'

const heads: Readonly<Record<Exclude<Head, 'fixed'>, HeadKind>> = {
  distances,
  yolox,
  fastestdet,
  distribution,
  picodet,
  yolov8,
  yunet,
  anchors,
  priors,
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
