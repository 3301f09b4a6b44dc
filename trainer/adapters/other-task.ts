/** Models that are no detectors, or that find something else than upright boxes: a sentence that says so, instead of what each adapter misses. */
import { elementCount } from '../onnx/graph.ts'
import type { Foreign } from './foreign.ts'

/** What Ultralytics' exports say of themselves. */
const named: Readonly<Record<string, string>> = {
  classify: 'it is a classifier: it says what a picture shows, not where',
  obb: 'it finds rotated boxes, whose sides without their angle would be wrong here; train a detector of upright boxes from its backbone, or export one',
  segment: 'it is a segmentation model, and rows of plain boxes were not found in it',
  pose: 'it finds key points, and rows of plain boxes were not found in it',
}

/** Finest grid of known detectors; finer maps mark pixels. */
const finestStride = 4

/** `sure`: whatever its rows look like; else only where no adapter takes it. Undefined where nothing speaks for another task. */
export function otherTask(foreign: Foreign): { words: string; sure: boolean } | undefined {
  const { task } = foreign.graph.metadata
  if (task !== undefined && Object.hasOwn(named, task))
    return { words: named[task]!, sure: task === 'classify' || task === 'obb' }
  const shapes = foreign.graph.outputs.map(({ name }) => foreign.shape(name))
  if (shapes.length === 0) return undefined
  const unsure = (words: string) => ({ words, sure: false })
  const noDetector = `this is no object detector: it gives ${foreign.describeOutputs()}`
  // A row of numbers, however many ones are around it.
  if (shapes.every((shape) => Math.max(...shape, 1) === elementCount(shape)))
    return unsure(`${noDetector}, one row of numbers for the whole picture, as classifiers and embeddings do, and no boxes`)
  const { width, height } = foreign.input
  // Rows of cells are longer than a picture is high, and may be as wide as a quarter of it.
  const within = (size: number, side: number) => size >= Math.ceil(side / finestStride) && size <= side
  const marks = (shape: readonly number[]) => shape.length >= 3 && within(shape.at(-1)!, width) && within(shape.at(-2)!, height)
  if (shapes.every(marks))
    return unsure(`${noDetector}, numbers for each pixel, as networks for segmentation, depth and key points do, and no boxes`)
  // Masks beside rows.
  if (shapes.some((shape) => shape.length === 4 && marks(shape)))
    return unsure(`${named.segment} (its outputs are ${foreign.describeOutputs()})`)
  return undefined
}
