/**
 * SSD and its small kin (Ultra-Light face detectors: RFB and slim): scores [1, priors, C + 1] with the background first, boxes
 * [1, priors, 4] in shares of the picture, decoded inside. Priors and variances are read off the network's own decoding; where it does not
 * decode, they are told, or those of a published network with such grids.
 */
import { cellsOf } from '../detector/cells.ts'
import { columns } from '../detector/heads/head.ts'
import { type Adapter, type AdapterOptions, misfit, preparation } from './adapter.ts'
import { fixedCore, trainableOrWhy } from './build-core.ts'
import { centred, scaledToPixels } from './fixed-boxes.ts'
import type { Foreign } from './foreign.ts'
import type { OwnOutput } from './own-decoding.ts'
import { boxForms, onSample, rowsIn } from './plausible.ts'
import { filledMaps, runEnd } from './probe.ts'
import {
  type GridShape,
  type PublishedPriors,
  published,
  publishedOn,
  publishedWith,
  sizesOver,
  toldPriors,
  usualNormalization,
} from './published-priors.ts'
import { ownName } from './settle.ts'

const family = 'SSD'

export const ssd: Adapter = async (foreign, options) => {
  const width = options.classes.length + 1
  const of = (last: number) =>
    foreign.graph.outputs
      .map(({ name }) => name)
      // Anchors that stand beside the boxes are none.
      .filter((name) => foreign.shape(name).length === 3 && foreign.shape(name)[2] === last && !foreign.constant(name))
  // With three classes both have four columns: scores are what a softmax gives, or are called so.
  const likely = of(width).sort((a, b) => rank(foreign, b) - rank(foreign, a))
  const scores = likely[0]
  const boxes = of(4).find((name) => name !== scores)
  if (!scores || !boxes || foreign.shape(scores)[1] !== foreign.shape(boxes)[1])
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; with ${width - 1} classes [1, priors, ${width}] and [1, priors, 4] are wanted`,
    )
  if (foreign.isLinear(scores)) throw misfit(family, `${ownName(scores)} comes from a linear layer, not from maps of a grid`)
  const found = await priorsOf(foreign, { scores, boxes, width }, options.anchors)
  const by = typeof found === 'string' ? undefined : found.by
  const normalization = by?.normalization ?? usualNormalization
  const ending = {
    family,
    foreign,
    options,
    architecture: 'ssd',
    normalization,
    resize: by?.resize ?? ('stretch' as const),
    nms: 'per-class' as const,
    nmsIou: 0.45,
  }
  const { width: across, height: down } = foreign.input
  const own = (ending: 'Softmax' | 'Identity'): OwnOutput[] => [
    {
      output: scores,
      make: (g, { rows }) =>
        g.op(ending, [columns(g, rows, 4, 4 + width)], { attributes: ending === 'Softmax' ? { axis: 1 } : {} }),
    },
    {
      output: boxes,
      make: (g, decoded) =>
        decodes ? g.div(decoded.boxes, g.constant([across, down, across, down], [1, 4])) : columns(g, decoded.rows, 0, 4),
    },
  ]
  const decodes = typeof found === 'string' || found.decodes
  const { channels, scale, mean, deviation } = preparation(normalization, options)
  const words = `pictures (${channels.toUpperCase()}${scale === 1 ? '' : ` x ${scale}`} - ${mean.join(', ')}) / ${deviation.join(', ')}${by ? `, as ${by.name} has them` : ' (tell it with --mean and --std if yours wants others)'}`
  let why = found
  if (typeof found !== 'string') {
    const { grids, anchors, variances, strides, evenCells, clampedCells } = found
    const made = await trainableOrWhy({
      ...ending,
      why: `${grids.length} grids of priors with ${anchors.map((each) => each.length).join(', ')} a cell, variances ${variances.join(' and ')}${decodes ? '' : `; boxes are not decoded inside: priors as ${options.anchors ? 'told' : `${by!.name} was published with (tell others with --anchors)`}`}; ${words}`,
      head: 'priors',
      levels: grids.map(({ location, kinds }) => [location, kinds]),
      fields: {
        strides,
        anchors,
        variances,
        ...(evenCells && { evenCells }),
        ...(clampedCells && { clampedCells }),
        nms: ending.nms,
        nmsIou: ending.nmsIou,
      },
      classMaps: grids.map(({ kinds }) => ({ map: kinds, before: 1, after: 0 })),
      own: [own('Softmax'), own('Identity')],
    })
    if (typeof made !== 'string') return made
    why = made
  }
  const [probabilities, corners] = await onSample(foreign, ending, [scores, boxes])
  const [seen] = boxForms(rowsIn(corners!, 4))
  const form = options.boxes ?? (seen?.corners === false ? 'cxcywh' : 'xyxy')
  // Without a softmax inside, scores are logits of background and classes.
  const sums = rowsIn(probabilities!, width).map((row) => row.reduce((sum, each) => sum + each, 0))
  const inside = sums.every((sum) => Math.abs(sum - 1) < 1e-3)
  if (!inside && probabilities!.every((each) => each >= 0 && each <= 1))
    throw misfit(
      family,
      `the scores in ${ownName(scores)} are probabilities that do not add up to one, so none of them is a background's`,
    )
  if (!options.boxes && !seen)
    throw misfit(family, 'the four numbers of its priors are no boxes: export it with the decoding (and priors) inside')
  return fixedCore({
    ...ending,
    why: `scores with a background and boxes of the same ${foreign.shape(scores)[1]} priors; ${why}, so it is run, not trained`,
    make: (g) => {
      const flat = (name: string) => g.reshape(g.value(name), foreign.shape(name).slice(1))
      const all = inside ? flat(scores) : g.op('Softmax', [flat(scores)], { attributes: { axis: 1 } })
      return { boxes: pixels(g, flat(boxes), foreign, form), scores: g.slice(all, [1], [width], [1]) }
    },
  })
}

