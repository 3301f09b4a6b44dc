/**
 * Small networks whose ends are laid out as each family's published export has it (inputs, per-grid maps, decoding nodes, outputs), with
 * weights from a seed: what adapters are tested on where the real files are not at hand.
 */
import type { GraphBuilder, Value } from '../../trainer/graph/builder.ts'
import type { Graph } from '../../trainer/onnx/graph.ts'
import { cellsOf, type ForeignOptions, type Layout, Net, prior, spread, three } from './foreign-net.ts'

export function yoloxNet(layout: ForeignOptions, decoded = false): Graph {
  const net = new Net(layout)
  const { g } = net
  const { classes, width, height } = layout
  const image = g.input('images', 'float32', [1, 3, height, width])
  const maps = net
    .features(image, three, 255)
    .map((x, i) =>
      g.concat(
        [
          net.head(`reg${i}`, x, 4),
          g.sigmoid(net.head(`obj${i}`, x, 1, () => (layout.loud ? 0 : -4))),
          g.sigmoid(net.head(`cls${i}`, x, classes, () => -2 * Number(!layout.loud))),
        ],
        1,
      ),
    )
  const rows = g.transpose(
    g.concat(
      maps.map((map) => g.reshape(map, [1, 5 + classes, -1])),
      2,
    ),
    [0, 2, 1],
  )
  if (!decoded) return net.done([rows], ['output'], layout.opset)
  return net.done([yoloxDecoded(g, rows, layout)], ['output'], layout.opset)
}

/** Rows [1, cells, 5 + C] with their boxes' centres and sizes in pixels. */
function yoloxDecoded(g: GraphBuilder, rows: Value, { classes, width, height }: Layout): Value {
  const grid = three.flatMap((stride) => cellsOf(width, height, stride).map(([x, y]) => ({ x, y, stride })))
  const column = (of: (cell: { x: number; y: number; stride: number }) => readonly number[], k: number) =>
    g.constant(grid.flatMap(of), [1, grid.length, k])
  const strides = column(({ stride }) => [stride], 1)
  const part = (from: number, to: number) => g.slice(rows, [from], [to], [2])
  const xy = g.mul(
    g.add(
      part(0, 2),
      column(({ x, y }) => [x, y], 2),
    ),
    strides,
  )
  return g.concat([xy, g.mul(g.exp(part(2, 4)), strides), part(4, 5 + classes)], 2)
}

/** One convolution for box and objectness, sigmoids behind the Concat; `apart`: nine maps that are not decoded, as for 8-bit numbers. */
export function edgeyoloNet(layout: ForeignOptions, apart = false): Graph {
  const net = new Net(layout)
  const { g } = net
  const { classes, width, height } = layout
  const image = g.input('input_0', 'float32', [1, 3, height, width])
  const features = net.features(image, three, 255)
  const quiet = (bias: number) => Number(!layout.loud) * bias
  const kinds = (x: Value, i: number) => net.head(`cls${i}`, x, classes, () => quiet(-2))
  if (apart) {
    const outputs = [
      ...features.map((x, i) => net.head(`reg${i}`, x, 4)),
      ...features.map((x, i) => net.head(`obj${i}`, x, 1, () => quiet(-4))),
      ...features.map(kinds),
    ]
    const names = ['reg', 'obj_conf', 'cls_conf'].flatMap((name) => three.map((_, i) => `${name}${i}`))
    return net.done(outputs, names, layout.opset)
  }
  const grids = features.map((x, i) => {
    const box = net.head(`rego${i}`, x, 5, (channel) => (channel === 4 ? quiet(-4) : 0))
    const map = g.transpose(g.reshape(g.concat([box, kinds(x, i)], 1), [1, 5 + classes, -1]), [0, 2, 1])
    const [four, scores] = net.split(map, [4, 1 + classes], 2) as [Value, Value]
    return g.concat([four, g.sigmoid(scores)], 2)
  })
  return net.done([yoloxDecoded(g, g.concat(grids, 1), layout)], ['output_0'], layout.opset)
}

export function fastestdetNet(layout: ForeignOptions): Graph {
  const net = new Net(layout)
  const { g } = net
  const image = g.input('input.1', 'float32', [1, 3, layout.height, layout.width])
  const [x] = net.features(image, [16])
  const kinds = g.transpose(net.head('cls', x!, layout.classes), [0, 3, 2, 1])
  const softmax = g.transpose(g.op('Softmax', [kinds], { attributes: { axis: 3 } }), [0, 3, 2, 1])
  const object = g.sigmoid(net.head('obj', x!, 1, () => (layout.loud ? 0 : -3)))
  return net.done([g.concat([object, net.head('reg', x!, 4), softmax], 1)], ['758'], layout.opset)
}

