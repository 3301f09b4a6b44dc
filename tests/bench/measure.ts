/** mAP of a deployed file on held-out pictures, with bootstrap intervals. */
import { readFile } from 'node:fs/promises'
import { type Interval, intervals, score } from '../../trainer/evaluation/compare.ts'
import { measureModel } from '../../trainer/evaluation/measure.ts'
import type { LabelledPicture } from '../support/truth-labeller.ts'

export interface Measured {
  readonly mAP50: string
  readonly mAP5095: string
}

const told = ({ value, low, high }: Interval) => `${value.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`

export async function measure(
  model: string,
  pictures: readonly LabelledPicture[],
  classes: readonly string[],
): Promise<Measured> {
  const samples = pictures.map(({ path, boxes }) => ({
    path,
    labels: boxes.map(({ box, label }) => ({ box, label: classes.indexOf(label) })),
  }))
  const { pictures: paired } = await measureModel(await readFile(model), { samples, classes })
  const found = intervals(score(paired, classes.length))
  return { mAP50: told(found.mAP50), mAP5095: told(found['mAP50-95']) }
}