const rank = (foreign: Foreign, name: string): number =>
  Number(foreign.maker(foreign.behind(name))?.op === 'Softmax') * 2 + Number(/score|conf|cls|class/i.test(ownName(name)))

function pixels(
  g: Parameters<typeof centred>[0],
  boxes: Parameters<typeof centred>[1],
  { input }: Foreign,
  form: 'xyxy' | 'cxcywh',
) {
  const corners = form === 'cxcywh' ? centred(g, boxes) : boxes
  return scaledToPixels(g, corners, input.width, input.height)
}

interface Grid {
  readonly location: string
  readonly kinds: string
}
interface Priors {
  readonly grids: readonly Grid[]
  readonly anchors: [number, number][][]
  readonly strides: number[]
  readonly variances: [number, number]
  readonly evenCells: boolean
  readonly clampedCells: boolean
  /** Whether the file makes boxes of its offsets. */
  readonly decodes: boolean
  /** Whose they are, where they were published. */
  readonly by?: PublishedPriors | undefined
}

/** Maps, priors and variances; or the words that say what is missing. */
async function priorsOf(
  foreign: Foreign,
  names: { scores: string; boxes: string; width: number },
  told: AdapterOptions['anchors'],
): Promise<Priors | string> {
  const { scores, boxes, width } = names
  const kinds = foreign.parts(foreign.behind(scores, ['Softmax'])).map((name) => foreign.mapBehind(name))
  const total = foreign.shape(boxes)[1]!
  // Rows of four, or all numbers flat (ssd.pytorch).
  const isAll = (shape: readonly number[]) =>
    (shape.length === 3 && shape[1] === total && shape[2] === 4) || (shape.length === 2 && shape[1] === total * 4)
  const joined = foreign
    .ancestors(boxes)
    .find(({ op, inputs, outputs }) => op === 'Concat' && inputs.length === kinds.length && isAll(foreign.shape(outputs[0]!)))
  const locations = joined?.inputs.map((name) => foreign.mapBehind(name))
  if (!locations || locations.includes(undefined) || kinds.includes(undefined)) return 'its maps of logits were not found'
  const grids = kinds.map((map, i): Grid => ({ kinds: map!, location: locations[i]! }))
  const counts = grids.map(({ location, kinds: map }) => ({
    location: foreign.shape(location)[1]! / 4,
    kinds: foreign.shape(map)[1]! / width,
  }))
  if (counts.some((each) => each.location !== each.kinds || !Number.isInteger(each.kinds)))
    return 'its maps have other channels than an anchor has'
  if (foreign.behind(boxes) === joined?.outputs[0]) {
    return undecoded(
      foreign,
      grids,
      counts.map((each) => each.location),
      told,
    )
  }
  return await probed(foreign, grids, boxes)
}