/** @param shared one convolution for classes and distances, as in NanoDet-Plus; else one each and a learnt scale, as before */
export function nanodetNet(
  layout: ForeignOptions,
  { strides, shared, bins = 8 }: { strides: readonly number[]; shared: boolean; bins?: number },
): Graph {
  const net = new Net(layout)
  const { g } = net
  const { classes } = layout
  const image = g.input('data', 'float32', [1, 3, layout.height, layout.width])
  const flat = net.features(image, strides).map((x, i) => {
    const bias = (channel: number) => (channel < classes && !layout.loud ? prior : 0)
    const [scores, distances] = shared
      ? (net.split(net.head(`gfl${i}`, x, classes + 4 * bins, bias), [classes, 4 * bins], 1) as [Value, Value])
      : [
          net.head(`cls${i}`, x, classes, bias),
          g.mul(
            net.head(`reg${i}`, x, 4 * bins),
            net.vector(`scale${i}`, [], () => 1.1),
          ),
        ]
    return g.reshape(g.concat([g.sigmoid(scores), distances], 1), [1, classes + 4 * bins, -1])
  })
  return net.done([g.transpose(g.concat(flat, 2), [0, 2, 1])], ['output'], layout.opset)
}

/** As exported before 2022: of each grid one output of scores and one of distributions, called by their strides; `batched`: with a first axis of 1. */
export function earlyNanodetNet(layout: ForeignOptions, batched = true): Graph {
  const net = new Net(layout)
  const { g } = net
  const image = g.input('input.1', 'float32', [1, 3, layout.height, layout.width])
  const rows = (value: Value) => {
    const [k, ...cells] = value.shape.slice(1) as [number, number, number]
    const turned = g.transpose(g.reshape(value, [1, k, -1]), [0, 2, 1])
    return batched ? turned : g.reshape(turned, [cells[0]! * cells[1]!, k])
  }
  const outputs = net
    .features(image, three)
    .map((x, i) => [rows(g.sigmoid(net.head(`cls${i}`, x, layout.classes))), rows(net.head(`reg${i}`, x, 32))] as const)
  return net.done(
    outputs.flat(),
    three.flatMap((stride) => [`cls_pred_stride_${stride}`, `dis_pred_stride_${stride}`]),
    layout.opset,
  )
}

/** @param aligned as in the second version: scores are the root of classes times an alignment of their own */
export function picodetNet(layout: ForeignOptions, aligned = false): Graph {
  const net = new Net(layout)
  const { g } = net
  const { classes } = layout
  const image = g.input('image', 'float32', [1, 3, layout.height, layout.width])
  const pairs = net.features(image, [8, 16, 32, 64]).map((x, i) => {
    // Paddle's converter adds the bias in a node of its own.
    const w = net.weight(`cls${i}.weight`, [classes, x.shape[1]!, 1, 1], layout.loud ? spread : 0.01)
    const bias = net.vector(`cls${i}.bias`, [1, classes, 1, 1], () => (layout.loud ? 0 : prior))
    const kinds = g.sigmoid(g.add(g.conv(x, w, null), bias))
    const scores = aligned ? g.sqrt(g.add(g.mul(kinds, g.sigmoid(net.head(`align${i}`, x, 1))), g.constant(1e-9))) : kinds
    const rows = (value: Value, width: number) => g.transpose(g.reshape(value, [1, width, -1]), [0, 2, 1])
    return { scores: rows(scores, classes), distances: rows(net.head(`reg${i}`, x, 32), 32) }
  })
  const outputs = [...pairs.map(({ scores }) => scores), ...pairs.map(({ distances }) => distances)]
  return net.done(
    outputs,
    outputs.map((_, i) => `save_infer_model/scale_${i}.tmp_0`),
    layout.opset,
  )
}

/**
 * Boxes x1 y1 x2 y2 and scores in an output each: YOLO-NAS, PP-YOLOE (its scores turned, the bias of classes in a node of its own), or DAMO-YOLO
 * (a learnt scale before its distributions, which are measured from the corners of cells).
 */
