/**
 * YOLOv8's output (Ultralytics, 2023; also 9 to 13): [1, 4 + C, cells], or turned, of boxes x y w h in pixels and sigmoid scores; RGB / 255.
 * YOLOv6 has a 1 between them, where YOLOv5 has its objectness. YOLOv9 as it is trained gives such rows twice: those of its main branch are last.
 * Trained from the maps before its distribution is decoded, where they are found and the file decodes them as published; run as it is where not.
 * End-to-end exports (YOLOv10, YOLO26, with suppression inside) choose the best of these rows, segmentation and pose put more beside them:
 * they are trained from the same maps, and all that is left out.
 * Where a map has four channels for a box these are its distances (YOLO26, small YOLOv6), no distributions.
 * Exports without decoding have a map [1, 64 + C, h, w] of each grid, with key points behind the classes where it has some: those are left out.
 * YOLO26's have 4 + C channels, or a map of boxes and one of classes for each grid, YOLOv6's C scores and 4 distances.
 */
import type { GraphBuilder } from '../graph/builder.ts'
import { type Adapter, type AdapterOptions, asTrained, misfit } from './adapter.ts'
import { fixedCore, trainableCore, trainableOrWhy } from './build-core.ts'
import { centred, scaledToPixels } from './fixed-boxes.ts'
import type { Foreign } from './foreign.ts'
import { asCentred, type OwnOutput } from './own-decoding.ts'
import { formOnGrid, layoutsOf, onSample, refuseNoProbabilities } from './plausible.ts'
import { type Grid, gridsOf, mayBeOthers, publishedBins, rawGrids, rawOutput } from './yolov8-maps.ts'

const family = 'YOLOv8'
const nms = { nms: 'per-class', nmsIou: 0.6 } as const

export const yolov8: Adapter = async (whole, options) => {
  const classes = options.classes.length
  const width = 4 + classes
  const isRows = (count: number) => layoutsOf(count, whole.input, 'one').length > 0
  const given = rowsOutput(whole, width)
  const inside = given && isRows(given.count) ? undefined : whole.rowsInside(width, isRows)
  const foreign = inside?.foreign ?? whole
  const common = {
    family,
    foreign,
    options,
    architecture: 'yolov8',
    normalization: { ...asTrained, scale: 1 / 255 },
    resize: 'letterbox' as const,
  }
  const raw = rawGrids(foreign, classes)
  if (raw.length > 0) {
    const other = mayBeOthers(foreign, raw, options.named === true)
    if (other) throw misfit(family, other)
    const bins = foreign.shape(raw[0]!.reg)[1]! / 4
    const as = raw[0]!.first ? 'YOLOv6' : 'YOLO26'
    return await trainableCore({
      ...build(common, raw),
      why: `${raw.length} grids of ${numbersOf(bins)} and class scores, not decoded${bins === 1 ? `: distances in cells, as ${as} has them` : ''}`,
      own: [raw.flatMap(({ output, whole, first }, level) => (whole && output ? [rawOutput(output, level, bins, first)] : []))],
    })
  }
  const rows = rowsOutput(foreign, width)
  if (!rows)
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; with ${classes} classes [1, ${width}, cells] alone, or of each grid [1, ${4 * publishedBins + classes}, h, w], is wanted`,
    )
  const { output, rowsLast, ones, count } = rows
  if (!isRows(count)) throw misfit(family, `its ${count} rows are not the cells of grids with strides of 8 to 32`)
  const grids = gridsOf(foreign, output, classes)
  const bins = grids.length > 0 ? foreign.shape(grids[0]!.reg)[1]! / 4 : 0
  let why = 'its grids were not found'
  if (grids.length > 0 && grids.every(({ reg }) => foreign.shape(reg)[1] === 4 * bins)) {
    const form = (make: OwnOutput['make']): OwnOutput[] => [
      { output, make: (g, decoded) => (rowsLast ? make(g, decoded) : g.transpose(make(g, decoded), [1, 0])) },
    ]
    const one = (g: GraphBuilder) => (ones ? [g.constant(new Float32Array(count).fill(1), [count, 1])] : [])
    const left = inside
      ? inside.chosen
        ? ', of which the file would choose the best'
        : '; what it puts beside them is left out'
      : ''
    const made = await trainableOrWhy({
      ...build(common, grids),
      why: `${grids.length} grids of ${numbersOf(bins)} and class scores behind [1, ${width}, cells]${left}`,
      own: [
        form((g, { boxes, scores }) => g.concat([asCentred(g, boxes), ...one(g), scores], 1)),
        form((g, { boxes, scores }) => g.concat([boxes, ...one(g), scores], 1)),
      ],
    })
    if (typeof made !== 'string') return made
    why = made
  }
  if (ones) throw misfit(family, `its rows of ${width + 1} numbers are not YOLOv6's: ${why}`)
  if (inside)
    throw misfit(family, `the rows ${inside.chosen ? 'of which it chooses the best' : 'inside it'} cannot be trained: ${why}`)
  return await run({ ...common, why }, { output, rowsLast, classes })
}

const numbersOf = (bins: number) => (bins === 1 ? 'distances' : `distributions over ${bins} distances`)

interface Rows {
  readonly output: string
  readonly rowsLast: boolean
  /** Whether there is a 1 between box and classes. */
  readonly ones: boolean
  readonly count: number
}

/** The output with a row for each cell; the last where there are several alike and nothing else. */
function rowsOutput(foreign: Foreign, width: number): Rows | undefined {
  const names = foreign.graph.outputs.map(({ name }) => name)
  const output = names.at(-1)
  if (output === undefined || names.some((name) => foreign.shape(name).join() !== foreign.shape(output).join())) return undefined
  const [batch, a, b] = foreign.shape(output) as [number, number, number]
  if (foreign.shape(output).length !== 3 || batch !== 1) return undefined
  if (a === width) return { output, rowsLast: false, ones: false, count: b }
  return b === width || b === width + 1 ? { output, rowsLast: true, ones: b > width, count: a } : undefined
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
  if (rows.every((row) => row[4] === 1))
    throw misfit(
      family,
      `its first class would have the score 1 everywhere, which is YOLOv6's objectness: it has ${classes - 1} classes`,
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