/** Priors of a file that gives offsets: as people told them, or as they were published. @throws MuninnError BAD_MODEL */
function undecoded(
  foreign: Foreign,
  grids: readonly Grid[],
  perCell: readonly number[],
  told: AdapterOptions['anchors'],
): Priors {
  const shapes = grids.map(({ location }, i): GridShape => {
    const [, , rows, columns] = foreign.shape(location) as [number, number, number, number]
    return { columns, rows, perCell: perCell[i]! }
  })
  const by = publishedOn(shapes, foreign.input)
  const common = { grids, variances: [0.1, 0.2] as [number, number], decodes: false, by }
  if (by) {
    const anchors = told ? toldPriors(family, told, shapes) : sizesOver(by, foreign.input)
    const { strides, evenCells, clampedCells } = by
    return { ...common, anchors, strides: [...strides], evenCells, clampedCells }
  }
  if (!told)
    throw misfit(
      family,
      `its boxes are not decoded inside, and its grids are none of those whose priors were published (${published.map(({ name }) => name).join(', ')}): export it with the decoding (and priors) inside, or tell the ${perCell.reduce((sum, each) => sum + each)} widths and heights of its priors in pixels, fine grid to coarse (--anchors)`,
    )
  const strides = foreign.strides(
    grids.map(({ location }) => location),
    family,
  )
  // Where a grid does not divide the picture its cells share it evenly, as torchvision's and TensorFlow's do.
  return { ...common, anchors: toldPriors(family, told, shapes), strides, evenCells: true, clampedCells: false }
}

/** Ways in which the centres of a grid's cells lie, by how the priors were made. */
const placings: readonly Pick<Priors, 'evenCells' | 'clampedCells'>[] = [
  { evenCells: false, clampedCells: false },
  { evenCells: false, clampedCells: true },
  { evenCells: true, clampedCells: false },
]

/** With offsets of 0 each box is its prior; with 1 it is moved by the variances. */
async function probed(foreign: Foreign, grids: readonly Grid[], boxes: string): Promise<Priors | string> {
  const maps = grids.map(({ location }) => location)
  const { width, height } = foreign.input
  const at = async (value: number) =>
    (
      await runEnd(
        foreign,
        filledMaps(foreign, maps, () => value),
        [boxes],
      )
    )[0]!
  const [still, moved] = [await at(0), await at(1)]
  const side = (values: Float32Array, row: number, axis: number) => {
    const [low, high] = [values[row * 4 + axis]!, values[row * 4 + axis + 2]!].map((each) => each * (axis === 0 ? width : height))
    return { centre: (low! + high!) / 2, size: high! - low! }
  }
  const [first, then] = [side(still, 0, 0), side(moved, 0, 0)]
  const round = (value: number) => Math.round(value * 1e4) / 1e4
  const variances: [number, number] = [round((then.centre - first.centre) / first.size), round(Math.log(then.size / first.size))]
  if (!variances.every((each) => each > 0 && each < 2)) return 'its boxes are no corners that are decoded as SSD has it'
  const anchors: [number, number][][] = []
  const strides: number[] = []
  const centres: { x: number; y: number }[] = []
  let row = 0
  for (const map of maps) {
    const [, channels, , columns] = foreign.shape(map) as [number, number, number, number]
    const perCell = channels / 4
    const sizes = Array.from({ length: perCell }, (_, i): [number, number] => [
      side(still, row + i, 0).size,
      side(still, row + i, 1).size,
    ])
    anchors.push(sizes.map(([w, h]) => [Math.round(w * 1e3) / 1e3, Math.round(h * 1e3) / 1e3]))
    const start = side(still, row, 0).centre
    strides.push(Math.round(columns > 1 ? side(still, row + perCell, 0).centre - start : 2 * start))
    for (let i = 0; i < foreign.cells(map) * perCell; i++, row++) {
      const [x, y] = [side(still, row, 0), side(still, row, 1)]
      const [w, h] = sizes[i % perCell]!
      if (!near(x.size, w) || !near(y.size, h)) return 'its priors are not the same in all cells of a grid'
      centres.push({ x: x.centre, y: y.centre })
    }
  }
  const placing = placings.find((each) => {
    const cells = cellsOf({ width, height, strides, anchors, ...each })
    return cells.x.length === centres.length && centres.every(({ x, y }, i) => near(x, cells.x[i]!) && near(y, cells.y[i]!))
  })
  if (!placing) return 'its priors are no regular grid'
  return { grids, anchors, strides, variances, ...placing, decodes: true, by: publishedWith(anchors, foreign.input) }
}

const near = (a: number, b: number) => Math.abs(a - b) < 0.02 + 1e-4 * Math.abs(b)
