/** A model on held-out pictures, measured for a report: numbers for programs, and what the page shows. */
import type { LabelledSample } from '../data/sample.ts'
import { type Analysed, analyse } from '../evaluation/analysis.ts'
import { measureModel } from '../evaluation/measure.ts'
import type { ReportContent } from './content.ts'
import { showWorst } from './pictures.ts'

export interface MeasuredForReport {
  readonly analysed: Analysed
  readonly milliseconds: number
  readonly shown: NonNullable<ReportContent['analysed']>
}

export async function measureForReport(
  model: Uint8Array,
  {
    samples,
    classes,
    threads,
    signal,
    onPicture,
  }: {
    samples: readonly (LabelledSample & { readonly name: string })[]
    classes: readonly string[]
    threads?: number
    signal?: AbortSignal
    onPicture?: (done: number) => void
  },
): Promise<MeasuredForReport> {
  const { pictures, milliseconds } = await measureModel(model, { samples, classes, threads, signal, onPicture })
  const analysed = analyse(pictures, { classes })
  const names = samples.map(({ name }) => name)
  return { analysed, milliseconds, shown: { ...analysed, worst: await showWorst(analysed.worst, { samples, names, classes }) } }
}