export function boxesBesideScoresNet(layout: ForeignOptions, family: 'nas' | 'paddle' | 'damo', bins = 17): Graph {
  const net = new Net(layout)
  const { g } = net
  const { classes, width, height } = layout
  const damo = family === 'damo'
  const image = g.input('input', 'float32', [1, 3, height, width])
  const flat = (map: Value) => g.reshape(map, [1, map.shape[1]!, -1])
  const bias = () => (layout.loud ? 0 : prior)
  const grids = net.features(image, three, damo ? 255 : 1).map((x, i) => {
    const apart = () =>
      g.add(
        g.conv(x, net.weight(`cls${i}.weight`, [classes, x.shape[1]!, 1, 1], layout.loud ? spread : 0.01), null),
        net.vector(`cls${i}.bias`, [1, classes, 1, 1], bias),
      )
    const kinds = family === 'paddle' ? apart() : net.head(`cls${i}`, x, classes, bias)
    const numbers = net.head(`reg${i}`, x, 4 * bins)
    const scaled = damo
      ? g.mul(
          numbers,
          net.vector(`scale${i}`, [], () => 1.1),
        )
      : numbers
    const sides = g.transpose(g.reshape(scaled, [1, 4, bins, -1]), [0, 3, 1, 2])
    const softmax = g.op('Softmax', [sides], { attributes: { axis: 3 } })
    const steps = g.constant([...Array(bins).keys()], [1, 1, 1, bins])
    return { scores: flat(g.sigmoid(kinds)), distances: g.sum(g.mul(softmax, steps), [3], false) }
  })
  const turned = g.concat(
    grids.map(({ scores }) => scores),
    2,
  )
  const scores = family === 'paddle' ? turned : g.transpose(turned, [0, 2, 1])
  const distances = g.concat(
    grids.map((each) => each.distances),
    1,
  )
  const offset = damo ? 0 : 0.5
  const cells = three.flatMap((stride) =>
    cellsOf(width, height, stride).map(([x, y]) => [x + offset, y + offset, stride] as const),
  )
  const points = g.constant(
    cells.flatMap((cell) => cell.slice(0, 2)),
    [1, cells.length, 2],
  )
  const strides = g.constant(
    cells.map(([, , stride]) => stride),
    [1, cells.length, 1],
  )
  const low = g.sub(points, g.slice(distances, [0], [2], [2]))
  const high = g.add(points, g.slice(distances, [2], [4], [2]))
  const boxes = g.mul(g.concat([low, high], 2), strides)
  return damo
    ? net.done([scores, boxes], ['scores', 'boxes'], layout.opset)
    : net.done([boxes, scores], ['boxes', 'scores'], layout.opset)
}

export const yolov5Anchors = [
  [10, 13, 16, 30, 33, 23],
  [30, 61, 62, 45, 59, 119],
  [116, 90, 156, 198, 373, 326],
]

/**
 * @param decoded false: the three maps alone, as for training
 * @param end YOLOv7's [n, 7] of the boxes that its own suppression leaves, with the number of the picture in front and class and score behind
 */
/** `decoded`: false gives the maps, `sigmoids` rows of their sigmoids (YOLOv5-Lite). */
export function yolov5Net(layout: ForeignOptions, decoded: boolean | 'sigmoids' = true, end = false): Graph {
  const net = new Net(layout)
  const { g } = net
  const { classes, width, height } = layout
  const row = 5 + classes
  const image = g.input('images', 'float32', [1, 3, height, width])
  const raw: Value[] = []
  const rows = net.features(image, three).map((x, i) => {
    const stride = three[i]!
    const [h, w] = [x.shape[2]!, x.shape[3]!]
    const map = net.head(`m${i}`, x, 3 * row, (channel) => (layout.loud ? 0 : channel % row === 4 ? -4 : 0))
    const open = g.transpose(g.reshape(map, [1, 3, row, h, w]), [0, 1, 3, 4, 2])
    raw.push(open)
    const [xy, wh, rest] = net.split(g.sigmoid(open), [2, 2, 1 + classes], 4) as [Value, Value, Value]
    const corner = cellsOf(width, height, stride).flatMap(([cx, cy]) => [cx - 0.5, cy - 0.5])
    const grid = g.constant([...corner, ...corner, ...corner], [1, 3, h, w, 2])
    const sizes = g.constant(
      [0, 1, 2].flatMap((a) => Array.from({ length: h * w }, () => yolov5Anchors[i]!.slice(a * 2, a * 2 + 2)).flat()),
      [1, 3, h, w, 2],
    )
    const centre = g.scale(g.add(g.scale(xy, 2), grid), stride)
    const size = g.mul(g.op('Pow', [g.scale(wh, 2), g.constant(2)]), sizes)
    return g.reshape(g.concat([centre, size, rest], 4), [1, 3 * h * w, row])
  })
  if (!decoded) return net.done(raw, ['output', '350', '498'], layout.opset)
  if (decoded === 'sigmoids') {
    const joined = g.concat(
      raw.map((map) => g.reshape(map, [1, -1, row])),
      1,
    )
    return net.done([g.sigmoid(joined)], ['output'], layout.opset)
  }
  if (end) return net.done([yolov7End(g, g.concat(rows, 1), layout)], ['output'], layout.opset)
  // Older exports also give the raw maps.
  return net.done([g.concat(rows, 1), ...raw], ['output', '350', '498', '646'], layout.opset)
}

