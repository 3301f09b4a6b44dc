/** Networks that end as RTMDet's exports do, and their layouts. */
import type { Value } from '../../trainer/graph/builder.ts'
import type { Graph } from '../../trainer/onnx/graph.ts'
import { C, type Case, classes, gridOf, layout, type Outputs, rowsOf, sigmoid, size } from './foreign-case.ts'
import { cellsOf, type ForeignOptions, Net, prior, three } from './foreign-net.ts'

export interface RtmdetExport {
  /** Maps of classes, then of distances (mmdetection, mmyolo), or both side by side (mmyolo's `--model-only`); boxes and scores of all cells, or the best of them (mmdeploy), or both in one output. */
  readonly form: 'maps' | 'joined' | 'decoded' | 'suppressed' | 'rows'
  /** Distances are given in pixels, not in strides (mmdetection). */
  readonly pixels?: boolean
  /** The maps hold logarithms of distances (larger models of mmdetection). */
  readonly logarithms?: boolean
  /** Distances below 0 are cut off, as in files that were of 8-bit numbers. */
  readonly cut?: boolean
  /** Each grid has filters of its own, as no published one has it. */
  readonly apart?: boolean
}

export function rtmdetNet(layout: ForeignOptions, { form, pixels, logarithms, cut, apart }: RtmdetExport): Graph {
  const net = new Net(layout)
  const { g } = net
  const { width, height } = layout
  const image = g.input('input', 'float32', [1, 3, height, width])
  const depth = 16
  // The grids' own BatchNormalizations are folded into the filters that they share.
  const factor = (grid: number, filter: number) => (filter % 3 === 0 ? -1 : 1) * (1 + 0.3 * Math.sin(grid * 5 + filter))
  const weights = (branch: string) => net.weight(branch, [depth, 32, 3, 3], Math.sqrt(2 / (9 * 32)))
  const [kindsBase, sidesBase] = [weights('cls_convs'), weights('reg_convs')]
  const tower = (branch: string, x: Value, base: Value, i: number) => {
    const filters = g.graph.initializers.get(apart ? weights(`${branch}${i}`).name : base.name)!
    const scaled = Float32Array.from(filters.data as Float32Array, (value, at) => value * factor(i, Math.floor(at / (32 * 9))))
    const y = g.conv(x, g.initializer(`${branch}${i}.folded`, { ...filters, data: scaled }), null, { pad: 1 })
    return g.mul(y, g.sigmoid(y))
  }
  const grids = net.features(image, three).map((x, i) => {
    const kinds = net.head(`rtm_cls${i}`, tower('cls', x, kindsBase, i), layout.classes, () => (layout.loud ? 0 : prior))
    const map = net.head(`rtm_reg${i}`, tower('reg', x, sidesBase, i), 4, () => (logarithms ? Math.log(2) : 2))
    const sides = logarithms ? g.exp(map) : cut ? g.relu(map) : map
    return { kinds, sides: pixels ? g.scale(sides, three[i]!) : sides }
  })
  if (form === 'joined')
    return net.done(
      grids.map(({ kinds, sides }) => g.concat([kinds, sides], 1)),
      ['824', '825', '826'],
      layout.opset,
    )
  if (form === 'maps')
    return net.done(
      [...grids.map(({ kinds }) => kinds), ...grids.map(({ sides }) => sides)],
      ['778', '796', '814', '825', '827', '829'],
      layout.opset,
    )
  const rows = (maps: readonly Value[]) => {
    const flat = maps.map((map) => g.reshape(g.transpose(map, [0, 2, 3, 1]), [1, -1, map.shape[1]!]))
    return g.concat(flat, 1)
  }
  const scores = g.sigmoid(rows(grids.map(({ kinds }) => kinds)))
  const points = gridsPoints(width, height)
  const corners = g.constant(points.flat(), [1, points.length, 2])
  const distances = rows(grids.map(({ sides }) => sides))
  const [low, high] = [g.slice(distances, [0], [2], [2]), g.slice(distances, [2], [4], [2])]
  const boxes = g.concat([g.sub(corners, low), g.add(corners, high)], 2)
  if (form === 'suppressed') {
    net.done([], [], layout.opset)
    return suppressed(net, boxes, scores)
  }
  if (form === 'rows') return net.done([g.transpose(g.concat([boxes, scores], 2), [0, 2, 1])], ['rows'], layout.opset)
  return net.done([boxes, scores], ['dets', 'labels'], layout.opset)
}

const gridsPoints = (width: number, height: number) =>
  three.flatMap((stride) => cellsOf(width, height, stride).map(([x, y]) => [x * stride, y * stride]))

