/**
 * YOLOv3 and v4 as Darknet's models are exported (pytorch-YOLOv4): boxes [1, n, 1, 4] x1 y1 x2 y2 in shares of the picture and scores [1, n, C], of
 * each grid a map [1, anchors x (5 + C), h, w]; RGB / 255, stretch. Anchors, and how far a centre moves, are read off the file's own decoding.
 * Exports without decoding have the maps alone: their anchors must be told, and a centre is taken to stay in its cell, as YOLOv3's does.
 */
import { type Adapter, asTrained, misfit } from './adapter.ts'
import { trainableCore } from './build-core.ts'
import type { Foreign } from './foreign.ts'
import { byAnchor, type Decoded, type OwnOutput } from './own-decoding.ts'
import { filledMaps, runEnd } from './probe.ts'
import { toldPriors } from './published-priors.ts'

const family = 'YOLOv4'

export const yolov4: Adapter = async (foreign, options) => {
  const classes = options.classes.length
  const width = 5 + classes
  const boxes = foreign.output([1, undefined, 1, 4]) ?? foreign.output([1, undefined, 4])
  const scores = foreign.output([1, undefined, classes])
  const decoded = boxes !== undefined && scores !== undefined && boxes !== scores && foreign.graph.outputs.length === 2
  const maps = decoded ? foreign.ends(boxes) : foreign.graph.outputs.map(({ name }) => name)
  const found = maps.map((map): Grid => ({ map, perCell: foreign.shape(map)[1]! / width }))
  const rows = found.reduce((sum, { map, perCell }) => sum + foreign.cells(map) * perCell, 0)
  const fits = found.every(({ map, perCell }) => foreign.shape(map).length === 4 && Number.isInteger(perCell) && perCell > 1)
  if (found.length === 0 || !fits || (decoded && foreign.shape(boxes)[1] !== rows))
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; with ${classes} classes boxes [1, n, 1, 4] and scores [1, n, ${classes}] made of maps [1, anchors x ${width}, h, w], or such maps alone, are wanted`,
    )
  const grids = found.toSorted((a, b) => foreign.cells(b.map) - foreign.cells(a.map))
  const strides = foreign.strides(
    grids.map(({ map }) => map),
    family,
  )
  // Darknet's tiny models have the coarse grid first.
  const read = decoded ? await readOff(foreign, [grids, grids.toReversed(), found], { boxes, width }) : undefined
  if (decoded && !read) throw misfit(family, 'its boxes are not those of one anchor after another, grid by grid')
  const inFile = read?.order ?? found
  const ofGrid = <T>(values: readonly T[]) => grids.map((grid) => values[inFile.indexOf(grid)]!)
  const anchors = read ? ofGrid(read.anchors) : told(foreign, grids, options.anchors)
  const reaches = read && ofGrid(read.reaches).map((pixels, level) => pixels / strides[level]!)
  const joined =
    (make: (decoded: Decoded, level: number) => ReturnType<OwnOutput['make']>): OwnOutput['make'] =>
    (g, each) =>
      g.concat(
        inFile.map((grid) => byAnchor(g, make(each, grids.indexOf(grid)), grid.perCell)),
        0,
      )
  const { width: across, height: down } = foreign.input
  return await trainableCore({
    family,
    foreign,
    options,
    architecture: 'yolov4',
    normalization: { ...asTrained, scale: 1 / 255 },
    resize: 'stretch',
    why: `${grids.length} grids with ${grids[0]!.perCell} anchors a cell, rows of box, objectness and ${classes} classes${decoded ? '' : '; not decoded inside: read as YOLOv3 decodes them'}`,
    head: 'yolov4',
    levels: grids.map(({ map }) => [map]),
    fields: {
      strides,
      anchors,
      ...(reaches?.some((each) => Math.abs(each - 1) > 1e-3) && { centreScales: reaches }),
      nms: 'class-agnostic',
      nmsIou: 0.45,
    },
    classMaps: grids.map(({ map }) => ({ map, before: 5, after: 0 })),
    own: [
      decoded
        ? [
            {
              output: boxes,
              make: (g, each) =>
                g.div(
                  joined(({ boxes: corners, ofLevel }, level) => ofLevel(corners, level))(g, each),
                  g.constant([across, down, across, down], [1, 4]),
                ),
            },
            { output: scores, make: joined((each, level) => each.ofLevel(each.scores, level)) },
          ]
        : [],
    ],
  })
}

interface Grid {
  readonly map: string
  readonly perCell: number
}

function told(foreign: Foreign, grids: readonly Grid[], anchors: readonly number[] | undefined): [number, number][][] {
  if (!anchors)
    throw misfit(
      family,
      "it is not decoded inside, and anchors are not in the file: export it with decoding, or tell them as its .cfg has them, fine grid to coarse (YOLOv4's own are --anchors 12,16,19,36,40,28,36,75,76,55,72,146,142,110,192,243,459,401, YOLOv4-tiny's 23,27,37,58,81,82,81,82,135,169,344,319)",
    )
  const shapes = grids.map(({ map, perCell }) => {
    const [, , rows, columns] = foreign.shape(map) as [number, number, number, number]
    return { columns, rows, perCell }
  })
  return toldPriors(family, anchors, shapes)
}

/** A logit whose sigmoid is 1 in float32. */
const certain = 30

interface ReadOff {
  /** The grids in the order in which their rows lie in the file. */
  readonly order: readonly Grid[]
  /** Of each of them, in pixels. */
  readonly anchors: [number, number][][]
  readonly reaches: number[]
}

/**
 * What the file's own decoding makes of logits: of 0 each anchor's size, and of a certain x how far a centre moves beyond the middle.
 * @param orders to try: an anchor has the same size in all cells of its grid
 */
async function readOff(
  foreign: Foreign,
  orders: readonly (readonly Grid[])[],
  { boxes, width }: { boxes: string; width: number },
): Promise<ReadOff | undefined> {
  const names = orders[0]!.map(({ map }) => map)
  const { width: across, height: down } = foreign.input
  const isX = (map: string, index: number) => Math.floor(index / foreign.cells(map)) % width === 0
  const filled = (x: number) => filledMaps(foreign, names, (map, index) => (isX(map, index) ? x : 0))
  const [still] = (await runEnd(foreign, filled(0), [boxes])) as [Float32Array]
  const [moved] = (await runEnd(foreign, filled(certain), [boxes])) as [Float32Array]
  const sizeAt = (row: number): [number, number] => [
    (still[row * 4 + 2]! - still[row * 4]!) * across,
    (still[row * 4 + 3]! - still[row * 4 + 1]!) * down,
  ]
  const near = (a: readonly number[], b: readonly number[]) => a.every((side, i) => Math.abs(side - b[i]!) < 1e-2 + 1e-4 * side)
  for (const order of orders) {
    let row = 0
    let constant = true
    const reaches: number[] = []
    const anchors = order.map(({ map, perCell }) => {
      reaches.push(2 * (moved[row * 4]! - still[row * 4]!) * across)
      return Array.from({ length: perCell }, () => {
        const first = sizeAt(row)
        const end = row + foreign.cells(map)
        while (row < end) constant = near(first, sizeAt(row++)) && constant
        return first
      })
    })
    if (constant) return { order, anchors, reaches }
  }
  return undefined
}