export const yolov4Anchors = [
  [12, 16, 19, 36, 40, 28],
  [36, 75, 76, 55, 72, 146],
  [142, 110, 192, 243, 459, 401],
]
/** Darknet's scale_x_y of each grid. */
export const yolov4Scales = [1.2, 1.1, 1.05]

/** `decoded`: boxes in shares of the picture and scores, with the grids from coarse to fine as Darknet's tiny models have them; else the maps. */
export function yolov4Net(layout: ForeignOptions, decoded = true): Graph {
  const net = new Net(layout)
  const { g } = net
  const { classes, width, height } = layout
  const row = 5 + classes
  const image = g.input('input', 'float32', [1, 3, height, width])
  const maps = net
    .features(image, three)
    .map((x, i) => net.head(`m${i}`, x, 3 * row, (channel) => (layout.loud ? 0 : channel % row === 4 ? -4 : 0)))
  if (!decoded) return net.done(maps, ['p8', 'p16', 'p32'], layout.opset)
  const made = maps.map((map, i) => {
    const [stride, scale] = [three[i]!, yolov4Scales[i]!]
    const [h, w] = [map.shape[2]!, map.shape[3]!]
    const rows = g.reshape(g.transpose(g.reshape(map, [1, 3, row, h * w]), [0, 1, 3, 2]), [1, 3 * h * w, row])
    const part = (from: number, to: number) => g.slice(rows, [from], [to], [2])
    const corner = cellsOf(width, height, stride).flat()
    const cells = g.constant([...corner, ...corner, ...corner], [1, 3 * h * w, 2])
    const sizes = g.constant(
      [0, 1, 2].flatMap((a) => Array.from({ length: h * w }, () => yolov4Anchors[i]!.slice(a * 2, a * 2 + 2)).flat()),
      [1, 3 * h * w, 2],
    )
    const shifted = g.sub(g.scale(g.sigmoid(part(0, 2)), scale), g.constant((scale - 1) / 2))
    const picture = g.constant([width, height], [1, 1, 2])
    const centre = g.div(g.scale(g.add(shifted, cells), stride), picture)
    const half = g.scale(g.div(g.mul(g.exp(part(2, 4)), sizes), picture), 0.5)
    return {
      boxes: g.reshape(g.concat([g.sub(centre, half), g.add(centre, half)], 2), [1, 3 * h * w, 1, 4]),
      scores: g.mul(g.sigmoid(part(5, row)), g.sigmoid(part(4, 5))),
    }
  })
  const all = (kind: 'boxes' | 'scores') => g.concat(made.map((each) => each[kind]).reverse(), 1)
  return net.done([all('boxes'), all('scores')], ['boxes', 'confs'], layout.opset)
}

export const yoloFastestV2Anchors = [12.64, 19.39, 37.88, 51.48, 55.71, 138.31, 126.91, 78.23, 131.57, 214.55, 279.92, 258.87]

/** `form`: each grid's maps side by side, the cells of both in one list, or the maps alone. */
export function yoloFastestV2Net(layout: ForeignOptions, form: 'grids' | 'list' | 'maps' = 'grids'): Graph {
  const net = new Net(layout)
  const { g } = net
  const { classes, width, height } = layout
  const image = g.input('input.1', 'float32', [1, 3, height, width])
  const grids = net
    .features(image, [16, 32])
    .map((x, i) => [
      net.head(`reg${i}`, x, 12),
      net.head(`obj${i}`, x, 3, () => (layout.loud ? 0 : -4)),
      net.head(`cls${i}`, x, classes),
    ])
  if (form === 'maps') return net.done(grids.flat(), ['777', '778', '779', '780', '781', '782'], layout.opset)
  const beside = grids.map(([box, object, kinds]) => {
    const softmax = g.op('Softmax', [kinds!], { attributes: { axis: 1 } })
    return g.transpose(g.concat([g.sigmoid(box!), g.sigmoid(object!), softmax], 1), [0, 2, 3, 1])
  })
  if (form === 'grids') return net.done(beside, ['794', '796'], layout.opset)
  const list = g.concat(
    beside.map((each) => g.reshape(each, [-1, 15 + classes])),
    0,
  )
  return net.done([list], ['845'], layout.opset)
}

