/** A labelled picture as training sees it. */
import type { Label } from '../detector/targets.ts'

export interface LabelledSample {
  /** File with the picture. */
  readonly path: string
  /** Boxes in pixels of the picture, labels as indices of the run's classes. */
  readonly labels: readonly Label[]
  /** An earlier training has learnt from it: `replay` says how often it comes again. */
  readonly old?: boolean
  /** Labelled by a teacher, not by a person: `pseudo` says how often such pictures come. */
  readonly pseudo?: boolean
  /** Pictures of one group (a clip, a camera's day) are never cut apart; each is its own when left out. */
  readonly group?: string
}
