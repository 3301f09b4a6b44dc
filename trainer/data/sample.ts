/** A labelled picture as training sees it. */
import type { Box } from '../../protocol/boxes.ts'
import type { Label } from '../detector/targets.ts'

export interface LabelledSample {
  /** File with the picture. */
  readonly path: string
  /** Boxes in pixels of the picture, labels as indices of the run's classes. */
  readonly labels: readonly Label[]
  /** The base model's training has learnt from it: `replay` says how often it comes again. */
  readonly old?: boolean
  /** Labelled by a teacher, not by a person: `pseudo` says how often such pictures come. */
  readonly pseudo?: boolean
  /** Pictures of one group (a clip, a camera's day) are never cut apart; each is its own when left out. */
  readonly group?: string
}

/** A picture and whatever a box of it may reach beyond. */
const everywhere: Box = [-1e6, -1e6, 1e6, 1e6]

/**
 * Says that a class was not exhaustively labelled in a picture (LVIS, Gupta et al., CVPR 2019): boxes of it that are there are true, and
 * where none is, nothing is known. Training learns nothing of the class there, and a detection of it there is neither right nor wrong.
 */
export const notExhaustive = (label: number): Label => ({ box: everywhere, label, ignore: true, classOnly: true })

/** Whether some class was not looked for in some picture. */
export const isPartial = (samples: readonly Pick<LabelledSample, 'labels'>[]): boolean =>
  samples.some(({ labels }) => labels.some(({ classOnly }) => classOnly))

/** The objects of a picture, without regions that say nothing. */
export const objectsOf = ({ labels }: Pick<LabelledSample, 'labels'>): readonly Label[] => labels.filter(({ ignore }) => !ignore)
