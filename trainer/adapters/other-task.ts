/** Models that are no detectors, or that find something else than upright boxes: a sentence that says so, instead of what each adapter misses. */
import type { Foreign } from './foreign.ts'

/** What Ultralytics' exports say of themselves. */
const named: Readonly<Record<string, string>> = {
  classify: 'it is a classifier: it says what a picture shows, not where',
  obb: 'it finds rotated boxes, whose sides without their angle would be wrong here; train a detector of upright boxes from its backbone, or export one',
  segment: 'it is a segmentation model, and rows of plain boxes were not found in it',
  pose: 'it finds key points, and rows of plain boxes were not found in it',
}

/** `sure`: whatever its rows look like; else only where no adapter takes it. Undefined where nothing speaks for another task. */
export function otherTask(foreign: Foreign): { words: string; sure: boolean } | undefined {
  const { task } = foreign.graph.metadata
  if (task !== undefined && Object.hasOwn(named, task))
    return { words: named[task]!, sure: task === 'classify' || task === 'obb' }
  const shapes = foreign.graph.outputs.map(({ name }) => foreign.shape(name))
  const its = `its outputs are ${foreign.describeOutputs()}`
  if (shapes.length > 0 && shapes.every((shape) => shape.length === 2 && shape[0] === 1 && shape[1] !== 4))
    return { words: `${named.classify} (${its})`, sure: false }
  // Masks are finer than the grids of detectors.
  const { width, height } = foreign.input
  if (shapes.some(([, , h, w]) => h !== undefined && w !== undefined && h * 4 >= height && w * 4 >= width))
    return { words: `${named.segment} (${its})`, sure: false }
  return undefined
}
