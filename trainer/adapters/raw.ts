/**
 * Any model that gives boxes and scores, before or after suppression: boxes [.., n, 4] with scores [.., n, C] or [.., C, n]; or boxes, one
 * score and one class number each; or rows of six, [x1, y1, x2, y2, score, class] (end-to-end YOLO exports) or [class, score, x1, y1, x2, y2]
 * (Paddle), or of seven, with the picture's number in front of boxes, class and score (YOLOv7). What the numbers are on a picture decides
 * where their shapes do not. Run, not trained.
 */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { elementCount } from '../onnx/graph.ts'
import { type Adapter, type AdapterOptions, asTrained, misfit } from './adapter.ts'
import { fixedCore } from './build-core.ts'
import { centred, scaledToPixels } from './fixed-boxes.ts'
import type { Foreign } from './foreign.ts'
import { boxForms, onSample, refuseNoProbabilities, rowsIn } from './plausible.ts'
import { ownName } from './settle.ts'

const family = 'boxes-and-scores'

interface Form {
  readonly words: string
  /** Outputs that hold boxes and scores, and where in their rows. */
  readonly boxes: { readonly output: string; readonly width: number; readonly from: number }
  readonly scores: { readonly output: string; readonly width: number; readonly from: number; readonly to: number }
  /** Output with class numbers, where they have one of their own. */
  readonly labels?: string
  /** Whether rows of this kind are known to hold corners. */
  readonly corners?: boolean
  readonly make: (g: GraphBuilder) => { boxes: Value; scores: Value }
}

export const raw: Adapter = async (foreign, options) => {
  const common = {
    family,
    foreign,
    options,
    architecture: 'boxes-and-scores',
    normalization: { ...asTrained, scale: 1 / 255 },
  }
  const rows = foreign.graph.outputs.find(
    ({ name }) => foreign.shape(name).length >= 2 && [6, 7].includes(foreign.shape(name).at(-1)!),
  )
  const form = separate(foreign, options.classes.length) ?? (rows && (await together(common, rows.name, options.classes.length)))
  if (!form)
    throw misfit(
      family,
      `its outputs are ${foreign.describeOutputs()}; boxes [n, 4] with scores [n, ${options.classes.length}], or with a score and a class number each, or rows of six or seven are wanted`,
    )
  const used = [form.boxes.output, form.scores.output, form.labels]
  const left = foreign.graph.outputs.filter(({ name }) => !used.includes(name) && elementCount(foreign.shape(name)) !== 1)
  if (left.length > 0)
    throw misfit(
      family,
      `it also gives ${left.map(({ name }) => ownName(name)).join(', ')}, so its boxes may not be meant as they are: cut the file down to boxes and scores`,
    )
  const { width, height } = foreign.input
  const [boxNumbers, scoreNumbers, labels] = await onSample(foreign, common, [
    form.boxes.output,
    form.scores.output,
    ...(form.labels === undefined ? [] : [form.labels]),
  ])
  refuseUnnamed(labels ?? [], options.classes.length)
  const four = rowsIn(boxNumbers!, form.boxes.width).map((row) => row.slice(form.boxes.from, form.boxes.from + 4))
  refuseNoProbabilities(
    family,
    form.scores.output,
    rowsIn(scoreNumbers!, form.scores.width).flatMap((row) => row.slice(form.scores.from, form.scores.to)),
  )
  const forms = boxForms(four)
  const seen = form.corners ? forms.find(({ corners }) => corners) : forms[0]
  if (!options.boxes && four.length > 0 && !seen)
    throw misfit(
      family,
      `the boxes in ${ownName(form.boxes.output)} are on a picture ${form.corners ? 'no corners (if they are centre and size, say --boxes cxcywh)' : 'neither corners nor centre and size'}: export it with its decoding inside`,
    )
  // Transformers are trained on pictures that were stretched (DETR's kin), detectors on grids on letterboxed ones.
  const resize = foreign.isLinear(form.scores.output) ? 'stretch' : 'letterbox'
  const asked = options.boxes ?? (seen?.corners === false ? 'cxcywh' : 'xyxy')
  const adopted = fixedCore({
    ...common,
    resize,
    why: `${form.words}, taken as ${asked}; pictures RGB / 255, where nothing else is told; it is run, not trained`,
    nms: 'per-class',
    nmsIou: 0.6,
    make: (g) => {
      const { boxes, scores } = form.make(g)
      const corners = asked === 'cxcywh' ? centred(g, boxes) : boxes
      // Shares of the picture never lie far beyond 1, pixels nearly always do: the greatest number tells, in the run.
      const greatest = g.op('ReduceMax', [boxes], { attributes: { keepdims: 1 } })
      const shares = g.op('Less', [greatest, g.constant(2)])
      return { boxes: g.op('Where', [shares, scaledToPixels(g, corners, width, height), corners]), scores }
    },
  })
  return { ...adopted, anyClasses: form.labels !== undefined || form.boxes.output === form.scores.output }
}

/** Class numbers without a name would never be seen, and a list that is too short is often one that is shifted. @throws MuninnError BAD_MODEL */
function refuseUnnamed(labels: ArrayLike<number>, classes: number): void {
  let greatest = -1
  for (let i = 0; i < labels.length; i++) greatest = Math.max(greatest, labels[i]!)
  if (greatest >= classes)
    throw misfit(
      family,
      `its class numbers reach ${greatest} on a picture, and ${classes} classes are named, from 0: name all that it has, with the background first where that is its number 0 (torchvision)`,
    )
}