function yolov7End(g: GraphBuilder, rows: Value, { classes, width }: Layout): Value {
  const part = (from: number, to: number) => g.slice(rows, [from], [to], [2])
  const [centre, half] = [part(0, 2), g.scale(part(2, 4), 0.5)]
  const boxes = g.concat([g.sub(centre, half), g.add(centre, half)], 2)
  const scores = g.mul(part(5, 5 + classes), part(4, 5))
  const best = g.op('ReduceMax', [scores], { attributes: { axes: [2], keepdims: 1 } })
  const kind = g.op('Cast', [g.op('ArgMax', [scores], { attributes: { axis: 2, keepdims: 1 } })], { attributes: { to: 1 } })
  const apart = g.add(boxes, g.scale(kind, width))
  const limits = [g.ints([100]), g.constant([0.45], [1]), g.constant([0.05], [1])]
  const chosen = g.op('NonMaxSuppression', [apart, g.transpose(best, [0, 2, 1]), ...limits])
  const at = (column: number) => g.reshape(g.slice(chosen, [column], [column + 1], [1]), [-1])
  const picked = (value: Value, n: number) => g.op('Gather', [g.reshape(value, [-1, n]), at(2)])
  const picture = g.op('Cast', [g.slice(chosen, [0], [1], [1])], { attributes: { to: 1 } })
  return g.concat([picture, picked(boxes, 4), picked(kind, 1), picked(best, 1)], 1)
}

/**
 * `joined`: whether boxes and classes are joined grid by grid, or each over all grids (since 2025); `turned`: rows last; `end`: the best rows
 * [1, 20, 6] alone, as end-to-end exports have them; `temperature` of the distributions' softmax, which nobody publishes; `attention` on the
 * coarsest grid, as YOLO11 and 12 have it; `raw`: a map of each grid, not decoded, with so many channels of key points behind the classes, or
 * with class scores (YOLOv6) or their logits (mmyolo) in front, or a map of boxes and one of classes, these after depthwise convolutions (YOLO26)
 * or plainly; the rest as Yolov8Export says.
 */
