/**
 * YOLOv5's output (Ultralytics, 2020; also YOLOv7): [1, rows, 5 + C] of boxes x y w h in pixels, objectness and class scores, three anchors a
 * cell; RGB / 255. Trained from the maps before decoding, where they are found and decode as published; run as it is where not.
 */
import { type Adapter, asTrained, misfit } from './adapter.ts'
import { fixedCore, trainableCore } from './build-core.ts'
import { centred } from './fixed-boxes.ts'
import type { Foreign } from './foreign.ts'
import { filledMaps, runEnd } from './probe.ts'

const family = 'YOLOv5'

export const yolov5: Adapter = async (foreign, options) => {
  const classes = options.classes.length
  const width = 5 + classes
  const output = foreign.graph.outputs.find(({ name }) => {
    const shape = foreign.shape(name)
    return shape.length === 3 && shape[2] === width
  })
  if (!output)
    throw misfit(family, `its outputs are ${foreign.describeOutputs()}; with ${classes} classes [1, rows, ${width}] is wanted`)
  const ending = {
    foreign,
    options,
    architecture: 'yolov5',
    normalization: { ...asTrained, scale: 1 / 255 },
    resize: 'letterbox' as const,
  }
  const grids = gridsOf(foreign, output.name, width)
  const anchors = grids.length > 0 ? await anchorsOf(foreign, grids, output.name, width) : undefined
  if (anchors)
    return trainableCore({
      ...ending,
      why: `${grids.length} grids with ${anchors[0]!.length} anchors a cell behind [1, rows, ${width}]`,
      head: 'anchors',
      levels: grids.map(({ map }) => [map]),
      fields: {
        strides: foreign.strides(
          grids.map(({ map }) => map),
          family,
        ),
        anchors,
        nms: 'class-agnostic',
        nmsIou: 0.45,
      },
      classMaps: grids.map(({ map }) => ({ map, before: 5, after: 0 })),
    })
  return fixedCore({
    ...ending,
    why: `one output [1, rows, ${width}] of box, objectness and classes; its grids were not found, so it is run, not trained`,
    nms: 'class-agnostic',
    nmsIou: 0.45,
    make: (g) => {
      const rows = g.reshape(g.value(output.name), foreign.shape(output.name).slice(1))
      const part = (from: number, to: number) => g.slice(rows, [from], [to], [1])
      return { boxes: centred(g, part(0, 4)), scores: g.mul(part(5, width), part(4, 5)) }
    },
  })
}

interface Grid {
  readonly map: string
  readonly perCell: number
}

/** Convolutions [1, anchors x width, h, w] that are cut into anchors next, fine to coarse. */
function gridsOf(foreign: Foreign, output: string, width: number): Grid[] {
  const pixels = ({ map }: Grid) => foreign.shape(map)[2]! * foreign.shape(map)[3]!
  return foreign
    .ancestors(output)
    .flatMap(({ outputs: [map] }) => {
      const shape = foreign.shape(map!)
      const perCell = shape[1]! / width
      const cut = foreign
        .users(map!)
        .some(
          ({ op, outputs }) =>
            op === 'Reshape' && foreign.shape(outputs[0]!)[1] === perCell && foreign.shape(outputs[0]!)[2] === width,
        )
      return shape.length === 4 && Number.isInteger(perCell) && cut ? [{ map: map!, perCell }] : []
    })
    .sort((a, b) => pixels(b) - pixels(a))
}

/**
 * Sizes of the anchors, read off the network's own decoding: logits of 0 give each anchor's own size in the middle of its cell. Undefined
 * when it decodes otherwise.
 */
async function anchorsOf(foreign: Foreign, grids: readonly Grid[], output: string, width: number) {
  const maps = filledMaps(
    foreign,
    grids.map(({ map }) => map),
    () => 0,
  )
  const [rows] = await runEnd(foreign, maps, [output])
  const anchors: [number, number][][] = []
  let row = 0
  for (const { map, perCell } of grids) {
    const [, , height, columns] = foreign.shape(map) as [number, number, number, number]
    const stride = foreign.input.width / columns
    const level: [number, number][] = []
    // Anchor by anchor, each over all cells.
    for (let anchor = 0; anchor < perCell; anchor++) {
      for (let cell = 0; cell < height * columns; cell++, row++) {
        const [x, y, w, h] = [0, 1, 2, 3].map((i) => rows![row * width + i]!) as [number, number, number, number]
        if (cell === 0) level.push([w, h])
        const at = [(cell % columns) + 0.5, Math.floor(cell / columns) + 0.5].map((each) => each * stride)
        const same = Math.abs(w - level.at(-1)![0]) < 0.01 && Math.abs(h - level.at(-1)![1]) < 0.01
        if (!same || Math.abs(x - at[0]!) > 0.01 * stride || Math.abs(y - at[1]!) > 0.01 * stride) return undefined
      }
    }
    anchors.push(level)
  }
  return row * width === rows!.length ? anchors : undefined
}
