/** Finds out why a step was not finite: which input, layer or number was the first with NaN or infinity. */
import { writeOnnx } from '../onnx/write.ts'
import type { Feeds } from './feeds.ts'
import { allFinite, firstNotFinite } from './finite.ts'
import { compileStep, type StepGraph } from './step-graph.ts'
import type { TrainerState } from './trainer-state.ts'
import type { SharedVectors, Vectors } from './vectors.ts'

export interface Suspects {
  readonly step: StepGraph
  readonly state: TrainerState
  readonly batches: readonly Feeds[]
  readonly rate: number
  /** Where the outputs of `run` can lie. */
  readonly vectors: Vectors
  /** Runs a graph once on a micro-batch at the present parameters, and fills the outputs. */
  readonly run: (model: Uint8Array, feeds: Feeds, outputs: SharedVectors) => Promise<void>
}

/** Words for people. The step is taken once more, by a graph that tells of every layer whether it is finite. */
export async function causeOf({ step, state, batches, rate, vectors, run }: Suspects): Promise<string> {
  const parameter = firstNotFinite(state.parameters, step.parameters)
  if (parameter) return `the parameter ${parameter} is NaN or infinite`
  for (const feeds of batches) {
    for (const [name, { data }] of Object.entries(feeds))
      if (data instanceof Float32Array && !allFinite(data)) return `the pictures' ${name} holds NaN or infinity`
  }
  const { graph, checked } = compileStep({ ...step.source, checked: true })
  const model = writeOnnx(graph)
  for (const feeds of batches) {
    const finite = vectors.zeros(checked.length)
    await run(model, feeds, { finite })
    const first = finite.findIndex((each) => each !== 0)
    if (first >= 0) return `${checked[first]} became NaN or infinite; a smaller learning rate than ${rate} helps`
  }
  return `the update with a learning rate of ${rate} made parameters NaN or infinite`
}
