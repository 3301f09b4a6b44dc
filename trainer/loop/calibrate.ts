/** Makes a score mean a probability: fits it on labelled pictures that were not trained on, and writes it into the file. */
import type { LabelledSample } from '../data/sample.ts'
import { coreOf } from '../detector/core.ts'
import { deployed } from '../detector/deploy.ts'
import { type Specification, specificationOf } from '../detector/specification.ts'
import { calibrationOf } from '../evaluation/calibration.ts'
import { score } from '../evaluation/compare.ts'
import { fitScales, withScales } from '../evaluation/fit-calibration.ts'
import { measureModel } from '../evaluation/measure.ts'
import { readOnnx } from '../onnx/read.ts'
import { writeOnnx } from '../onnx/write.ts'

export interface Calibrated {
  readonly model: Uint8Array
  readonly specification: Specification
  /** Expected calibration error on pictures that the fit has not seen (two folds), without and with it. */
  readonly before: number
  readonly after: number
}

/** The file with fitted scores, or as it was where that does not make the error on unseen pictures smaller. */
export async function calibrated(
  model: Uint8Array,
  { samples, threads, signal }: { samples: readonly LabelledSample[]; threads?: number; signal?: AbortSignal },
): Promise<Calibrated> {
  const graph = readOnnx(model)
  const { calibration: _, ...specification } = specificationOf(graph)
  const { classes } = specification
  const core = coreOf(graph, specification)
  const [, height, width] = graph.inputs[0]!.shape.map(Number)
  const size = { width: width!, height: height! }
  const raw = writeOnnx(deployed(core, specification, size))
  const { pictures } = await measureModel(raw, { samples, classes, threads, signal })
  const rankings = (some: typeof pictures) => score(some, classes.length).rankings
  const half = (parity: number) => pictures.filter((_, i) => i % 2 === parity)
  const errors = [0, 1].map((parity) => {
    const unseen = rankings(half(1 - parity))
    return {
      before: calibrationOf(unseen).ECE,
      after: calibrationOf(withScales(unseen, fitScales(rankings(half(parity))))).ECE,
    }
  })
  const mean = (of: 'before' | 'after') => (errors[0]![of] + errors[1]![of]) / 2
  const [before, after] = [mean('before'), mean('after')]
  if (after >= before) return { model: raw, specification, before, after: before }
  const fitted: Specification = { ...specification, calibration: fitScales(rankings(pictures)) }
  return { model: writeOnnx(deployed(core, fitted, size)), specification: fitted, before, after }
}
