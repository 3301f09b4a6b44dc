/** One training step of each real detector beside the project, the same numbers each time: what the test runs, and what the references were made from. */
import { adopt } from '../../trainer/adapters/adopt-file.ts'
import { readClasses } from '../../trainer/adapters/class-names.ts'
import { adapters } from '../../trainer/adapters/table.ts'
import { cellsOf } from '../../trainer/detector/cells.ts'
import { coreOf } from '../../trainer/detector/core.ts'
import { targetOptionsOf } from '../../trainer/detector/heads/table.ts'
import { trainingGraph } from '../../trainer/detector/loss.ts'
import { Random } from '../../trainer/detector/random.ts'
import { targetsOf } from '../../trainer/detector/targets.ts'
import { trainable } from '../../trainer/loop/start.ts'
import { readOnnxFile } from '../../trainer/onnx/read.ts'
import { upgrade } from '../../trainer/onnx/upgrade.ts'
import type { ReferenceStep } from './reference-step.ts'
import { sharedData } from './shared-data.ts'

/** YOLOX-nano at another size than its file's, FastestDet at its own: its shuffles are written down for one picture of that size. */
export const foreignModels = {
  'yolox-nano': { adapter: 'yolox', file: 'models/yolox-nano/yolox_nano.onnx', size: 96 },
  fastestdet: { adapter: 'fastestdet', file: 'models/fastestdet/FastestDet.onnx', size: 352 },
} as const
export type ForeignModel = keyof typeof foreignModels

export const batch = 2

export async function foreignStep(model: ForeignModel): Promise<ReferenceStep> {
  const { adapter, file, size } = foreignModels[model]
  const classes = await readClasses(sharedData('models/coco.names'))
  const graph = upgrade(await readOnnxFile(sharedData(file)))
  const { core: made, specification } = await adopt(graph, adapters[adapter]!, { classes })
  const core = coreOf(made, specification)
  const random = new Random(21)
  const labels = Array.from({ length: batch }, () =>
    Array.from({ length: 3 }, () => {
      const [x, y, side] = [0, 1, 2].map(() => size * (0.1 + 0.4 * random.uniform())) as [number, number, number]
      return { box: [x, y, x + side, y + side * 0.8] as const, label: random.integer(classes.length) }
    }),
  )
  const targets = targetOptionsOf(specification, batch)
  const cells = cellsOf({ width: size, height: size, ...specification })
  return {
    core,
    graph: trainingGraph(core, specification, { batch, width: size, height: size, positives: targets.positives }),
    parameters: trainable(core),
    feeds: {
      image: {
        type: 'uint8',
        shape: [batch, size, size, 3],
        data: Uint8Array.from({ length: batch * size * size * 3 }, () => random.integer(256)),
      },
      ...targetsOf(labels, { cells, ...targets }),
    },
  }
}
