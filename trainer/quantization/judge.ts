/** An int8 file beside its float file: on the same held-out pictures, and in turn on the same clock. */
import { availableParallelism } from 'node:os'
import { fitPicture } from '../../protocol/letterbox.ts'
import { decodePicture } from '../data/picture.ts'
import type { LabelledSample } from '../data/sample.ts'
import { specificationOf } from '../detector/specification.ts'
import { precisionOf, type Scored } from '../evaluation/compare.ts'
import { readOnnx } from '../onnx/read.ts'
import { type Pace, race } from './race.ts'
import { decideQuantization, type QuantizationVerdict } from './verdict.ts'

export interface FileOnPictures {
  readonly model: Uint8Array
  /** On the held-out pictures, the same for both files. */
  readonly scored: Scored
}

export interface JudgedFile {
  readonly mAP50: number
  readonly 'mAP50-95': number
  /** Median at batch 1 with one thread. */
  readonly milliseconds: number
  readonly bytes: number
}

export interface JudgedQuantization extends QuantizationVerdict {
  readonly float: JudgedFile
  readonly int8: JudgedFile
  readonly paces: readonly Pace[]
}

/** What devices are given: one core, or two. */
const threadSettings = [1, 2]

/** @param sample whose picture both files are timed on @param threads cores that may be kept busy: devices with more are left out */
export async function judgeQuantization(
  { float, int8 }: { float: FileOnPictures; int8: FileOnPictures },
  { sample, threads: most = availableParallelism(), signal }: { sample: LabelledSample; threads?: number; signal?: AbortSignal },
): Promise<JudgedQuantization> {
  const graph = readOnnx(float.model)
  const shape = graph.inputs[0]!.shape.map(Number)
  const [, height, width] = shape
  const { resize } = specificationOf(graph)
  const image = fitPicture(await decodePicture(sample.path), { width: width!, height: height!, resize }).tensor
  const paces: Pace[] = []
  for (const threads of threadSettings.filter((each) => each <= most))
    paces.push(await race([float.model, int8.model], { threads, image, shape, signal }))
  const told = ({ model, scored }: FileOnPictures, index: number): JudgedFile => ({
    ...precisionOf(scored),
    milliseconds: paces[0]!.milliseconds[index]!,
    bytes: model.length,
  })
  const [a, b] = [told(float, 0), told(int8, 1)]
  return { float: a, int8: b, paces, ...decideQuantization({ pictures: float.scored.pictures, float: a, int8: b, paces }) }
}