export function yolov8Net(
  layout: ForeignOptions,
  {
    joined = 'by grid',
    turned = false,
    end,
    temperature = 1,
    attention = false,
    bins = 16,
    raw,
    neck = false,
    ones = false,
    masks = 0,
    twice = false,
    sequence = false,
  }: Yolov8Export = {},
): Graph {
  const net = new Net(layout)
  const { g } = net
  const { classes, width, height } = layout
  const image = g.input('images', 'float32', [1, 3, height, width])
  const features = net
    .features(image, three)
    .map((x, i) => (attention && i === 2 ? net.attention('attn', x) : x))
    .map((x, i) => (neck && i === 2 ? net.unit('neck', g.concat([net.head('scdown', x, 32), x], 1), 32, 1) : x))
  if (sequence) features[2] = net.sequence(features[2]!)
  const maps = features.map(
    (x, i) =>
      [
        net.head(`cv2.${i}`, x, 4 * bins, () => (bins === 1 ? 2 : 0)),
        net.head(`cv3.${i}`, raw === 'apart' ? net.separable(`cv3.${i}`, x) : x, classes, () => (layout.loud ? 0 : prior)),
        ...(typeof raw === 'number' && raw > 0 ? [net.head(`cv4.${i}`, x, raw)] : []),
      ] as const,
  )
  const joinedParts = ([reg, cls, ...more]: readonly Value[]): Value[] =>
    raw === 'scores first' ? [g.sigmoid(cls!), reg!] : raw === 'logits first' ? [cls!, reg!] : [reg!, cls!, ...more]
  if (raw === 'apart' || raw === 'apart, plain')
    return net.done(maps.flat(), ['257', '274', '283', '300', '309', '326'], layout.opset)
  if (raw !== undefined)
    return net.done(
      maps.map((parts) => g.concat(joinedParts(parts), 1)),
      ['output0', '884', '892'],
      layout.opset,
    )
  const flat = (map: Value) => g.reshape(map, [1, map.shape[1]!, -1])
  const branch = (i: 0 | 1) =>
    g.concat(
      maps.map((pair) => flat(pair[i])),
      2,
    )
  const byGrid = () =>
    g.concat(
      maps.map(([reg, cls]) => flat(g.concat([reg, cls], 1))),
      2,
    )
  const [box, kinds] =
    joined === 'by grid' ? (net.split(byGrid(), [4 * bins, classes], 1) as [Value, Value]) : [branch(0), branch(1)]
  const cells = three.flatMap((stride) => cellsOf(width, height, stride).map(([x, y]) => [x + 0.5, y + 0.5, stride] as const))
  const n = cells.length
  const expected = () => {
    const numbers = g.scale(g.transpose(g.reshape(box, [1, 4, bins, n]), [0, 2, 1, 3]), 1 / temperature)
    const softmax = g.op('Softmax', [numbers], { attributes: { axis: 1 } })
    const steps = net.vector('dfl.weight', [1, bins, 1, 1], (i) => i)
    return g.reshape(g.conv(softmax, steps, null), [1, 4, n])
  }
  const distances = bins === 1 ? box : expected()
  const anchors = g.constant([...cells.map(([x]) => x), ...cells.map(([, y]) => y)], [1, 2, n])
  const low = g.sub(anchors, g.slice(distances, [0], [2], [1]))
  const high = g.add(anchors, g.slice(distances, [2], [4], [1]))
  const boxes = g.concat([g.div(g.add(low, high), g.constant(2)), g.sub(high, low)], 1)
  const strides = g.constant(
    cells.map(([, , stride]) => stride),
    [1, n],
  )
  // YOLOv6 has the sigmoid before it joins its grids.
  const scores = ones
    ? g.concat(
        maps.map(([, cls]) => flat(g.sigmoid(cls))),
        2,
      )
    : g.sigmoid(kinds)
  const corners = g.mul(g.concat([low, high], 1), strides)
  if (end === 'rows') return net.done([chosenRows(g, g.concat([corners, scores], 1), classes)], ['output0'], layout.opset)
  if (end === 'apart') {
    const best = g.op('ReduceMax', [scores], { attributes: { axes: [1], keepdims: 0 } })
    const kind = g.op('ArgMax', [scores], { attributes: { axis: 1, keepdims: 0 } })
    const [score, order] = g.ops('TopK', [best, g.ints([20])], { attributes: { axis: 1 }, outputs: 2 }) as [Value, Value]
    const at = g.reshape(order, [20])
    const picked = (value: Value) => g.op('Gather', [value, at], { attributes: { axis: 1 } })
    const label = g.op('Cast', [picked(kind)], { attributes: { to: 1 } })
    const column = (value: Value) => g.reshape(value, [1, 20, 1])
    return net.done(
      [g.concat([picked(g.transpose(corners, [0, 2, 1])), column(score), column(label)], 2)],
      ['output0'],
      layout.opset,
    )
  }
  if (end === 'suppressed') {
    net.done([], [], layout.opset)
    return suppressed(g, g.concat([corners, scores], 1), classes)
  }
  if (ones) {
    const one = g.constant(new Float32Array(n).fill(1), [1, n, 1])
    const parts = [g.transpose(g.mul(boxes, strides), [0, 2, 1]), one, g.transpose(scores, [0, 2, 1])]
    return net.done([g.concat(parts, 2)], ['output0'], layout.opset)
  }
  if (masks > 0) {
    // The exporter joins what the code joins twice in one node.
    const coefficients = features.map((x, i) => flat(net.head(`cv4.${i}`, x, masks)))
    const prototypes = g.op('Resize', [net.head('proto', features[0]!, masks), null, g.constant([1, 1, 2, 2], [4])], {
      attributes: { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
    })
    const all = g.concat([g.mul(boxes, strides), scores, g.concat(coefficients, 2)], 1)
    return net.done([all, prototypes], ['output0', 'output1'], layout.opset)
  }
  const rows = g.concat([g.mul(boxes, strides), scores], 1)
  if (twice) {
    const aside = g.sigmoid(
      g.concat(
        features.map((x, i) => flat(net.head(`cv5.${i}`, x, classes))),
        2,
      ),
    )
    return net.done([g.concat([g.scale(g.mul(boxes, strides), 1.01), aside], 1), rows], ['1596', 'output0'], layout.opset)
  }
  return net.done([turned ? g.transpose(rows, [0, 2, 1]) : rows], ['output0'], layout.opset)
}

/** [1, n, 6] of rows [1, 4 + C, cells]: the cells with the best scores, and of these the best pairs of cell and class (YOLOv10). */
function chosenRows(g: GraphBuilder, rows: Value, classes: number): Value {
  const most = Math.min(40, rows.shape[2]!)
  const [boxes, scores] = g.ops('Split', [g.transpose(rows, [0, 2, 1]), g.ints([4, classes])], {
    attributes: { axis: 2 },
    outputs: 2,
  }) as [Value, Value]
  const best = (of: Value) => g.ops('TopK', [of, g.ints([most])], { attributes: { axis: 1 }, outputs: 2 }) as [Value, Value]
  const [, order] = best(g.op('ReduceMax', [scores], { attributes: { axes: [2], keepdims: 0 } }))
  const picked = (of: Value) => {
    const at = g.op('Expand', [g.reshape(order, [1, most, 1]), g.ints([1, most, of.shape[2]!])])
    return g.op('GatherElements', [of, at], { attributes: { axis: 1 } })
  }
  const [score, pair] = best(g.reshape(picked(scores), [1, -1]))
  const column = (value: Value) => g.reshape(value, [1, most, 1])
  const cell = column(g.op('Div', [pair, g.ints([classes])]))
  const places = g.concat([g.sub(cell, cell), cell], 2)
  const label = g.op('Cast', [column(g.op('Mod', [pair, g.ints([classes])]))], { attributes: { to: 1 } })
  return g.concat([g.op('GatherND', [picked(boxes), places]), column(score), label], 2)
}

/**
 * [1, 40, 6]: boxes of enough score without those that others cover, filled up with rows of nothing, as Ultralytics exports them with nms=True. How
 * many rows that takes is known only in the run.
 */
function suppressed(g: GraphBuilder, rows: Value, classes: number): Graph {
  const byRow = g.reshape(g.transpose(rows, [0, 2, 1]), [rows.shape[2]!, 4 + classes])
  const [all, scores] = [g.slice(byRow, [0], [4], [1]), g.slice(byRow, [4], [4 + classes], [1])]
  const best = g.op('ReduceMax', [scores], { attributes: { axes: [1], keepdims: 0 } })
  const kind = g.op('Cast', [g.op('ArgMax', [scores], { attributes: { axis: 1, keepdims: 0 } })], { attributes: { to: 1 } })
  const enough = g.transpose(g.op('NonZero', [g.op('Greater', [best, g.constant(0.05)])]), [1, 0])
  const [box, score, label] = [all, best, kind].map((value) => g.op('GatherND', [value, enough])) as [Value, Value, Value]
  const unsqueezed = (value: Value, axes: number[]) => g.op('Unsqueeze', [value, g.ints(axes)])
  const limits = [g.ints([40]), g.constant([0.7], [1]), g.constant([0], [1])]
  const chosen = g.op('NonMaxSuppression', [unsqueezed(box, [0]), unsqueezed(score, [0, 1]), ...limits])
  const kept = g.reshape(g.slice(chosen, [2], [3], [1]), [-1])
  const columns = [box, unsqueezed(score, [1]), unsqueezed(label, [1])]
  const found = g.concat(
    columns.map((value) => g.op('Gather', [value, kept])),
    1,
  )
  const count = g.op('Gather', [g.op('Shape', [found]), g.ints([0])])
  const room = g.op('Concat', [g.op('Sub', [g.ints([40]), count]), g.ints([6])], { attributes: { axis: 0 } })
  const node = (op: string, inputs: readonly Value[] | string[], output: string, attributes = {}) => ({
    op,
    domain: '',
    name: output,
    inputs: inputs.map((each) => (typeof each === 'string' ? each : each.name)),
    outputs: [output],
    attributes,
  })
  // Not through the builder, which knows every shape.
  const tail = [
    node('ConstantOfShape', [room], 'nothing'),
    node('Concat', [found.name, 'nothing'], 'filled', { axis: 0 }),
    node('Unsqueeze', ['filled', g.ints([0]).name], 'output0'),
  ]
  return { ...g.graph, nodes: [...g.graph.nodes, ...tail], outputs: [{ name: 'output0', type: 'float32', shape: [1, 40, 6] }] }
}

export interface Yolov8Export {
  readonly joined?: 'by grid' | 'by branch'
  readonly turned?: boolean
  /** The best boxes inside: chosen of rows of all cells, as YOLOv10 does, or of boxes and scores that stand apart. */
  readonly end?: 'rows' | 'apart' | 'suppressed'
  readonly temperature?: number
  readonly attention?: boolean
  /** Of the distribution over a side's distances; 1: the distance itself (YOLO26). */
  readonly bins?: number
  readonly raw?: number | 'apart' | 'apart, plain' | 'scores first' | 'logits first'
  /** A plain convolution whose map is joined with another before the heads (YOLOv10's downsampling). */
  readonly neck?: boolean
  /** A 1 between box and classes (YOLOv6). */
  readonly ones?: boolean
  /** Coefficients of so many masks beside each row, and the masks (segmentation). */
  readonly masks?: number
  /** The coarsest grid goes through an attention whose shapes hold a batch of one. */
  readonly sequence?: boolean
  /** Rows of an auxiliary branch in front (YOLOv9 as it is trained). */
  readonly twice?: boolean
}

/** Depthwise after pointwise, as YuNet's heads end. */
function separableHead(net: Net, name: string, x: Value, channels: number, bias: number): Value {
  const { g } = net
  const y = net.head(`${name}.point`, x, channels)
  const w = net.vector(`${name}.depth.weight`, [channels, 1, 3, 3], (i) => (i % 9 === 4 ? 1 : 0.05))
  const b = net.vector(`${name}.depth.bias`, [channels], () => bias)
  return g.conv(y, w, b, { pad: 1, group: channels })
}

export function yunetNet(layout: ForeignOptions): Graph {
  const net = new Net(layout)
  const { g } = net
  const image = g.input('input', 'float32', [1, 3, layout.height, layout.width])
  const quiet = layout.loud ? 0 : -3
  const rows = (map: Value) => g.reshape(g.transpose(map, [0, 2, 3, 1]), [1, -1, map.shape[1]!])
  const kinds: [string, number, number, boolean][] = [
    ['cls', layout.classes, quiet / 2, true],
    ['obj', 1, quiet, true],
    ['bbox', 4, 0, false],
    ['kps', 10, 0, false],
  ]
  const maps = net.features(image, three, 255)
  const outputs = kinds.flatMap(([name, channels, bias, score]) =>
    maps.map((x, i) => {
      const value = rows(separableHead(net, `${name}${i}`, x, channels, bias))
      return score ? g.sigmoid(value) : value
    }),
  )
  return net.done(
    outputs,
    kinds.flatMap(([name]) => three.map((stride) => `${name}_${stride}`)),
    layout.opset,
  )
}

export interface DetrExport {
  /** The best cells by a first look are the queries, whose scores stand for themselves; else queries are learned, with "no object" last. */
  readonly chosen?: boolean
  /** The picture is cut into patches, as vision transformers do, instead of going through convolutions. */
  readonly patches?: boolean
  /** Boxes and scores side by side in one output (Ultralytics' RT-DETR). */
  readonly joined?: boolean
  /** RT-DETR's own export: the best of all classes of all queries, in pixels of the size that is asked for. */
  readonly end?: boolean
}

/** DETR's outputs over a small transformer of queries that attend to all cells. */
export function detrNet(
  layout: ForeignOptions,
  { chosen = false, patches = false, end = false, joined = false }: DetrExport = {},
): Graph {
  const net = new Net(layout)
  const { g } = net
  const { classes, width, height } = layout
  const [queries, depth] = [12, 32]
  const image = g.input(end ? 'images' : 'pixel_values', 'float32', [1, 3, height, width])
  const map = patches
    ? g.conv(image, net.weight('patch.weight', [depth, 3, 16, 16], 0.1), null, { stride: 16 })
    : net.features(image, [16])[0]!
  const linear = (name: string, x: Value, outputs: number, deviation: number) =>
    g.add(
      g.op('MatMul', [x, net.weight(`${name}.weight`, [depth, outputs], deviation)]),
      net.weight(`${name}.bias`, [outputs], 0.1),
    )
  const cells = g.transpose(g.reshape(map, [1, depth, -1]), [0, 2, 1])
  const picked = () => {
    const first = g.op('ReduceMax', [linear('first', cells, classes, 0.3)], { attributes: { axes: [2], keepdims: 0 } })
    const [, order] = g.ops('TopK', [first, g.ints([queries])], { attributes: { axis: 1 }, outputs: 2 }) as [Value, Value]
    return g.op('Gather', [cells, g.reshape(order, [queries])], { attributes: { axis: 1 } })
  }
  const attended = () => {
    const keys = g.transpose(linear('key', cells, depth, 0.3), [0, 2, 1])
    const weights = g.op('MatMul', [net.weight('queries', [1, queries, depth], 1), keys])
    return g.op('MatMul', [g.op('Softmax', [weights], { attributes: { axis: -1 } }), linear('value', cells, depth, 0.3)])
  }
  const objects = chosen ? picked() : attended()
  const logits = linear('class', objects, chosen ? classes : classes + 1, 0.5)
  const boxes = g.sigmoid(linear('box', objects, 4, 0.3))
  if (joined) return net.done([g.concat([boxes, g.sigmoid(logits)], 2)], ['output0'], layout.opset)
  if (!end) return net.done([logits, boxes], ['logits', 'pred_boxes'], layout.opset)
  const asked = g.input('orig_target_sizes', 'int64', [1, 2])
  const sides = g.op('Cast', [g.reshape(g.concat([asked, asked], 1), [1, 1, 4])], { attributes: { to: 1 } })
  const [centre, half] = [g.slice(boxes, [0], [2], [2]), g.scale(g.slice(boxes, [2], [4], [2]), 0.5)]
  const corners = g.mul(g.concat([g.sub(centre, half), g.add(centre, half)], 2), sides)
  const all = g.reshape(g.sigmoid(logits), [1, -1])
  const [score, order] = g.ops('TopK', [all, g.ints([queries])], { attributes: { axis: 1 }, outputs: 2 }) as [Value, Value]
  const label = g.op('Mod', [order, g.ints([classes])])
  const at = g.reshape(g.op('Div', [order, g.ints([classes])]), [1, queries, 1])
  const four = g.op('Expand', [at, g.ints([1, queries, 4])])
  const best = g.op('GatherElements', [corners, four], { attributes: { axis: 1 } })
  return net.done([label, best, score], ['labels', 'boxes', 'scores'], layout.opset)
}
