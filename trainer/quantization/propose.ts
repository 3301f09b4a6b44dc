/** Makes an int8 file, measures both files on held-out pictures, and says which of the two is proposed. */
import type { LabelledSample } from '../data/sample.ts'
import { score } from '../evaluation/compare.ts'
import { measureModel } from '../evaluation/measure.ts'
import { type FileOnPictures, type JudgedQuantization, judgeQuantization } from './judge.ts'
import { type Quantized, type QuantizeProgress, quantize } from './quantize.ts'

export interface Proposal {
  readonly made: Quantized
  readonly files: { readonly float: FileOnPictures; readonly int8: FileOnPictures }
  readonly judged: JudgedQuantization
}

interface Pictures {
  readonly samples: readonly LabelledSample[]
  readonly classes: readonly string[]
}

/** @throws MuninnError NOT_READY without pictures, BAD_MODEL where there is nothing to quantise */
export async function propose(
  model: Uint8Array,
  {
    training,
    heldOut: { samples, classes },
    threads,
    signal,
    onProgress,
  }: {
    /** Never the held-out ones: what is judged must not have been chosen by them. */
    training: Pictures
    heldOut: Pictures
    threads?: number
    signal?: AbortSignal
    onProgress?: (progress: QuantizeProgress) => void
  },
): Promise<Proposal> {
  const made = await quantize(model, { ...training, threads, signal, onProgress })
  const measured = async (file: Uint8Array, words: string): Promise<FileOnPictures> => {
    const onPicture = (step: number) => onProgress?.({ step, steps: samples.length, words })
    const { pictures } = await measureModel(file, { samples, classes, threads, signal, onPicture })
    return { model: file, scored: score(pictures, classes.length) }
  }
  const files = { float: await measured(model, 'judging float'), int8: await measured(made.model, 'judging int8') }
  const sample = samples[0] ?? training.samples[0]!
  return { made, files, judged: await judgeQuantization(files, { sample, threads, signal }) }
}
