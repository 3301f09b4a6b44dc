/** A labelled picture as training sees it. */
import type { Label } from '../detector/targets.ts'

export interface LabelledSample {
  /** File with the picture. */
  readonly path: string
  /** Boxes in pixels of the picture, labels as indices of the run's classes. */
  readonly labels: readonly Label[]
  /** An earlier training has learnt from it: `replay` says how often it comes again. */
  readonly old?: boolean
}
