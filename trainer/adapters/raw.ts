/**
 * Any model that gives boxes and scores, before or after suppression: boxes [.., n, 4] with scores [.., n, C] or [.., C, n]; or boxes, one
 * score and one class number each; or rows of six [x1, y1, x2, y2, score, class]. Run, not trained.
 */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { elementCount } from '../onnx/graph.ts'
import { type Adapter, asTrained, misfit } from './adapter.ts'
import { fixedCore } from './build-core.ts'
import { centred, scaledToPixels } from './fixed-boxes.ts'
import type { Foreign } from './foreign.ts'
import { ownName } from './settle.ts'

const family = 'boxes-and-scores'

interface Form {
  readonly words: string
  readonly make: (g: GraphBuilder) => { boxes: Value; scores: Value }
}

export const raw: Adapter = async (foreign, options) => {
  const form = formOf(foreign, options.classes.length)
  const { width, height } = foreign.input
  const asked = options.boxes ?? 'xyxy'
  return fixedCore({
    foreign,
    options,
    architecture: 'boxes-and-scores',
    normalization: { ...asTrained, scale: 1 / 255 },
    resize: 'letterbox',
    why: `${form.words}, taken as ${asked}; it is run, not trained`,
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
}

function formOf(foreign: Foreign, classes: number): Form {
  const outputs = foreign.graph.outputs.map(({ name, type }) => ({ name, type, shape: foreign.shape(name) }))
  const flat = (g: GraphBuilder, name: string, width: number) => g.reshape(g.value(name), [-1, width])
  const kinds = (g: GraphBuilder, score: Value, label: Value) => {
    const numbers = g.op('Cast', [label], { attributes: { to: 1 } })
    const isKind = g.op('Equal', [numbers, g.constant([...Array(classes).keys()], [1, classes])])
    return g.mul(g.op('Cast', [isKind], { attributes: { to: 1 } }), score)
  }
  const boxes = outputs.find(({ shape }) => shape.length >= 2 && shape.at(-1) === 4)
  if (boxes) {
    const count = elementCount(boxes.shape) / 4
    const last = outputs.find(({ name, shape }) => name !== boxes.name && shape.length >= 2 && shape.at(-1) === classes)
    const scores =
      last ??
      outputs.find(({ name, shape }) => name !== boxes.name && shape.length === 3 && shape[1] === classes && shape[2] === count)
    const plain = outputs.filter(({ name, shape }) => name !== boxes.name && shape.length === boxes.shape.length - 1)
    const label = plain.find(({ name, type }) => type !== 'float32' || /label|class/i.test(name))
    const score = plain.find((each) => each !== label)
    if (label && score)
      return {
        words: `boxes ${ownName(boxes.name)}, scores ${ownName(score.name)} and class numbers ${ownName(label.name)}`,
        make: (g) => ({ boxes: flat(g, boxes.name, 4), scores: kinds(g, flat(g, score.name, 1), flat(g, label.name, 1)) }),
      }
    if (scores)
      return {
        words: `boxes ${ownName(boxes.name)} and scores ${ownName(scores.name)}`,
        make: (g) => ({
          boxes: flat(g, boxes.name, 4),
          scores:
            scores === last
              ? flat(g, scores.name, classes)
              : g.reshape(g.transpose(g.value(scores.name), [0, 2, 1]), [-1, classes]),
        }),
      }
  }
  const rows = outputs.find(({ shape }) => shape.length >= 2 && shape.at(-1) === 6)
  if (rows)
    return {
      words: `rows of [x1, y1, x2, y2, score, class] in ${ownName(rows.name)}`,
      make: (g) => {
        const all = flat(g, rows.name, 6)
        const part = (from: number, to: number) => g.slice(all, [from], [to], [1])
        return { boxes: part(0, 4), scores: kinds(g, part(4, 5), part(5, 6)) }
      },
    }
  throw misfit(
    family,
    `its outputs are ${foreign.describeOutputs()}; boxes [n, 4] with scores [n, ${classes}], or with a score and a class number each, or rows of six are wanted`,
  )
}
