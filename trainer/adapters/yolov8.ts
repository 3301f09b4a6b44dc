/**
 * YOLOv8's output (Ultralytics, 2023; also 9, 10 and 11): [1, 4 + C, cells], or turned, of boxes x y w h in pixels and sigmoid scores; RGB / 255.
 * Trained from the maps before its distribution is decoded, where they are found and the file decodes them as published; run as it is where not.
 * End-to-end exports (YOLOv10, YOLO26) choose the best of these rows inside: they are trained from the same maps, and the choice is left out.
 * Where a map has four channels for a box these are its distances (YOLO26), no distributions.
 * Exports without decoding have a map [1, 64 + C, h, w] of each grid, with key points behind the classes where it has some: those are left out.
 */
import { columns } from '../detector/heads/head.ts'
import { type Adapter, type AdapterOptions, asTrained, misfit } from './adapter.ts'
import { fixedCore, trainableCore, trainableOrWhy } from './build-core.ts'
import { centred, scaledToPixels } from './fixed-boxes.ts'
import type { Foreign } from './foreign.ts'
import { asCentred, type OwnOutput } from './own-decoding.ts'
import { formOnGrid, layoutsOf, onSample, refuseNoProbabilities } from './plausible.ts'

const family = 'YOLOv8'
const nms = { nms: 'per-class', nmsIou: 0.6 } as const

export const yolov8: Adapter = async (whole, options) => {
  const classes = options.classes.length
  const width = 4 + classes
  const rows = rowsBeforeChoice(whole, width)
  const foreign = rows === undefined ? whole : whole.upTo(rows)
  const turned = foreign.output([1, undefined, width])
  const output = foreign.output([1, width, undefined]) ?? turned
  const common = {
    family,
    foreign,
    options,
    architecture: 'yolov8',
    normalization: { ...asTrained, scale: 1 / 255 },
    resize: 'letterbox' as const,
  }
  const raw = rawGrids(foreign, classes)
  if (raw.length > 0)
    return await trainableCore({
      ...build(common, raw),
      why: `${raw.length} grids of distributions over ${publishedBins} distances and class scores, not decoded`,
      own: [raw.flatMap(({ output, whole }, level) => (whole ? [rawOutput(output, level)] : []))],
    })
  if (!output || foreign.graph.outputs.length > 1)
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; with ${classes} classes [1, ${width}, cells] alone, or of each grid [1, ${4 * publishedBins + classes}, h, w], is wanted`,
    )
  const rowsLast = output === turned
  const count = foreign.shape(output)[rowsLast ? 1 : 2]!
  if (layoutsOf(count, foreign.input, 'one').length === 0)
    throw misfit(family, `its ${count} rows are not the cells of grids with strides of 8 to 32`)
  const grids = gridsOf(foreign, output, classes)
  const bins = grids.length > 0 ? foreign.shape(grids[0]!.reg)[1]! / 4 : 0
  let why = 'its grids were not found'
  if (grids.length > 0 && grids.every(({ reg }) => foreign.shape(reg)[1] === 4 * bins)) {
    const form = (make: OwnOutput['make']): OwnOutput[] => [
      { output, make: (g, decoded) => (rowsLast ? make(g, decoded) : g.transpose(make(g, decoded), [1, 0])) },
    ]
    const made = await trainableOrWhy({
      ...build(common, grids),
      why: `${grids.length} grids of ${bins === 1 ? 'distances' : `distributions over ${bins} distances`} and class scores behind [1, ${width}, cells]${rows === undefined ? '' : ', of which the file would choose the best'}`,
      own: [
        form((g, { boxes, scores }) => g.concat([asCentred(g, boxes), scores], 1)),
        form((g, { boxes, scores }) => g.concat([boxes, scores], 1)),
      ],
    })
    if (typeof made !== 'string') return made
    why = made
  }
  if (rows !== undefined) throw misfit(family, `the rows of which it chooses the best cannot be trained: ${why}`)
  return await run({ ...common, why }, { output, rowsLast, classes })
}

/** The rows of all cells, [1, width, cells] or turned, of which an end-to-end export chooses the best; undefined where none does. */
function rowsBeforeChoice(foreign: Foreign, width: number): string | undefined {
  const [output, ...more] = foreign.graph.outputs.map(({ name }) => name)
  const nodes = output === undefined || more.length > 0 ? [] : foreign.ancestors(output)
  const first = nodes.findIndex(({ op }) => op === 'TopK')
  return nodes
    .slice(0, Math.max(0, first))
    .filter(({ op }) => op === 'Concat')
    .map(({ outputs }) => outputs[0]!)
    .findLast((name) => {
      const [batch, ...sides] = foreign.shape(name)
      const count = sides.find((side) => side !== width) ?? width
      return batch === 1 && sides.length === 2 && sides.includes(width) && layoutsOf(count, foreign.input, 'one').length > 0
    })
}

interface Grid {
  readonly reg: string
  readonly cls: string
}

/** What it is trained from. */
function build(common: Omit<Common, 'why'>, grids: readonly Grid[]) {
  const { foreign } = common
  const maps = grids.map(({ reg }) => reg)
  return {
    ...common,
    head: 'yolov8' as const,
    levels: grids.map(({ cls, reg }) => [cls, reg]),
    fields: { strides: foreign.strides(maps, family), bins: foreign.shape(maps[0]!)[1]! / 4, ...nms },
    classMaps: grids.map(({ cls }) => ({ map: cls, before: 0, after: 0 })),
  }
}

/** Distances of a side, where nothing else in a file tells what its channels are. */
const publishedBins = 16

/** Outputs that join the maps of a grid, fine to coarse; `whole`: nothing but these two. Empty where there is any other output. */
function rawGrids(foreign: Foreign, classes: number): (Grid & { output: string; whole: boolean })[] {
  const grids = foreign.graph.outputs.flatMap(({ name }) => {
    const [reg, cls, ...rest] = foreign.parts(name).map((part) => foreign.mapBehind(part))
    if (foreign.shape(name).length !== 4 || !reg || !cls) return []
    const fits = foreign.shape(reg)[1] === 4 * publishedBins && foreign.shape(cls)[1] === classes
    return fits ? [{ reg, cls, output: name, whole: rest.length === 0 }] : []
  })
  const all = grids.length === foreign.graph.outputs.length
  return all ? grids.sort((a, b) => foreign.cells(b.reg) - foreign.cells(a.reg)) : []
}

const rawOutput = (output: string, level: number): OwnOutput => ({
  output,
  make: (g, { rows, ofLevel }) => {
    const width = rows.shape[1]!
    const numbers = columns(g, rows, width - 4 * publishedBins, width)
    return g.transpose(ofLevel(g.concat([numbers, columns(g, rows, 0, width - 4 * publishedBins)], 1), level), [1, 0])
  },
})

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
function gridsOf(foreign: Foreign, output: string, classes: number): Grid[] {
  const maps = foreign.ends(output)
  const sizes = [...new Set(maps.map((map) => foreign.cells(map)))].sort((a, b) => b - a)
  const grids = sizes.map((cells) => {
    const here = maps.filter((map) => foreign.cells(map) === cells)
    if (here.length !== 2) return undefined
    return [here, here.toReversed()]
      .map(([reg, cls]) => ({ reg: reg!, cls: cls! }))
      .find(({ reg, cls }) => foreign.shape(reg)[1]! % 4 === 0 && foreign.shape(cls)[1] === classes)
  })
  return grids.every((each) => each !== undefined) ? grids : []
}
