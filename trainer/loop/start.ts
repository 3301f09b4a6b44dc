/** The model beside the training loop: what a training starts from, and the file that its state makes. */
import { MuninnError } from '../../protocol/errors.ts'
import { inEnglish, say } from '../../protocol/sentences.ts'
import { withClasses } from '../detector/classes.ts'
import { coreOf, resized } from '../detector/core.ts'
import { deployed } from '../detector/deploy.ts'
import { headOf } from '../detector/heads/table.ts'
import { plainNetwork } from '../detector/network.ts'
import { Random } from '../detector/random.ts'
import { type Specification, specificationOf } from '../detector/specification.ts'
import { firstNotFinite } from '../engine/finite.ts'
import type { Slot, StepGraph } from '../engine/step-graph.ts'
import type { TrainerState } from '../engine/trainer-state.ts'
import { floatTensor, type Graph } from '../onnx/graph.ts'
import { readOnnx } from '../onnx/read.ts'
import { writeOnnx } from '../onnx/write.ts'
import { markOf } from '../quantization/mark.ts'
import { layersOf, trainedParameters } from './layers.ts'

export interface StartOptions {
  /** A deployed file to go on from; null: the built-in network from scratch. */
  readonly base: Uint8Array | null
  readonly classes: readonly string[]
  /** Side of the square input in pixels; ignored for a base whose size is fixed by others' nodes. */
  readonly inputSize: number
  readonly seed?: number
  /** Called with words for people: what was decided and why. */
  readonly onLog?: (words: string) => void
}

export interface Start {
  readonly core: Graph
  readonly specification: Specification
  readonly width: number
  readonly height: number
}

/**
 * The core with the classes and the size of a training: rows of classes that the base knows are kept, new ones drawn.
 * @throws MuninnError BAD_MODEL where the base is an int8 file or no deployed model
 */
export function startFrom({ base, classes, inputSize, seed = 1, onLog = () => {} }: StartOptions): Start {
  if (!base) {
    const { graph, specification } = plainNetwork({ width: inputSize, height: inputSize, classes, random: new Random(seed) })
    return { core: graph, specification, width: inputSize, height: inputSize }
  }
  const graph = readOnnx(base)
  // The scores of the new training are worth something else.
  const { calibration: _, ...known } = specificationOf(graph)
  const mark = markOf(graph)
  if (mark)
    throw new MuninnError(
      'BAD_MODEL',
      `an int8 file cannot be trained: go on from the float file that it was made from (SHA-256 ${mark.float})`,
    )
  headOf(known)
  const { core, specification } = withClasses(coreOf(graph, known), known, classes, seed)
  const [, height, width] = core.inputs[0]!.shape.map(Number) as [number, number, number]
  const own = { core, specification, width, height }
  // A model whose pictures are wider than high stays so.
  if (Math.max(width, height) === inputSize) return own
  try {
    const sized = resized(core, specification, { width: inputSize, height: inputSize })
    return { core: sized, specification, width: inputSize, height: inputSize }
  } catch (error) {
    if (!(error instanceof MuninnError)) throw error
    onLog(inEnglish(say('log.own-size', { size: `${width} x ${height}`, cause: error.message })))
    return own
  }
}

/** All parameters of a core. */
export const trainable = (core: Graph): string[] => trainedParameters(layersOf(core))

/** The parameters, frozen ones too, and the running statistics. */
export function owned(core: Graph): string[] {
  const statistics = core.nodes.flatMap(({ op, inputs }) => (op === 'BatchNormalization' ? inputs.slice(3, 5) : []))
  return [...trainable(core), ...statistics.filter((name) => core.initializers.get(name)?.type === 'float32')]
}

/** The deployed file that a training with these options begins with: classes and size changed, nothing learnt. */
export function startingModel(options: StartOptions): Uint8Array {
  const start = startFrom(options)
  return writeOnnx(deployed(start.core, start.specification, start))
}

/** The deployed file with the averaged parameters of a state. @throws Error naming a tensor that is not finite: such a file never leaves */
export function exportModel(start: Start, step: StepGraph, state: TrainerState): Uint8Array {
  const bad = firstNotFinite(state.average, step.parameters) ?? firstNotFinite(state.statistics, step.statistics)
  if (bad) throw new Error(`${bad} holds NaN or infinity: the model is not written`)
  const initializers = new Map(start.core.initializers)
  const put = (slots: readonly Slot[], flat: Float32Array) => {
    for (const { name, shape, offset, size } of slots)
      initializers.set(name, floatTensor(shape, flat.subarray(offset, offset + size)))
  }
  put(step.parameters, state.average)
  put(step.statistics, state.statistics)
  return writeOnnx(deployed({ ...start.core, initializers }, start.specification, start))
}
