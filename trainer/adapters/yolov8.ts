/**
 * YOLOv8's output (Ultralytics, 2023; also 9, 10 and 11): [1, 4 + C, cells], or turned, of boxes x y w h in pixels and sigmoid scores; RGB / 255.
 * Trained from the maps before its distribution is decoded, where they are found and the file decodes them as published; run as it is where not.
 */
import { type Adapter, type AdapterOptions, asTrained, misfit } from './adapter.ts'
import { fixedCore, trainableOrWhy } from './build-core.ts'
import { centred, scaledToPixels } from './fixed-boxes.ts'
import type { Foreign } from './foreign.ts'
import { asCentred, type OwnOutput } from './own-decoding.ts'
import { formOnGrid, layoutsOf, onSample, refuseNoProbabilities } from './plausible.ts'

const family = 'YOLOv8'
const nms = { nms: 'per-class', nmsIou: 0.6 } as const

export const yolov8: Adapter = async (foreign, options) => {
  const classes = options.classes.length
  const width = 4 + classes
  const turned = foreign.output([1, undefined, width])
  const output = foreign.output([1, width, undefined]) ?? turned
  if (!output || foreign.graph.outputs.length > 1)
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; with ${classes} classes [1, ${width}, cells] alone is wanted`,
    )
  const rowsLast = output === turned
  const count = foreign.shape(output)[rowsLast ? 1 : 2]!
  if (layoutsOf(count, foreign.input, 'one').length === 0)
    throw misfit(family, `its ${count} rows are not the cells of grids with strides of 8 to 32`)
  const common = {
    family,
    foreign,
    options,
    architecture: 'yolov8',
    normalization: { ...asTrained, scale: 1 / 255 },
    resize: 'letterbox' as const,
  }
  const grids = gridsOf(foreign, output, classes)
  const bins = grids.length > 0 ? foreign.shape(grids[0]!.reg)[1]! / 4 : 0
  let why = 'its grids were not found'
  if (grids.length > 0 && grids.every(({ reg }) => foreign.shape(reg)[1] === 4 * bins)) {
    const form = (make: OwnOutput['make']): OwnOutput[] => [
      { output, make: (g, decoded) => (rowsLast ? make(g, decoded) : g.transpose(make(g, decoded), [1, 0])) },
    ]
    const made = await trainableOrWhy({
      ...common,
      why: `${grids.length} grids of distributions over ${bins} distances and class scores behind [1, ${width}, cells]`,
      head: 'yolov8',
      levels: grids.map(({ cls, reg }) => [cls, reg]),
      fields: {
        strides: foreign.strides(
          grids.map(({ reg }) => reg),
          family,
        ),
        bins,
        ...nms,
      },
      classMaps: grids.map(({ cls }) => ({ map: cls, before: 0, after: 0 })),
      own: [
        form((g, { boxes, scores }) => g.concat([asCentred(g, boxes), scores], 1)),
        form((g, { boxes, scores }) => g.concat([boxes, scores], 1)),
      ],
    })
    if (typeof made !== 'string') return made
    why = made
  }
  return await run({ ...common, why }, { output, rowsLast, classes })
}

interface Common {
  readonly family: string
  readonly foreign: Foreign
  readonly options: AdapterOptions
  readonly architecture: string
  readonly normalization: typeof asTrained
  readonly resize: 'letterbox'
  readonly why: string
}

/** Its own boxes and scores, in the form that they have on a picture. @throws MuninnError BAD_MODEL when they are none */
async function run(common: Common, { output, rowsLast, classes }: { output: string; rowsLast: boolean; classes: number }) {
  const { foreign } = common
  const width = 4 + classes
  const count = foreign.shape(output)[rowsLast ? 1 : 2]!
  const [numbers] = await onSample(foreign, common, [output])
  const rows = Array.from({ length: count }, (_, row) =>
    Array.from({ length: width }, (__, k) => numbers![rowsLast ? row * width + k : k * count + row]!),
  )
  const boxes = rows.map((row) => row.slice(0, 4))
  const form = formOnGrid(boxes, layoutsOf(count, foreign.input, 'one'))
  if (!form) throw misfit(family, 'the first four numbers of its rows are no boxes about the cells of its grids')
  refuseNoProbabilities(
    family,
    output,
    rows.flatMap((row) => row.slice(4)),
  )
  const what = `${form.corners ? 'corners' : 'centre and size'} in ${form.shares ? 'shares of the picture' : 'pixels'}`
  return fixedCore({
    ...common,
    ...nms,
    why: `one output [${foreign.shape(output).join(', ')}] of boxes (${what}) and class scores; ${common.why}, so it is run, not trained`,
    make: (g) => {
      const value = g.value(output)
      const byRow = rowsLast ? value : g.transpose(value, [0, 2, 1])
      const flat = g.reshape(byRow, [count, width])
      const four = g.slice(flat, [0], [4], [1])
      const corners = form.corners ? four : centred(g, four)
      return {
        boxes: form.shares ? scaledToPixels(g, corners, foreign.input.width, foreign.input.height) : corners,
        scores: g.slice(flat, [4], [width], [1]),
      }
    },
  })
}

/**
 * Maps of distributions and of class logits, fine to coarse: of each grid the convolutions that are only joined and reshaped afterwards, the
 * box branch before the class branch.
 */
function gridsOf(foreign: Foreign, output: string, classes: number): { reg: string; cls: string }[] {
  const maps = foreign.ends(output)
  const sizes = [...new Set(maps.map((map) => foreign.cells(map)))].sort((a, b) => b - a)
  const grids = sizes.map((cells) => {
    const here = maps.filter((map) => foreign.cells(map) === cells)
    const reg = here.find((map) => foreign.shape(map)[1]! % 4 === 0 && foreign.shape(map)[1]! >= 8)
    const cls = here.findLast((map) => map !== reg && foreign.shape(map)[1] === classes)
    return { reg, cls, single: here.length === 2 }
  })
  return grids.every((each) => each.reg && each.cls && each.single) ? grids.map(({ reg, cls }) => ({ reg: reg!, cls: cls! })) : []
}
