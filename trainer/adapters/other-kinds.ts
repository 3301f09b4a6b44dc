/** Networks that are no detectors at all: people are told so in a sentence, instead of what each family of detectors misses in them. */
import { elementCount } from '../onnx/graph.ts'
import type { Foreign } from './foreign.ts'

/** Finest grid of known detectors; what has finer maps alone marks pixels. */
const finestStride = 4

/** What a network is that no adapter takes, where its outputs cannot hold boxes; undefined where they can. */
export function otherKind(foreign: Foreign): string | undefined {
  const { input } = foreign
  const shapes = foreign.graph.outputs.map(({ name }) => foreign.shape(name))
  const gives = `it gives ${foreign.describeOutputs()}`
  // A row of numbers, however many ones are around it.
  if (shapes.every((shape) => Math.max(...shape, 1) === elementCount(shape)))
    return `this is no object detector: ${gives}, one row of numbers for the whole picture, as classifiers and embeddings do, and no boxes`
  const marks = (shape: readonly number[]) =>
    shape.length >= 3 &&
    shape.at(-1)! >= Math.ceil(input.width / finestStride) &&
    shape.at(-2)! >= Math.ceil(input.height / finestStride)
  if (shapes.every(marks))
    return `this is no object detector: ${gives}, numbers for each pixel, as networks for segmentation, depth and key points do, and no boxes`
  return undefined
}