/** As mmdeploy has it: of the best cells those that no other covers, however many these are. */
function suppressed({ g }: Net, boxes: Value, scores: Value): Graph {
  const best = g.op('ReduceMax', [scores], { attributes: { axes: [2], keepdims: 0 } })
  const [, order] = g.ops('TopK', [best, g.ints([40])], { attributes: { axis: 1 }, outputs: 2 }) as [Value, Value]
  const at = g.reshape(order, [40])
  const [few, fewScores] = [boxes, scores].map((value) => g.op('Gather', [value, at], { attributes: { axis: 1 } })) as [
    Value,
    Value,
  ]
  const limits = [g.ints([20]), g.constant([0.65], [1]), g.constant([0.05], [1])]
  const chosen = g.op('NonMaxSuppression', [few, g.transpose(fewScores, [0, 2, 1]), ...limits])
  const column = (i: number) => g.reshape(g.slice(chosen, [i], [i + 1], [1]), [-1])
  const dets = g.op('Gather', [few, column(2)], { attributes: { axis: 1 } })
  g.output(dets, 'dets')
  g.output(column(1), 'labels')
  return g.graph
}

const bgrMean = [103.53, 116.28, 123.675]
const bgrDeviation = [57.375, 57.12, 58.395]

/** Boxes from maps of the whole grid, channel by channel. */
const decodedMaps =
  ({ pixels = false, form }: RtmdetExport) =>
  (outputs: Outputs) =>
    gridOf(three).map(({ x, y, stride }, row) => {
      const level = three.indexOf(stride)
      const before = three.slice(0, level).reduce((sum, each) => sum + cellsOf(size.width, size.height, each).length, 0)
      const cells = cellsOf(size.width, size.height, stride).length
      const [names, further] = form === 'joined' ? [['824', '825', '826'], C] : [['825', '827', '829'], 0]
      const kindNames = form === 'joined' ? names : ['778', '796', '814']
      const at = (name: string, channel: number) => outputs[name]![channel * cells + row - before]!
      const [l, t, r, b] = [0, 1, 2, 3].map((k) => at(names[level]!, further + k) * (pixels ? 1 : stride)) as [
        number,
        number,
        number,
        number,
      ]
      return {
        box: [x * stride - l, y * stride - t, x * stride + r, y * stride + b] as const,
        scores: classes.map((_, c) => sigmoid(at(kindNames[level]!, c))),
      }
    })

const decodedRows = ({ dets, labels }: Outputs) => {
  const kinds = rowsOf(labels!, C)
  return rowsOf(dets!, 4).map((box, i) => ({ box: box as [number, number, number, number], scores: kinds[i]! }))
}

export const rtmdetLayouts: readonly Case[] = (
  [
    ['RTMDet of mmyolo, its maps alone', { form: 'maps' }],
    ['RTMDet of mmyolo that was of 8-bit numbers, its maps alone', { form: 'maps', cut: true }],
    ['RTMDet of mmyolo, its maps side by side', { form: 'joined' }],
    ['RTMDet of mmdetection, its maps alone', { form: 'maps', pixels: true }],
    ['a larger RTMDet of mmdetection, its maps alone', { form: 'maps', pixels: true, logarithms: true }],
    ['RTMDet of mmdeploy, decoded', { form: 'decoded', pixels: true }],
    ['a larger RTMDet of mmdeploy, decoded', { form: 'decoded', pixels: true, logarithms: true }],
    ['RTMDet of mmdeploy, with suppression inside', { form: 'suppressed', pixels: true }],
    ['RTMDet, decoded in one output', { form: 'rows', pixels: true }],
  ] as const
).map(([name, shape]): Case => {
  const inMaps = shape.form === 'maps' || shape.form === 'joined'
  return {
    name,
    adapter: 'rtmdet',
    graph: rtmdetNet({ ...layout, opset: 11 }, shape),
    ...(!inMaps && { whole: rtmdetNet({ ...layout, opset: 11 }, { ...shape, form: 'decoded' }) }),
    ...(shape.form === 'decoded' && { runBy: 'raw' }),
    ...(shape.form === 'rows' && { runBy: 'yolov8' }),
    prepare: (value, channel) => (value - bgrMean[2 - channel]!) / bgrDeviation[2 - channel]!,
    bgr: true,
    decode: inMaps ? decodedMaps(shape) : decodedRows,
    architecture: 'rtmdet',
    head: 'rtmdet',
    resize: 'letterbox',
  }
})
