/**
 * YOLOv5's output (Ultralytics, 2020; also YOLOv7, also where it chooses the best inside): [1, rows, 5 + C] of boxes x y w h in pixels, objectness and class scores, three anchors a
 * cell; RGB / 255. Trained from the maps before decoding, where they are found and decode as published; run as it is where not. Exports
 * without decoding have such rows of the maps' own numbers or of their sigmoids (YOLOv5-Lite), or one map a grid, [1, 3, h, w, 5 + C] or
 * [1, 3 (5 + C), h, w]; their anchors are not in the file and must be told.
 */
import { columns } from '../detector/heads/head.ts'
import { type Adapter, type Adopted, asTrained, misfit } from './adapter.ts'
import { fixedCore, trainableCore, trainableOrWhy } from './build-core.ts'
import { centred, scaledToPixels } from './fixed-boxes.ts'
import type { Foreign } from './foreign.ts'
import { asCentred, byAnchor, type OwnOutput } from './own-decoding.ts'
import { formOnGrid, layoutsOf, onSample, refuseNoProbabilities, rowsIn } from './plausible.ts'
import { filledMaps, runEnd } from './probe.ts'
import { toldPriors } from './published-priors.ts'

const family = 'YOLOv5'
const nms = { nms: 'class-agnostic', nmsIou: 0.45 } as const

