/**
 * DETR and its kin (Carion 2020; YOLOS, RT-DETR, D-FINE, RF-DETR): each of Q queries of a transformer gives one box, boxes [1, Q, 4] of centre and
 * size in shares of the picture, scores [1, Q, C + 1] with "no object" last under a softmax, or [1, Q, C] under a sigmoid where the queries
 * are chosen among the picture's own features; both side by side in Ultralytics' exports. Run, not trained.
 */
import type { Value } from '../graph/builder.ts'
import { type Adapter, misfit, type Normalization } from './adapter.ts'
import { fixedCore } from './build-core.ts'
import { centred, scaledToPixels } from './fixed-boxes.ts'
import type { Foreign } from './foreign.ts'
import { boxForms, onSample, rowsIn } from './plausible.ts'
import { ownName } from './settle.ts'

const family = 'DETR'

/** RGB / 255, as RT-DETR and D-FINE are trained. */
const plain: Normalization = { channels: 'rgb', scale: 1 / 255, mean: [0, 0, 0], deviation: [1, 1, 1] }
/** Less ImageNet's mean, over its deviation: DETR, YOLOS, RF-DETR. */
const imageNet: Normalization = { ...plain, mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] }

/** Patches of a vision transformer are as large as this or larger; kernels of convolutional networks are smaller. */
const leastPatch = 12

export const detr: Adapter = async (whole, options) => {
  const classes = options.classes.length
  const foreign = takenApart(whole)
  const [boxes, scores, ...rest] = outputsOf(foreign, classes)
  if (!boxes || !scores || rest.length > 0)
    throw misfit(
      family,
      `its outputs are ${whole.describeOutputs()}; with ${classes} classes [1, queries, 4] and [1, queries, ${classes + 1} or ${classes}] are wanted, side by side or apart`,
    )
  if (!foreign.isLinear(scores))
    throw misfit(family, `${ownName(scores)} does not come from a linear layer, as that of a transformer does`)
  const nodes = foreign.ancestors(scores)
  // Two-stage DETRs choose their queries by score; all of those have sigmoid scores.
  const chosen = nodes.some(({ op }) => op === 'TopK')
  const width = foreign.shape(scores)[2]!
  if (chosen && width !== classes)
    throw misfit(
      family,
      `${ownName(scores)} has ${width} columns and no "no object" among them, where ${classes} classes are named: name all ${width}; RF-DETR counts its classes from 1 and never finds number 0, so there a name for that comes first`,
    )
  const patches = nodes.some(
    ({ op, inputs }) =>
      op === 'Conv' &&
      foreign
        .shape(inputs[1]!)
        .slice(2)
        .some((side) => side >= leastPatch),
  )
  const normalization = chosen && !patches ? plain : imageNet
  const common = { family, foreign, options, architecture: 'detr', normalization, resize: 'stretch' as const }
  const [numbers, values] = await onSample(foreign, common, [boxes, scores])
  const form = boxForms(rowsIn(numbers!, 4)).find(({ corners, shares }) => shares && !corners)
  if (!form || options.boxes === 'xyxy')
    throw misfit(family, `${ownName(boxes)} holds no centres and sizes in shares of the picture`)
  const inside = values!.every((value) => value >= 0 && value <= 1)
  const softmax = width === classes + 1
  const ending = inside ? 'as the file gives them' : softmax ? 'a softmax with "no object" last' : 'a sigmoid'
  const words = normalization === plain ? 'RGB / 255' : "RGB / 255 less ImageNet's mean"
  return fixedCore({
    ...common,
    why: `${foreign.shape(boxes)[1]} queries of a transformer; scores are ${ending}, pictures ${words} (tell it with --mean and --std if yours wants others); it is run, not trained`,
    // Each object has one query; what is left of doubles is nearly the same box.
    nms: 'per-class',
    nmsIou: 0.8,
    make: (g) => {
      const flat = (name: string): Value => g.reshape(g.value(name), foreign.shape(name).slice(1))
      const logits = flat(scores)
      const probabilities = inside ? logits : softmax ? g.op('Softmax', [logits], { attributes: { axis: 1 } }) : g.sigmoid(logits)
      return {
        boxes: scaledToPixels(g, centred(g, flat(boxes)), foreign.input.width, foreign.input.height),
        scores: softmax ? g.slice(probabilities, [0], [classes], [1]) : probabilities,
      }
    },
  })
}

/** Ultralytics' RT-DETR has boxes and scores side by side in its only output. */
function takenApart(whole: Foreign): Foreign {
  const [output, ...more] = whole.graph.outputs.map(({ name }) => name)
  const parts = output !== undefined && more.length === 0 ? whole.parts(output) : []
  const [boxes, scores] = parts.map((part) => whole.shape(part))
  const fits = parts.length === 2 && boxes!.length === 3 && boxes![2] === 4 && boxes![1] === scores![1]
  return fits ? whole.upTo(...parts) : whole
}

/** Names of boxes and scores, and of what else there is. */
function outputsOf(foreign: Foreign, classes: number): (string | undefined)[] {
  const names = foreign.graph.outputs.map(({ name }) => name)
  const of = (width: number) => foreign.outputs([1, undefined, width])
  // With three or four classes both have four columns: boxes are called so.
  const boxes = of(4).sort((a, b) => Number(/box|dets/i.test(b)) - Number(/box|dets/i.test(a)))[0]
  const scores = [...of(classes + 1), ...of(classes)].find((name) => name !== boxes)
  const alike = boxes && scores && foreign.shape(boxes)[1] === foreign.shape(scores)[1]
  return alike ? [boxes, scores, ...names.filter((name) => name !== boxes && name !== scores)] : []
}