const flat = (g: GraphBuilder, name: string, width: number) => g.reshape(g.value(name), [-1, width])

/** Scores [n, C] from a score and a class number each, [n, 1]. */
function spread(g: GraphBuilder, score: Value, label: Value, classes: number): Value {
  const numbers = g.op('Cast', [label], { attributes: { to: 1 } })
  const isKind = g.op('Equal', [numbers, g.constant([...Array(classes).keys()], [1, classes])])
  return g.mul(g.op('Cast', [isKind], { attributes: { to: 1 } }), score)
}

/** Boxes in one output, scores in another. */
function separate(foreign: Foreign, classes: number): Form | undefined {
  const outputs = foreign.graph.outputs.map(({ name, type }) => ({ name, type, shape: foreign.shape(name) }))
  const boxes = outputs.find(({ shape }) => shape.length >= 2 && shape.at(-1) === 4)
  if (!boxes) return undefined
  const count = elementCount(boxes.shape) / 4
  const others = outputs.filter(({ name }) => name !== boxes.name)
  const last = others.find(
    ({ shape }) => shape.length >= 2 && shape.at(-1) === classes && elementCount(shape) === count * classes,
  )
  const scores = last ?? others.find(({ shape }) => shape.length === 3 && shape[1] === classes && shape[2] === count)
  const plain = others.filter(({ shape }) => shape.length === boxes.shape.length - 1)
  const label = plain.find(({ name, type }) => type !== 'float32' || /label|class/i.test(name))
  const score = plain.find((each) => each !== label)
  const place = { output: boxes.name, width: 4, from: 0 }
  if (label && score)
    return {
      words: `boxes ${ownName(boxes.name)}, scores ${ownName(score.name)} and class numbers ${ownName(label.name)}`,
      boxes: place,
      scores: { output: score.name, width: 1, from: 0, to: 1 },
      labels: label.name,
      make: (g) => ({
        boxes: flat(g, boxes.name, 4),
        scores: spread(g, flat(g, score.name, 1), flat(g, label.name, 1), classes),
      }),
    }
  if (!scores) return undefined
  return {
    words: `boxes ${ownName(boxes.name)} and scores ${ownName(scores.name)}`,
    boxes: place,
    scores: { output: scores.name, width: 1, from: 0, to: 1 },
    make: (g) => ({
      boxes: flat(g, boxes.name, 4),
      scores:
        scores === last ? flat(g, scores.name, classes) : g.reshape(g.transpose(g.value(scores.name), [0, 2, 1]), [-1, classes]),
    }),
  }
}

/** Where box, score and class stand in a row of so many numbers. */
interface Columns {
  readonly words: string
  readonly box: number
  readonly score: number
  readonly kind: number
  /** Number of the picture, of which there is one. */
  readonly picture?: number
}

const columnsOf: Readonly<Record<number, readonly Columns[]>> = {
  6: [
    { words: '[x1, y1, x2, y2, score, class]', box: 0, score: 4, kind: 5 },
    { words: '[class, score, x1, y1, x2, y2]', box: 2, score: 1, kind: 0 },
    { words: '[x1, y1, x2, y2, class, score]', box: 0, score: 5, kind: 4 },
  ],
  7: [
    { words: '[picture, x1, y1, x2, y2, class, score]', box: 1, score: 6, kind: 5, picture: 0 },
    { words: '[picture, class, score, x1, y1, x2, y2]', box: 3, score: 2, kind: 1, picture: 0 },
  ],
}

/** Boxes, scores and class numbers in one output. @throws MuninnError BAD_MODEL when its numbers are none */
async function together(
  common: { foreign: Foreign; options: AdapterOptions; normalization: typeof asTrained },
  output: string,
  classes: number,
): Promise<Form> {
  const width = common.foreign.shape(output).at(-1)!
  const [numbers] = await onSample(common.foreign, common, [output])
  const rows = rowsIn(numbers!, width)
  // Rows of nothing fill up an output of fixed length: zeros, or a class of -1.
  const fits = ({ score, kind, picture }: Columns) =>
    rows.every((row) => {
      const whole = Number.isInteger(row[kind]) && row[kind]! >= -1 && row[kind]! < classes
      // Rotated boxes are rows of seven as well, with an angle in the end.
      const first = picture === undefined || row[picture] === 0 || row[picture] === -1
      return first && whole && row[score]! >= -1 && row[score]! <= 1 + 1e-3
    })
  const form = columnsOf[width]!.find(fits)
  if (!form)
    throw misfit(
      family,
      `the rows of ${ownName(output)} hold no score and class number below ${classes} where end-to-end exports have them`,
    )
  const { words, box, score, kind } = form
  return {
    words: `rows of ${words} in ${ownName(output)}`,
    corners: true,
    boxes: { output, width, from: box },
    // A score of -1 fills up as well.
    scores: { output, width, from: score, to: score },
    make: (g) => {
      const all = flat(g, output, width)
      const part = (from: number, to: number) => g.slice(all, [from], [to], [1])
      return { boxes: part(box, box + 4), scores: spread(g, part(score, score + 1), part(kind, kind + 1), classes) }
    },
  }
}