export const yolov5: Adapter = async (whole, options) => {
  const width = 5 + options.classes.length
  const isRows = (count: number) => layoutsOf(count, whole.input, 'anchors').length > 0
  const given = whole.output([1, undefined, width])
  const heads = rawHeads(whole, width)
  const inside = given || heads.length > 0 ? undefined : whole.rowsInside(width, isRows)
  const foreign = inside?.foreign ?? whole
  const common = {
    family,
    foreign,
    options,
    architecture: 'yolov5',
    normalization: { ...asTrained, scale: 1 / 255 },
    resize: 'letterbox' as const,
  }
  const output = given ?? foreign.output([1, undefined, width])
  // Older exports give the maps beside what is decoded from them.
  if (foreign.graph.outputs.length !== heads.length + (output ? 1 : 0) || (!output && heads.length === 0))
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; with ${width - 5} classes [1, rows, ${width}], or a map of each grid [1, 3, h, w, ${width}], is wanted`,
    )
  // Darknet's maps look the same.
  const alike = heads.some(({ closed }) => closed)
    ? "; read as YOLOv5 decodes them (YOLOv3's and v4's maps look alike: --adapter yolov4)"
    : ''
  const build = (grids: readonly Grid[], anchors: Anchors, own: readonly (readonly OwnOutput[])[]) => ({
    ...common,
    why: `${grids.length} grids with ${anchors[0]!.length} anchors a cell, rows of box, objectness and ${width - 5} classes${inside?.chosen ? ', of which the file would choose the best' : ''}${alike}`,
    head: 'anchors' as const,
    levels: grids.map(({ map }) => [map]),
    fields: {
      strides: foreign.strides(
        grids.map(({ map }) => map),
        family,
      ),
      anchors,
      ...nms,
    },
    classMaps: grids.map(({ map }) => ({ map, before: 5, after: 0 })),
    own,
  })
  if (!output) {
    const grids = heads.map(({ grid }) => grid)
    return await trainableCore(build(grids, toldAnchors(options.anchors, foreign, grids), [ownHeads(heads, width)]))
  }
  const count = foreign.shape(output)[1]!
  if (!isRows(count)) throw misfit(family, `its ${count} rows are not the anchors of grids with strides of 8 to 32`)
  const grids = gridsOf(foreign, output, width)
  const anchors = grids.length > 0 ? await anchorsOf(foreign, grids, output, width) : undefined
  let why = 'its grids were not found'
  if (anchors) {
    const made = await trainableOrWhy(build(grids, anchors, [[ownRows(output, grids, width)]]))
    if (typeof made !== 'string') return made
    why = made
    // It may not decode at all. Such rows are the same whatever its anchors are, so these will do to find out.
    const own = undecoded.map((op) => [ownNumbers(output, grids, width, op)])
    const plain = await trainableOrWhy(build(grids, anchors, own))
    if (typeof plain !== 'string') return await trainableCore(build(grids, toldAnchors(options.anchors, foreign, grids), own))
  } else if (grids.length > 0) why = 'its grids decode otherwise than published'
  if (inside) throw misfit(family, `the rows of which it chooses the best cannot be trained: ${why}`)
  return await run({ ...common, why }, output, width)
}

type Anchors = [number, number][][]

interface Grid {
  readonly map: string
  readonly perCell: number
}

const ownRows = (output: string, grids: readonly Grid[], width: number): OwnOutput => ({
  output,
  make: (g, { boxes, rows, ofLevel }) => {
    const all = g.concat([asCentred(g, boxes), g.sigmoid(columns(g, rows, 4, width))], 1)
    return g.concat(
      grids.map(({ perCell }, level) => byAnchor(g, ofLevel(all, level), perCell)),
      0,
    )
  },
})

const undecoded = ['Sigmoid', 'Identity'] as const

/** Rows of the maps' own numbers, or of their sigmoids. */
const ownNumbers = (output: string, grids: readonly Grid[], width: number, op: (typeof undecoded)[number]): OwnOutput => ({
  output,
  make: (g, { rows, ofLevel }) =>
    g.concat(
      grids.map(({ perCell }, level) => byAnchor(g, ofLevel(g.op(op, [columns(g, rows, 0, width)]), level), perCell)),
      0,
    ),
})

interface Head {
  readonly output: string
  readonly grid: Grid
  /** Whether the output is the map as it is, with nothing to compare. */
  readonly closed: boolean
}

/** Outputs that are maps before decoding, fine to coarse. */
function rawHeads(foreign: Foreign, width: number): Head[] {
  return foreign.graph.outputs
    .flatMap(({ name }): Head[] => {
      const shape = foreign.shape(name)
      const map = foreign.behind(name)
      const perCell = (foreign.shape(map)[1] ?? 0) / width
      const open = shape.length === 5 && shape[1] === perCell && shape[4] === width
      const closed = shape.length === 4 && String(shape) === String(foreign.shape(map))
      return (open || closed) && foreign.shape(map).length === 4 && Number.isInteger(perCell) && perCell > 1
        ? [{ output: name, grid: { map, perCell }, closed }]
        : []
    })
    .sort((a, b) => foreign.cells(b.grid.map) - foreign.cells(a.grid.map))
}

const ownHeads = (heads: readonly Head[], width: number): OwnOutput[] =>
  heads.flatMap(({ output, grid, closed }, level) =>
    closed
      ? []
      : [{ output, make: (g, { rows, ofLevel }) => byAnchor(g, ofLevel(columns(g, rows, 0, width), level), grid.perCell) }],
  )

/** What most of its kin were trained with, for people who know no more of a file than whose it is. */
const published = [
  { name: "YOLOv5's", sizes: '10,13,16,30,33,23,30,61,62,45,59,119,116,90,156,198,373,326' },
  { name: "YOLOv7's", sizes: '12,16,19,36,40,28,36,75,76,55,72,146,142,110,192,243,459,401' },
]

function toldAnchors(told: readonly number[] | undefined, foreign: Foreign, grids: readonly Grid[]): Anchors {
  const count = grids.reduce((sum, { perCell }) => sum + perCell, 0)
  const usual = published.map(({ name, sizes }) => `${name} own are --anchors ${sizes}`).join(', ')
  if (!told)
    throw misfit(
      family,
      `it is not decoded inside, and anchors are not in the file: export it with decoding, or tell the ${count} sizes it was trained with (${count === 9 ? usual : '--anchors 10,13,16,30,33,23,...'})`,
    )
  const shapes = grids.map(({ map, perCell }) => {
    const [, , rows, across] = foreign.shape(map) as [number, number, number, number]
    return { columns: across, rows, perCell }
  })
  return toldPriors(family, told, shapes)
}

/** Its own boxes and scores. @throws MuninnError BAD_MODEL when they are none */
async function run(common: Parameters<typeof onSample>[1] & Common, output: string, width: number): Promise<Adopted> {
  const { foreign } = common
  const [numbers] = await onSample(foreign, common, [output])
  const rows = rowsIn(numbers!, width)
  const boxes = rows.map((row) => row.slice(0, 4))
  const form = formOnGrid(boxes, layoutsOf(rows.length, foreign.input, 'anchors'))
  if (!form || form.corners)
    throw misfit(family, 'the first four numbers of its rows are no centres and sizes about the cells of its grids')
  refuseNoProbabilities(
    family,
    output,
    rows.flatMap((row) => row.slice(4)),
  )
  return fixedCore({
    ...common,
    ...nms,
    why: `one output [1, rows, ${width}] of box, objectness and classes; ${common.why}, so it is run, not trained`,
    make: (g) => {
      const flat = g.reshape(g.value(output), foreign.shape(output).slice(1))
      const part = (from: number, to: number) => g.slice(flat, [from], [to], [1])
      const corners = centred(g, part(0, 4))
      const { width: across, height: down } = foreign.input
      return {
        boxes: form.shares ? scaledToPixels(g, corners, across, down) : corners,
        scores: g.mul(part(5, width), part(4, 5)),
      }
    },
  })
}

type Common = Pick<
  Parameters<typeof fixedCore>[0],
  'family' | 'foreign' | 'options' | 'architecture' | 'normalization' | 'resize' | 'why'
>

/** Convolutions [1, anchors x width, h, w] that are cut into anchors next, fine to coarse. */
function gridsOf(foreign: Foreign, output: string, width: number): Grid[] {
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
    .sort((a, b) => foreign.cells(b.map) - foreign.cells(a.map))
}

/**
 * Sizes of the anchors, read off the network's own decoding: logits of 0 give each anchor's own size in the middle of its cell. Undefined
 * when they do not.
 */
async function anchorsOf(foreign: Foreign, grids: readonly Grid[], output: string, width: number): Promise<Anchors | undefined> {
  const maps = filledMaps(
    foreign,
    grids.map(({ map }) => map),
    () => 0,
  )
  const [rows] = await runEnd(foreign, maps, [output])
  const total = grids.reduce((sum, { map, perCell }) => sum + foreign.cells(map) * perCell, 0)
  if (rows!.length !== total * width) return undefined
  let row = 0
  return grids.map(({ map, perCell }) =>
    Array.from({ length: perCell }, (): [number, number] => {
      const size: [number, number] = [rows![row * width + 2]!, rows![row * width + 3]!]
      row += foreign.cells(map)
      return size
    }),
  )
}
