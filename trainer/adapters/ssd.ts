/**
 * SSD and its small kin (Ultra-Light face detectors: RFB and slim): scores [1, priors, C + 1] with the background first, boxes
 * [1, priors, 4] in shares of the picture, decoded inside. Priors and variances are read off the network's own decoding; where it does not
 * decode, they are told, or those of a published network with such grids.
 */
import { columns } from '../detector/heads/head.ts'
import { type Adapter, misfit, preparation } from './adapter.ts'
import { fixedCore, trainableOrWhy } from './build-core.ts'
import { centred, scaledToPixels } from './fixed-boxes.ts'
import type { Foreign } from './foreign.ts'
import { listsInside } from './lists-inside.ts'
import { type OwnOutput, ownBoxes } from './own-decoding.ts'
import { boxForms, onSample, rowsIn } from './plausible.ts'
import { usualNormalization } from './published-priors.ts'
import { ownName } from './settle.ts'
import { family, priorsOf } from './ssd-priors.ts'

export const ssd: Adapter = async (whole, options) => {
  const width = options.classes.length + 1
  const chosen = listsInside(whole)
  const foreign = chosen ? whole.upTo(...chosen.lists, ...chosen.boxes) : whole
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
  const given = chosen?.anchors.map((name) => whole.constant(name)!)
  const found = await priorsOf(foreign, { scores, boxes, width }, { told: options.anchors, given })
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
    ...ownBoxes(chosen?.boxes ?? []),
  ]
  const decodes = typeof found === 'string' || found.decodes
  const { channels, scale, mean, deviation } = preparation(normalization, foreign, options)
  const words = `pictures (${channels.toUpperCase()}${scale === 1 ? '' : ` x ${scale}`} - ${mean.join(', ')}) / ${deviation.join(', ')}${foreign.normalization ? ', as the file has them' : by ? `, as ${by.name} has them` : ' (tell it with --mean and --std if yours wants others)'}`
  let why = found
  if (typeof found !== 'string') {
    const { grids, anchors, variances, strides, evenCells, clampedCells } = found
    const made = await trainableOrWhy({
      ...ending,
      why: `${grids.length} grids of priors with ${anchors.map((each) => each.length).join(', ')} a cell, variances ${variances.join(' and ')}${chosen ? '; decoded inside, of which the file would choose the best' : decodes ? '' : `; boxes are not decoded inside: priors as ${options.anchors ? 'told' : `${by!.name} was published with (tell others with --anchors)`}`}; ${words}`,
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
  if (chosen) throw misfit(family, `the rows of which it chooses the best cannot be trained: ${why}`)
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
