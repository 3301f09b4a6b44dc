/**
 * SSD and its small kin (Ultra-Light face detectors: RFB and slim): scores [1, priors, C + 1] with the background first, boxes
 * [1, priors, 4] in shares of the picture, decoded inside. Priors and variances are read off the network's own decoding.
 */
import { type Adapter, type AdapterOptions, misfit } from './adapter.ts'
import { fixedCore, trainableCore } from './build-core.ts'
import { centred, scaledToPixels } from './fixed-boxes.ts'
import type { Foreign } from './foreign.ts'
import { filledMaps, runEnd } from './probe.ts'
import { ownName } from './settle.ts'

const family = 'SSD'

export const ssd: Adapter = async (foreign, options) => {
  const width = options.classes.length + 1
  const of = (last: number) =>
    foreign.graph.outputs
      .map(({ name }) => name)
      .filter((name) => foreign.shape(name).length === 3 && foreign.shape(name)[2] === last)
  // With three classes both have four columns: scores are what a softmax gives, or are called so.
  const likely = of(width).sort((a, b) => rank(foreign, b) - rank(foreign, a))
  const scores = likely[0]
  const boxes = of(4).find((name) => name !== scores)
  if (!scores || !boxes || foreign.shape(scores)[1] !== foreign.shape(boxes)[1])
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; with ${width - 1} classes [1, priors, ${width}] and [1, priors, 4] are wanted`,
    )
  const ending = {
    foreign,
    options,
    architecture: 'ssd',
    // Ultra-Light's: (RGB - 127) / 128.
    normalization: { channels: 'rgb' as const, scale: 1, mean: [127, 127, 127], deviation: [128, 128, 128] },
    resize: 'stretch' as const,
    nms: 'per-class' as const,
    nmsIou: 0.45,
  }
  const found = await priorsOf(foreign, { scores, boxes, width })
  if (typeof found === 'string')
    return fixedCore({
      ...ending,
      why: `scores with a background and boxes of the same ${foreign.shape(scores)[1]} priors; ${found}, so it is run, not trained`,
      make: (g) => {
        const flat = (name: string) => g.reshape(g.value(name), foreign.shape(name).slice(1))
        const probabilities =
          foreign.maker(scores)?.op === 'Softmax' ? flat(scores) : g.op('Softmax', [flat(scores)], { attributes: { axis: 1 } })
        return { boxes: pixels(g, flat(boxes), foreign, options), scores: g.slice(probabilities, [1], [width], [1]) }
      },
    })
  const { grids, anchors, variances, evenCells } = found
  return trainableCore({
    ...ending,
    why: `${grids.length} grids of priors with ${anchors.map((each) => each.length).join(', ')} a cell, variances ${variances.join(' and ')}`,
    head: 'priors',
    levels: grids.map(({ location, kinds }) => [location, kinds]),
    fields: {
      strides: foreign.strides(
        grids.map(({ location }) => location),
        family,
      ),
      anchors,
      variances,
      ...(evenCells && { evenCells }),
      nms: ending.nms,
      nmsIou: ending.nmsIou,
    },
    classMaps: grids.map(({ kinds }) => ({ map: kinds, before: 1, after: 0 })),
  })
}

const rank = (foreign: Foreign, name: string): number =>
  Number(foreign.maker(foreign.behind(name))?.op === 'Softmax') * 2 + Number(/score|conf|cls|class/i.test(ownName(name)))

function pixels(
  g: Parameters<typeof centred>[0],
  boxes: Parameters<typeof centred>[1],
  { input }: Foreign,
  options: AdapterOptions,
) {
  const corners = options.boxes === 'cxcywh' ? centred(g, boxes) : boxes
  return scaledToPixels(g, corners, input.width, input.height)
}

interface Grid {
  readonly location: string
  readonly kinds: string
}
interface Priors {
  readonly grids: readonly Grid[]
  readonly anchors: [number, number][][]
  readonly variances: [number, number]
  readonly evenCells: boolean
}

/** Maps, priors and variances; or the words that say what is missing. */
async function priorsOf(foreign: Foreign, names: { scores: string; boxes: string; width: number }): Promise<Priors | string> {
  const { scores, boxes, width } = names
  const kinds = foreign.parts(foreign.behind(scores, ['Softmax'])).map((name) => foreign.mapBehind(name))
  const total = foreign.shape(boxes)[1]
  const joined = foreign
    .ancestors(boxes)
    .find(
      ({ op, inputs, outputs }) =>
        op === 'Concat' &&
        inputs.length === kinds.length &&
        foreign.shape(outputs[0]!)[1] === total &&
        foreign.shape(outputs[0]!)[2] === 4,
    )
  const locations = joined?.inputs.map((name) => foreign.mapBehind(name))
  if (!locations || locations.includes(undefined) || kinds.includes(undefined)) return 'its maps of logits were not found'
  const grids = kinds.map((map, i): Grid => ({ kinds: map!, location: locations[i]! }))
  const counts = grids.map(({ location, kinds: map }) => ({
    location: foreign.shape(location)[1]! / 4,
    kinds: foreign.shape(map)[1]! / width,
  }))
  if (counts.some((each) => each.location !== each.kinds || !Number.isInteger(each.kinds)))
    return 'its maps have other channels than an anchor has'
  if (foreign.maker(boxes) === joined)
    throw misfit(
      family,
      'its boxes are not decoded inside, and the file does not hold its priors: export it with the decoding (and priors) inside',
    )
  return await probed(foreign, grids, boxes)
}

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
  const steps: boolean[] = []
  let row = 0
  for (const map of maps) {
    const [, channels, rows, columns] = foreign.shape(map) as [number, number, number, number]
    const perCell = channels / 4
    const level = Array.from({ length: perCell }, (_, i): [number, number] => [
      side(still, row + i, 0).size,
      side(still, row + i, 1).size,
    ])
    const stride = Math.round(width / columns)
    const fits = (even: boolean) => {
      const [stepX, stepY] = even ? [width / columns, height / rows] : [stride, stride]
      return Array.from({ length: rows * columns * perCell }, (_, i) => i).every((i) => {
        const cell = Math.floor(i / perCell)
        const [x, y] = [side(still, row + i, 0), side(still, row + i, 1)]
        const [w, h] = level[i % perCell]!
        const near = (a: number, b: number) => Math.abs(a - b) < 0.02 + 1e-4 * Math.abs(b)
        const placed =
          near(x.centre, ((cell % columns) + 0.5) * stepX) && near(y.centre, (Math.floor(cell / columns) + 0.5) * stepY)
        return placed && near(x.size, w) && near(y.size, h)
      })
    }
    if (!fits(true) && !fits(false)) return 'its priors are no regular grid'
    steps.push(fits(true))
    anchors.push(level.map(([w, h]) => [Math.round(w * 1e3) / 1e3, Math.round(h * 1e3) / 1e3]))
    row += rows * columns * perCell
  }
  if (!steps.every((even) => even === steps[0])) return 'its grids are of different kinds'
  return { grids, anchors, variances, evenCells: steps[0]! }
}
