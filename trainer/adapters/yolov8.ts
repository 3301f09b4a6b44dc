/**
 * YOLOv8's output (Ultralytics, 2023; also 9 and 11): [1, 4 + C, cells] of boxes x y w h in pixels and sigmoid scores; RGB / 255. Trained
 * from the maps before its distribution is decoded, where they are found; run as it is where not.
 */
import { type Adapter, type AdapterOptions, type Adopted, asTrained, misfit } from './adapter.ts'
import { fixedCore, trainableCore } from './build-core.ts'
import { centred } from './fixed-boxes.ts'
import type { Foreign } from './foreign.ts'

const family = 'YOLOv8'
const normalization = { ...asTrained, scale: 1 / 255 }

export const yolov8: Adapter = async (foreign, options) => {
  const classes = options.classes.length
  const output = foreign.graph.outputs.find(({ name }) => {
    const shape = foreign.shape(name)
    return shape.length === 3 && (shape[1] === 4 + classes || shape[2] === 4 + classes)
  })
  if (!output)
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; with ${classes} classes [1, ${4 + classes}, cells] is wanted`,
    )
  const ending = { foreign, options, architecture: 'yolov8', normalization, resize: 'letterbox' as const }
  const grids = gridsOf(foreign, output.name, classes)
  const cells = grids.reduce((sum, { reg }) => sum + foreign.shape(reg)[2]! * foreign.shape(reg)[3]!, 0)
  if (grids.length > 0 && foreign.shape(output.name).includes(cells)) {
    const channels = foreign.shape(grids[0]!.reg)[1]!
    return trainableCore({
      ...ending,
      why: `${grids.length} grids of distributions over ${channels / 4} distances and class scores behind [1, ${4 + classes}, cells]`,
      head: 'distribution',
      levels: grids.map(({ cls, reg }) => [cls, reg]),
      fields: {
        strides: foreign.strides(
          grids.map(({ reg }) => reg),
          family,
        ),
        bins: channels / 4,
        nms: 'per-class',
        nmsIou: 0.6,
      },
      classMaps: grids.map(({ cls }) => ({ map: cls, before: 0, after: 0 })),
    })
  }
  return run(ending, output.name, classes)
}

interface Common {
  readonly foreign: Foreign
  readonly options: AdapterOptions
  readonly architecture: string
  readonly normalization: typeof normalization
  readonly resize: 'letterbox'
}

function run(ending: Common, output: string, classes: number): Adopted {
  const shape = ending.foreign.shape(output)
  return fixedCore({
    ...ending,
    why: `one output [${shape.join(', ')}] of boxes and class scores; its grids were not found, so it is run, not trained`,
    nms: 'per-class',
    nmsIou: 0.6,
    make: (g) => {
      const value = g.value(output)
      const rows = shape[1] === 4 + classes ? g.transpose(value, [0, 2, 1]) : value
      const flat = g.reshape(rows, rows.shape.slice(1))
      return { boxes: centred(g, g.slice(flat, [0], [4], [1])), scores: g.slice(flat, [4], [4 + classes], [1]) }
    },
  })
}

/** [distributions, class logits] side by side in one Concat for each grid, fine to coarse. */
function gridsOf(foreign: Foreign, output: string, classes: number): { reg: string; cls: string }[] {
  const pixels = ({ reg }: { reg: string }) => foreign.shape(reg)[2]! * foreign.shape(reg)[3]!
  return foreign
    .ancestors(output)
    .flatMap(({ op, inputs }) => {
      if (op !== 'Concat' || inputs.length !== 2) return []
      const [reg, cls] = inputs as [string, string]
      const [a, b] = [foreign.shape(reg), foreign.shape(cls)]
      const fits = a.length === 4 && b.length === 4 && a[1]! % 4 === 0 && a[1]! >= 16 && b[1] === classes
      return fits && foreign.maker(reg)?.op === 'Conv' && foreign.maker(cls)?.op === 'Conv' ? [{ reg, cls }] : []
    })
    .sort((a, b) => pixels(b) - pixels(a))
}
