/** Every family's published layout, adopted, gives the boxes that plain code reads off the network's own outputs. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { iou } from '../../protocol/boxes.ts'
import type { AdapterOptions } from '../../trainer/adapters/adapter.ts'
import { adopt } from '../../trainer/adapters/adopt-file.ts'
import { adapters } from '../../trainer/adapters/table.ts'
import { deployed } from '../../trainer/detector/deploy.ts'
import { Random } from '../../trainer/detector/random.ts'
import { pruned } from '../../trainer/engine/step-graph.ts'
import { GraphBuilder, type Value } from '../../trainer/graph/builder.ts'
import type { Graph, Node } from '../../trainer/onnx/graph.ts'
import { readOnnx } from '../../trainer/onnx/read.ts'
import { upgrade } from '../../trainer/onnx/upgrade.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import {
  cellsOf,
  detrNet,
  earlyNanodetNet,
  fastestdetNet,
  nanodetNet,
  offsetsNet,
  picodetNet,
  ssdNet,
  ultraLightNet,
  ultraLightSides,
  yoloFastestV2Anchors,
  yoloFastestV2Net,
  yolov5Anchors,
  yolov5Net,
  yolov8Net,
  yoloxNet,
  yunetNet,
} from '../support/foreign-detectors.ts'

const classes = ['a', 'b', 'c']
const C = classes.length
const size = { width: 96, height: 64 }
const layout = { ...size, classes: C, loud: true }

interface Candidate {
  readonly box: readonly [number, number, number, number]
  readonly scores: readonly number[]
}
type Outputs = Readonly<Record<string, Float32Array>>

interface Case {
  readonly name: string
  readonly adapter: string
  readonly graph: Graph
  /** Network number of a channel (0 red, 1 green, 2 blue) of a pixel, and the order of channels. */
  readonly prepare: (value: number, channel: number) => number
  readonly bgr: boolean
  readonly decode: (outputs: Outputs) => Candidate[]
  readonly architecture: string
  readonly head: string
  readonly options?: Partial<AdapterOptions>
  /** The same network with all its rows, where the file gives only the best of them. */
  readonly whole?: Graph
  /** Adapter that takes it as well, to run it. */
  readonly runBy?: string
  readonly resize?: 'letterbox' | 'stretch'
}

const centred = (cx: number, cy: number, w: number, h: number) => [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2] as const
const rowsOf = (data: Float32Array, width: number): number[][] =>
  Array.from({ length: data.length / width }, (_, i) => Array.from(data.subarray(i * width, (i + 1) * width)))
const gridOf = (strides: readonly number[]) =>
  strides.flatMap((stride) => cellsOf(size.width, size.height, stride).map(([x, y]) => ({ x, y, stride })))
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))

function yoloxRows(data: Float32Array): Candidate[] {
  const grid = gridOf([8, 16, 32])
  return rowsOf(data, 5 + C).map(([x, y, w, h, object, ...kinds], i) => {
    const { x: gx, y: gy, stride } = grid[i]!
    return {
      box: centred((x! + gx) * stride, (y! + gy) * stride, Math.exp(w!) * stride, Math.exp(h!) * stride),
      scores: kinds.map((kind) => kind * object!),
    }
  })
}

/** Expectation of a softmax over 0, 1, 2, ... */
function expectation(logits: readonly number[]): number {
  const weights = logits.map((each) => Math.exp(each))
  const sum = weights.reduce((a, b) => a + b)
  return weights.reduce((total, weight, i) => total + (weight / sum) * i, 0)
}

function distances(kinds: readonly number[], numbers: readonly number[], cell: { x: number; y: number; stride: number }) {
  const bins = numbers.length / 4
  const [l, t, r, b] = [0, 1, 2, 3].map((i) => expectation(numbers.slice(i * bins, (i + 1) * bins)) * cell.stride) as [
    number,
    number,
    number,
    number,
  ]
  return { box: [cell.x - l, cell.y - t, cell.x + r, cell.y + b] as const, scores: kinds }
}

const nanodetRows =
  (strides: readonly number[], offset: number) =>
  ({ output }: Outputs): Candidate[] => {
    const grid = gridOf(strides)
    return rowsOf(output!, C + 32).map((row, i) => {
      const { x, y, stride } = grid[i]!
      return distances(row.slice(0, C), row.slice(C), { x: (x + offset) * stride, y: (y + offset) * stride, stride })
    })
  }

const bgrMean = [103.53, 116.28, 123.675]
const bgrDeviation = [57.375, 57.12, 58.395]
const nanodetPixels = (value: number, channel: number) => (value - bgrMean[2 - channel]!) / bgrDeviation[2 - channel]!
const share = (value: number) => value / 255
const imageNet = (value: number, channel: number) =>
  (value / 255 - [0.485, 0.456, 0.406][channel]!) / [0.229, 0.224, 0.225][channel]!

const raw = (): Graph => {
  const g = new GraphBuilder('raw')
  const x = g.input('input', 'float32', [1, 3, size.height, size.width])
  const random = new Random(3)
  const map = g.relu(
    g.conv(
      x,
      g.constant(
        Float32Array.from({ length: 32 * 3 * 9 }, () => random.normal()),
        [32, 3, 3, 3],
      ),
      null,
      { stride: 8, pad: 1 },
    ),
  )
  const flat = g.transpose(g.reshape(map, [1, 32, -1]), [0, 2, 1])
  const part = (from: number, to: number) => g.sigmoid(g.slice(flat, [from], [to], [2]))
  g.output(g.concat([part(0, 2), g.scale(part(2, 4), 0.4)], 2), 'boxes')
  g.output(g.transpose(part(4, 4 + C), [0, 2, 1]), 'scores')
  return g.graph
}

/** Candidates of rows x, y, w, h, objectness and classes, decoded inside. */
const rowsWithObjectness = (output: Float32Array): Candidate[] =>
  rowsOf(output, 5 + C).map(([x, y, w, h, object, ...kinds]) => ({
    box: centred(x!, y!, w!, h!),
    scores: kinds.map((kind) => kind * object!),
  }))

/** The same network with these nodes the other way round, behind all that any of them reads. */
function backwards(graph: Graph, these: (node: Node, made: (name: string) => Node | undefined) => boolean): Graph {
  const made = (name: string) => graph.nodes.find(({ outputs }) => outputs.includes(name))
  const last = graph.nodes.findLastIndex((node) => these(node, made))
  const [before, after] = [graph.nodes.slice(0, last + 1), graph.nodes.slice(last + 1)]
  const moved = before.filter((node) => these(node, made))
  assert.ok(moved.length > 1)
  return { ...graph, nodes: [...before.filter((node) => !moved.includes(node)), ...moved.reverse(), ...after] }
}

type Sides = readonly (readonly [number, number])[]
/** Priors of a grid as the paper has them: a square of the least side, one towards the next grid's, and the least one stretched either way. */
function liu(least: number, next: number, ratios: readonly number[]): Sides {
  const between = Math.sqrt(least * next)
  return [
    [least, least],
    [between, between],
    ...ratios.flatMap((ratio): Sides => {
      const root = Math.sqrt(ratio)
      return [
        [least * root, least / root],
        [least / root, least * root],
      ]
    }),
  ]
}

/** Priors in pixels; with `clip`, none is larger than the picture or centred outside of it. */
function priorsOf(strides: readonly number[], sides: readonly Sides[], clip: boolean) {
  const limit = (value: number, side: number) => (clip ? Math.min(value, side) : value)
  return strides.flatMap((stride, level) =>
    cellsOf(size.width, size.height, stride).flatMap(([x, y]) =>
      sides[level]!.map(([w, h]) => ({
        x: limit((x + 0.5) * stride, size.width),
        y: limit((y + 0.5) * stride, size.height),
        w: limit(w, size.width),
        h: limit(h, size.height),
      })),
    ),
  )
}

/** Boxes from offsets of priors. */
const offsetRows =
  (strides: readonly number[], sides: readonly Sides[], { clip, softmax }: { clip: boolean; softmax: boolean }) =>
  ({ loc, conf }: Outputs): Candidate[] => {
    const priors = priorsOf(strides, sides, clip)
    const offsets = rowsOf(loc!, 4)
    return rowsOf(conf!, C + 1).map((row, i) => {
      const { x, y, w, h } = priors[i]!
      const [dx, dy, dw, dh] = offsets[i] as [number, number, number, number]
      const all = row.reduce((sum, value) => sum + Math.exp(value), 0)
      return {
        box: centred(x + 0.1 * dx * w, y + 0.1 * dy * h, w * Math.exp(0.2 * dw), h * Math.exp(0.2 * dh)),
        scores: row.slice(1).map((value) => (softmax ? value : Math.exp(value) / all)),
      }
    })
  }

const mobilenetSides = [60, 105, 150, 195, 240, 285].map((least) => liu(least, least + 45, [2, 3]))
const vggSides = [30, 60, 111, 162, 213, 264].map((least, i) =>
  liu(least, [60, 111, 162, 213, 264, 315][i]!, i > 0 && i < 4 ? [2, 3] : [2]),
)
const retinaSides: Sides[] = [16, 64, 256].map((side) => [
  [side, side],
  [side * 2, side * 2],
])
const toldSides: Sides[] = [
  [
    [10, 20],
    [16, 8],
  ],
  [[32, 40]],
]

const cases: Case[] = [
  ...[11, 13, 17].map(
    (opset): Case => ({
      name: `YOLOX of opset ${opset}`,
      adapter: 'yolox',
      graph: yoloxNet({ ...layout, opset }),
      prepare: (value) => value,
      bgr: true,
      decode: ({ output }) => yoloxRows(output!),
      architecture: 'yolox',
      head: 'yolox',
    }),
  ),
  {
    name: 'YOLOX whose grids an optimiser put in another order',
    adapter: 'yolox',
    graph: backwards(yoloxNet(layout), ({ op, inputs }, made) => op === 'Concat' && made(inputs[1]!)?.op === 'Sigmoid'),
    prepare: (value) => value,
    bgr: true,
    decode: ({ output }) => yoloxRows(output!),
    architecture: 'yolox',
    head: 'yolox',
  },
  {
    name: 'YOLOX with decoding inside',
    adapter: 'yolox',
    graph: yoloxNet(layout, true),
    prepare: (value) => value,
    bgr: true,
    decode: ({ output }) => rowsWithObjectness(output!),
    architecture: 'yolox',
    head: 'yolox',
  },
  {
    name: 'FastestDet',
    adapter: 'fastestdet',
    graph: fastestdetNet(layout),
    prepare: share,
    bgr: true,
    decode: ({ 758: output }) => {
      const cells = cellsOf(size.width, size.height, 16)
      const at = (channel: number, cell: number) => output![channel * cells.length + cell]!
      return cells.map(([x, y], i) => {
        const kinds = classes.map((_, c) => at(5 + c, i))
        const best = Math.max(...kinds)
        const [cx, cy] = [(x + Math.tanh(at(1, i))) * 16, (y + Math.tanh(at(2, i))) * 16]
        return {
          box: centred(cx, cy, sigmoid(at(3, i)) * size.width, sigmoid(at(4, i)) * size.height),
          scores: kinds.map((kind) => (kind === best ? at(0, i) ** 0.6 * best ** 0.4 : 0)),
        }
      })
    },
    architecture: 'fastestdet',
    head: 'fastestdet',
  },
  {
    name: 'NanoDet-Plus',
    adapter: 'nanodet',
    graph: nanodetNet(layout, { strides: [8, 16, 32, 64], shared: true }),
    prepare: nanodetPixels,
    bgr: true,
    decode: nanodetRows([8, 16, 32, 64], 0),
    architecture: 'nanodet-plus',
    head: 'nanodet-plus',
  },
  {
    name: 'NanoDet',
    adapter: 'nanodet',
    graph: nanodetNet({ ...layout, opset: 11 }, { strides: [8, 16, 32], shared: false }),
    prepare: nanodetPixels,
    bgr: true,
    decode: nanodetRows([8, 16, 32], 0.5),
    architecture: 'nanodet',
    head: 'distribution',
  },
  ...[true, false].map((batched) => ({
    name: batched ? 'NanoDet before 2022' : 'NanoDet before 2022, exported without the batch',
    adapter: 'nanodet',
    graph: earlyNanodetNet(layout, batched),
    prepare: nanodetPixels,
    bgr: true,
    decode: (outputs: Outputs) =>
      [8, 16, 32].flatMap((stride) => {
        const [kinds, numbers] = [
          rowsOf(outputs[`cls_pred_stride_${stride}`]!, C),
          rowsOf(outputs[`dis_pred_stride_${stride}`]!, 32),
        ]
        return cellsOf(size.width, size.height, stride).map(([x, y], i) =>
          distances(kinds[i]!, numbers[i]!, { x: (x + 0.5) * stride, y: (y + 0.5) * stride, stride }),
        )
      }),
    architecture: 'nanodet',
    head: 'distribution' as const,
  })),
  {
    name: 'YuNet',
    adapter: 'yunet',
    graph: yunetNet(layout),
    prepare: (value) => value,
    bgr: true,
    decode: (outputs) =>
      [8, 16, 32].flatMap((stride) => {
        const of = (name: string, width: number) => rowsOf(outputs[`${name}_${stride}`]!, width)
        const [kinds, object, boxes] = [of('cls', C), of('obj', 1), of('bbox', 4)]
        return cellsOf(size.width, size.height, stride).map(([gx, gy], i) => {
          const [x, y, w, h] = boxes[i]!
          return {
            box: centred((x! + gx) * stride, (y! + gy) * stride, Math.exp(w!) * stride, Math.exp(h!) * stride),
            scores: kinds[i]!.map((kind) => Math.sqrt(kind * object[i]![0]!)),
          }
        })
      }),
    architecture: 'yunet',
    head: 'yunet',
  },
  ...[false, true].map(
    (aligned): Case => ({
      name: aligned ? 'PicoDet with alignment' : 'PicoDet',
      adapter: 'picodet',
      graph: picodetNet(layout, aligned),
      prepare: imageNet,
      bgr: false,
      decode: (outputs) => {
        const named = Array.from({ length: 8 }, (_, i) => outputs[`save_infer_model/scale_${i}.tmp_0`]!)
        return [8, 16, 32, 64].flatMap((stride, level) => {
          const [kinds, numbers] = [rowsOf(named[level]!, C), rowsOf(named[level + 4]!, 32)]
          return cellsOf(size.width, size.height, stride).map(([x, y], i) =>
            distances(kinds[i]!, numbers[i]!, { x: (x + 0.5) * stride, y: (y + 0.5) * stride, stride }),
          )
        })
      },
      architecture: 'picodet',
      head: 'picodet',
    }),
  ),
  {
    name: 'YOLOv5',
    adapter: 'yolov5',
    graph: yolov5Net(layout),
    prepare: share,
    bgr: false,
    decode: ({ output }) => rowsWithObjectness(output!),
    architecture: 'yolov5',
    head: 'anchors',
  },
  {
    name: 'YOLOv7, end to end',
    adapter: 'yolov5',
    graph: yolov5Net(layout, true, true),
    whole: yolov5Net(layout),
    runBy: 'raw',
    prepare: share,
    bgr: false,
    decode: ({ output }) => rowsWithObjectness(output!),
    architecture: 'yolov5',
    head: 'anchors',
  },
  ...(
    [
      ['YOLOv5 without decoding', false],
      ['YOLOv5-Lite, rows of sigmoids', 'sigmoids'],
    ] as const
  ).map(
    ([name, decoded]): Case => ({
      name,
      adapter: 'yolov5',
      graph: yolov5Net(layout, decoded),
      prepare: share,
      bgr: false,
      options: { anchors: yolov5Anchors.flat() },
      decode: (outputs) => {
        const names = decoded ? ['output'] : ['output', '350', '498']
        const rows = names.flatMap((each) => rowsOf(outputs[each]!, 5 + C))
        return [8, 16, 32]
          .flatMap((stride, level) =>
            [0, 1, 2].flatMap((anchor) => {
              const [aw, ah] = yolov5Anchors[level]!.slice(anchor * 2, anchor * 2 + 2) as [number, number]
              return cellsOf(size.width, size.height, stride).map((cell) => ({ cell, stride, aw, ah }))
            }),
          )
          .map(({ cell: [gx, gy], stride, aw, ah }, i) => {
            const [x, y, w, h, object, ...kinds] = decoded ? rows[i]! : rows[i]!.map(sigmoid)
            return {
              box: centred((2 * x! - 0.5 + gx) * stride, (2 * y! - 0.5 + gy) * stride, (2 * w!) ** 2 * aw, (2 * h!) ** 2 * ah),
              scores: kinds.map((kind) => kind * object!),
            }
          })
      },
      architecture: 'yolov5',
      head: 'anchors',
    }),
  ),
  ...(['grids', 'list'] as const).flatMap((form) =>
    [undefined, yoloFastestV2Anchors.map((each) => each / 2)].map(
      (anchors): Case => ({
        name: `Yolo-FastestV2, ${form}${anchors ? ', anchors told' : ''}`,
        adapter: 'yolo-fastestv2',
        graph: yoloFastestV2Net(layout, form),
        prepare: share,
        bgr: true,
        ...(anchors && { options: { anchors } }),
        decode: (outputs) => {
          const cells = gridOf([16, 32])
          return Object.values(outputs)
            .flatMap((data) => rowsOf(data, 15 + C))
            .flatMap((row, i) => {
              const { x: gx, y: gy, stride } = cells[i]!
              return [0, 1, 2].map((anchor) => {
                const [x, y, w, h] = row.slice(anchor * 4) as [number, number, number, number]
                const at = (stride === 16 ? 0 : 6) + anchor * 2
                const [aw, ah] = (anchors ?? yoloFastestV2Anchors).slice(at, at + 2) as [number, number]
                return {
                  box: centred((2 * x - 0.5 + gx) * stride, (2 * y - 0.5 + gy) * stride, (2 * w) ** 2 * aw, (2 * h) ** 2 * ah),
                  scores: row.slice(15).map((kind) => kind * row[12 + anchor]!),
                }
              })
            })
        },
        architecture: 'yolo-fastestv2',
        head: 'yolo-fastestv2',
        resize: 'stretch',
      }),
    ),
  ),
  ...(
    [
      ['YOLOv8', {}],
      ['YOLOv8 joined by branch, turned', { joined: 'by branch', turned: true }],
      ['YOLO11, with attention', { attention: true }],
      ['YOLOv8 with a decoding that nobody published', { temperature: 2 }],
      ['YOLOv10, end to end', { attention: true, end: 'rows' }],
      ['YOLO26, without distributions', { joined: 'by branch', bins: 1 }],
      ['YOLO26, end to end', { joined: 'by branch', bins: 1, attention: true, end: 'rows' }],
      ['YOLOv10, with a plain convolution in its neck', { neck: true, end: 'rows' }],
      ['YOLO11 with suppression inside', { attention: true, end: 'suppressed' }],
      ['YOLO11 segmentation', { attention: true, masks: 8 }],
      ['YOLOv9 with its auxiliary branch', { twice: true }],
    ] as const
  ).map(
    ([name, shape]): Case => ({
      name,
      adapter: 'yolov8',
      graph: yolov8Net({ ...layout, opset: 13 }, shape),
      ...(('end' in shape || 'masks' in shape) && {
        whole: yolov8Net({ ...layout, opset: 13 }, { ...shape, end: undefined, masks: 0 }),
      }),
      ...('end' in shape && shape.end === 'rows' && { runBy: 'raw' }),
      prepare: share,
      bgr: false,
      decode: ({ output0 }) => {
        const n = output0!.length / (4 + C)
        return Array.from({ length: n }, (_, i) => {
          const at = (k: number) => ('turned' in shape ? i * (4 + C) + k : k * n + i)
          const [x, y, w, h, ...kinds] = Array.from({ length: 4 + C }, (__, k) => output0![at(k)]!)
          return { box: centred(x!, y!, w!, h!), scores: kinds }
        })
      },
      architecture: 'yolov8',
      head: 'temperature' in shape ? 'fixed' : 'yolov8',
    }),
  ),
  ...[1, 16].map(
    (bins): Case => ({
      name: bins === 1 ? 'YOLOv6' : 'YOLOv6 with distributions',
      adapter: 'yolov8',
      graph: yolov8Net({ ...layout, opset: 13 }, { joined: 'by branch', bins, ones: true }),
      prepare: share,
      bgr: false,
      decode: ({ output0 }) =>
        rowsOf(output0!, 5 + C).map(([x, y, w, h, , ...kinds]) => ({ box: centred(x!, y!, w!, h!), scores: kinds })),
      architecture: 'yolov8',
      head: 'yolov8',
    }),
  ),
  ...([0, 'apart'] as const).map(
    (raw): Case => ({
      name: raw ? 'YOLO26 without decoding, boxes and classes apart' : 'YOLO26 without decoding',
      adapter: 'yolov8',
      graph: yolov8Net({ ...layout, opset: 13 }, { raw, bins: 1 }),
      prepare: share,
      bgr: false,
      decode: (outputs) =>
        [8, 16, 32].flatMap((stride, level) => {
          const cells = cellsOf(size.width, size.height, stride)
          const [boxes, kinds, first] = raw
            ? [outputs[['257', '283', '309'][level]!]!, outputs[['274', '300', '326'][level]!]!, 0]
            : [outputs[['output0', '884', '892'][level]!]!, outputs[['output0', '884', '892'][level]!]!, 4]
          return cells.map(([x, y], i) => {
            const [cx, cy] = [x + 0.5, y + 0.5]
            const [l, t, r, b] = [0, 1, 2, 3].map((k) => boxes[k * cells.length + i]!) as [number, number, number, number]
            return {
              box: [(cx - l) * stride, (cy - t) * stride, (cx + r) * stride, (cy + b) * stride] as const,
              scores: classes.map((_, c) => sigmoid(kinds[(first + c) * cells.length + i]!)),
            }
          })
        }),
      architecture: 'yolov8',
      head: 'yolov8',
    }),
  ),
  ...[0, 15].map(
    (keyPoints): Case => ({
      name: keyPoints ? 'YOLOv8 without decoding, with key points' : 'YOLOv8 without decoding',
      adapter: 'yolov8',
      graph: yolov8Net({ ...layout, opset: 13 }, { raw: keyPoints }),
      prepare: share,
      bgr: false,
      decode: (outputs) =>
        ['output0', '884', '892'].flatMap((name, level) => {
          const stride = [8, 16, 32][level]!
          const cells = cellsOf(size.width, size.height, stride)
          return cells.map(([x, y], i) => {
            const row = Array.from({ length: 64 + C }, (_, k) => outputs[name]![k * cells.length + i]!)
            const at = { x: (x + 0.5) * stride, y: (y + 0.5) * stride, stride }
            return distances(row.slice(64).map(sigmoid), row.slice(0, 64), at)
          })
        }),
      architecture: 'yolov8',
      head: 'yolov8',
    }),
  ),
  {
    name: 'YOLOv8, end to end, with boxes and scores apart',
    adapter: 'raw',
    graph: yolov8Net(layout, { end: 'apart' }),
    prepare: share,
    bgr: false,
    decode: ({ output0 }) =>
      rowsOf(output0!, 6).map(([x1, y1, x2, y2, score, kind]) => ({
        box: [x1!, y1!, x2!, y2!],
        scores: classes.map((_, i) => (i === kind ? score! : 0)),
      })),
    architecture: 'boxes-and-scores',
    head: 'fixed',
    resize: 'letterbox',
  },
  {
    name: 'SSD with priors inside',
    adapter: 'ssd',
    graph: ssdNet(layout),
    prepare: (value) => (value - 127) / 128,
    bgr: false,
    decode: ({ scores, boxes }) => {
      const corners = rowsOf(boxes!, 4)
      const { width, height } = size
      return rowsOf(scores!, C + 1).map(([, ...kinds], i) => {
        const [x1, y1, x2, y2] = corners[i] as [number, number, number, number]
        return { box: [x1 * width, y1 * height, x2 * width, y2 * height], scores: kinds }
      })
    },
    architecture: 'ssd',
    head: 'priors',
  },
  {
    name: 'Ultra-Light without post-processing',
    adapter: 'ssd',
    graph: ultraLightNet(layout),
    prepare: (value) => (value - 127) / 128,
    bgr: false,
    decode: ({ scores, boxes }) => {
      const { width, height } = size
      const priors = ultraLightSides.flatMap((sides, level) => {
        const stride = 8 << level
        const [columns, rows] = [Math.ceil(width / stride), Math.ceil(height / stride)]
        return cellsOf(width, height, stride).flatMap(([x, y]) =>
          sides.map((side) => [((x + 0.5) / columns) * width, ((y + 0.5) / rows) * height, side] as const),
        )
      })
      const offsets = rowsOf(boxes!, 4)
      return rowsOf(scores!, C + 1).map(([, ...kinds], i) => {
        const [x, y, side] = priors[i]!
        const [dx, dy, dw, dh] = offsets[i] as [number, number, number, number]
        const [w, h] = [Math.min(side, width), Math.min(side, height)]
        const box = centred(x + 0.1 * dx * w, y + 0.1 * dy * h, w * Math.exp(0.2 * dw), h * Math.exp(0.2 * dh))
        return { box, scores: kinds }
      })
    },
    architecture: 'ssd',
    head: 'priors',
  },
  {
    name: 'a MobileNet SSD without post-processing (pytorch-ssd)',
    adapter: 'ssd',
    graph: offsetsNet(layout, { strides: [16, 32, 64, 128, 256, 512], perCell: [6, 6, 6, 6, 6, 6] }),
    prepare: (value) => (value - 127) / 128,
    bgr: false,
    decode: offsetRows([16, 32, 64, 100, 150, 300], mobilenetSides, { clip: true, softmax: false }),
    architecture: 'ssd',
    head: 'priors',
  },
  {
    name: "VGG's SSD300 without post-processing (ssd.pytorch)",
    adapter: 'ssd',
    graph: offsetsNet(layout, { strides: [8, 16, 32, 64, 128, 256], perCell: [4, 6, 6, 6, 4, 4], flat: true, softmax: true }),
    prepare: (value, channel) => value - [123, 117, 104][channel]!,
    bgr: false,
    decode: offsetRows([8, 16, 32, 64, 100, 300], vggSides, { clip: true, softmax: true }),
    architecture: 'ssd',
    head: 'priors',
  },
  {
    name: "VGG's SSD300 (pytorch-ssd)",
    adapter: 'ssd',
    graph: offsetsNet(layout, {
      strides: [8, 16, 32, 64, 128, 256],
      perCell: [4, 6, 6, 6, 4, 4],
      softmax: true,
      priors: priorsOf([8, 16, 32, 64, 100, 300], vggSides, true).map(({ x, y, w, h }) => [
        x / size.width,
        y / size.height,
        w / size.width,
        h / size.height,
      ]),
    }),
    prepare: (value, channel) => value - [123, 117, 104][channel]!,
    bgr: false,
    decode: ({ loc, conf }) =>
      rowsOf(loc!, 4).map(([x1, y1, x2, y2], i) => ({
        box: [x1! * size.width, y1! * size.height, x2! * size.width, y2! * size.height],
        scores: [...conf!.subarray(i * (C + 1) + 1, (i + 1) * (C + 1))],
      })),
    architecture: 'ssd',
    head: 'priors',
  },
  {
    name: 'RetinaFace, with key points',
    adapter: 'ssd',
    graph: offsetsNet(layout, { strides: [8, 16, 32], perCell: [2, 2, 2], softmax: true, keyPoints: true }),
    prepare: (value, channel) => value - [123, 117, 104][channel]!,
    bgr: true,
    decode: offsetRows([8, 16, 32], retinaSides, { clip: false, softmax: true }),
    architecture: 'ssd',
    head: 'priors',
    resize: 'letterbox',
  },
  {
    name: 'an SSD without post-processing whose priors are told',
    adapter: 'ssd',
    graph: offsetsNet(layout, { strides: [8, 16], perCell: [2, 1] }),
    prepare: (value) => (value - 127) / 128,
    bgr: false,
    options: { anchors: toldSides.flat(2) },
    decode: offsetRows([8, 16], toldSides, { clip: false, softmax: false }),
    architecture: 'ssd',
    head: 'priors',
  },
  ...(
    [
      ['DETR', {}],
      ['DETR with chosen queries (RT-DETR)', { chosen: true }],
      ['DETR with chosen queries over patches (RF-DETR)', { chosen: true, patches: true }],
    ] as const
  ).map(([name, shape]): Case => {
    const chosen = 'chosen' in shape
    return {
      name,
      adapter: 'detr',
      graph: detrNet(layout, shape),
      prepare: chosen && !('patches' in shape) ? share : imageNet,
      bgr: false,
      decode: ({ logits, pred_boxes }) => {
        const boxes = rowsOf(pred_boxes!, 4)
        return rowsOf(logits!, chosen ? C : C + 1).map((row, i) => {
          const [x, y, w, h] = boxes[i] as [number, number, number, number]
          const all = row.reduce((sum, value) => sum + Math.exp(value), 0)
          return {
            box: centred(x * size.width, y * size.height, w * size.width, h * size.height),
            scores: row.slice(0, C).map((value) => (chosen ? sigmoid(value) : Math.exp(value) / all)),
          }
        })
      },
      architecture: 'detr',
      head: 'fixed',
      resize: 'stretch',
    }
  }),
  {
    name: 'RT-DETR as Ultralytics exports it',
    adapter: 'detr',
    graph: detrNet(layout, { chosen: true, joined: true }),
    prepare: share,
    bgr: false,
    decode: ({ output0 }) =>
      rowsOf(output0!, 4 + C).map(([x, y, w, h, ...kinds]) => ({
        box: centred(x! * size.width, y! * size.height, w! * size.width, h! * size.height),
        scores: kinds,
      })),
    architecture: 'detr',
    head: 'fixed',
    resize: 'stretch',
  },
  {
    name: 'RT-DETR as its authors export it',
    adapter: 'raw',
    graph: detrNet(layout, { chosen: true, end: true }),
    prepare: share,
    bgr: false,
    decode: ({ labels, boxes, scores }) =>
      rowsOf(boxes!, 4).map((box, i) => ({
        box: box as [number, number, number, number],
        scores: classes.map((_, c) => (c === labels![i] ? scores![i]! : 0)),
      })),
    architecture: 'boxes-and-scores',
    head: 'fixed',
    // It is trained on stretched pictures, which only the linear layer before its TopK tells.
    resize: 'stretch',
  },
  {
    name: 'boxes and scores',
    adapter: 'raw',
    graph: raw(),
    prepare: (value) => value / 127 - 1,
    bgr: true,
    options: { boxes: 'cxcywh', normalization: { channels: 'bgr', scale: 1 / 127, mean: [1, 1, 1] } },
    decode: ({ scores, boxes }) =>
      rowsOf(boxes!, 4).map(([x, y, w, h], i) => ({
        box: centred(x! * size.width, y! * size.height, w! * size.width, h! * size.height),
        scores: classes.map((_, c) => scores![(c * scores!.length) / C + i]!),
      })),
    architecture: 'boxes-and-scores',
    head: 'fixed',
  },
]

/** The network's own outputs for a picture, prepared by plain code. */
async function ownOutputs({ graph: file, whole: graph = file, prepare, bgr }: Case, picture: Uint8Array): Promise<Outputs> {
  const plane = size.width * size.height
  const pixels = new Float32Array(plane * 3)
  for (let i = 0; i < plane; i++) {
    for (const channel of [0, 1, 2])
      pixels[(bgr ? 2 - channel : channel) * plane + i] = prepare(picture[i * 3 + channel]!, channel)
  }
  const session = await ort.InferenceSession.create(writeOnnx(graph))
  const results = await session.run({
    [graph.inputs[0]!.name]: new ort.Tensor('float32', pixels, [1, 3, size.height, size.width]),
    ...(graph.inputs.length > 1 && {
      orig_target_sizes: new ort.Tensor('int64', [BigInt(size.width), BigInt(size.height)], [1, 2]),
    }),
  })
  await session.release()
  const numbers = (data: ort.Tensor['data']) => Float32Array.from(data as ArrayLike<number | bigint>, Number)
  return Object.fromEntries(Object.entries(results).map(([name, value]) => [name, numbers(value.data)]))
}

async function deployedOutputs(model: Uint8Array, picture: Uint8Array): Promise<{ boxes: number[][]; scores: number[][] }> {
  const session = await ort.InferenceSession.create(model)
  const { boxes, scores, embedding } = await session.run({
    image: new ort.Tensor('uint8', picture, [1, size.height, size.width, 3]),
  })
  await session.release()
  assert.ok(Math.abs(Math.hypot(...(embedding!.data as Float32Array)) - 1) < 1e-3)
  return { boxes: rowsOf(boxes!.data as Float32Array, 4), scores: rowsOf(scores!.data as Float32Array, C) }
}

describe('a published layout', () => {
  const random = new Random(9)
  const picture = Uint8Array.from({ length: size.width * size.height * 3 }, () => random.integer(256))
  for (const each of cases) {
    it(`of ${each.name} gives the boxes and scores that its own outputs stand for`, async () => {
      const graph = upgrade(readOnnx(writeOnnx(each.graph)))
      const { core, specification, why } = await adopt(graph, adapters[each.adapter]!, { classes, ...each.options })
      assert.equal(specification.architecture, each.architecture)
      assert.equal(specification.head, each.head)
      if (each.resize) assert.equal(specification.resize, each.resize)
      assert.equal(specification.classifiers.length > 0, each.head !== 'fixed', why)
      const { boxes, scores } = await deployedOutputs(writeOnnx(deployed(core, specification, size)), picture)
      const wanted = each.decode(await ownOutputs(each, picture))
      assert.ok(boxes.length >= 3, `only ${boxes.length} boxes`)
      const near = (a: readonly number[], b: readonly number[], by: number) => a.every((value, i) => Math.abs(value - b[i]!) < by)
      for (const [i, box] of boxes.entries()) {
        const label = scores[i]!.indexOf(Math.max(...scores[i]!))
        const same = wanted.find(
          (candidate) => near(candidate.box, box, 0.02) && Math.abs(candidate.scores[label]! - scores[i]![label]!) < 1e-3,
        )
        assert.ok(same, `${box.map((side) => side.toFixed(2))} with ${scores[i]} is none of the network's own`)
      }
      // Whatever the network is sure of is there, or something that covers it.
      const sure = wanted.flatMap(({ box, scores: kinds }) =>
        kinds.filter((score) => score > 0.1).map((score) => ({ box, score })),
      )
      assert.ok(sure.length > 0)
      for (const { box, score } of sure)
        assert.ok(
          boxes.some(
            (other, i) => Math.max(...scores[i]!) >= score - 1e-3 && iou(other as never, box) > specification.nmsIou - 1e-3,
          ) || boxes.length === 300,
          `${box} with ${score} is missing`,
        )
    })

    it(`of ${each.name} is recognised`, async () => {
      const graph = upgrade(readOnnx(writeOnnx(each.graph)))
      const { specification, why } = await adopt(graph, adapters.auto!, { classes, ...each.options })
      assert.equal(specification.architecture, each.architecture, why)
      assert.match(why, new RegExp(`^${each.adapter}: `))
    })
  }

  const others = Object.keys(adapters).filter((name) => name !== 'auto')
  for (const each of cases) {
    it(`of ${each.name} is taken by its own adapter alone`, async () => {
      const graph = upgrade(readOnnx(writeOnnx(each.graph)))
      for (const name of others) {
        if (name === each.adapter || name === each.runBy) continue
        await assert.rejects(
          adopt(graph, adapters[name]!, { classes, ...each.options }),
          { code: 'BAD_MODEL', message: /this is no/ },
          name,
        )
      }
    })
  }

  it('whose maps are not decoded inside is not taken for one with all of its class filters changed', async () => {
    // As many names as make the width of YOLOX's rows one of NanoDet's: 8 = 0 + 4 x 2.
    for (const [graph, names] of [
      [yoloxNet({ ...layout, classes: 12 }), 9],
      [fastestdetNet({ ...layout, classes: 12 }), 9],
    ] as const)
      await assert.rejects(
        adopt(graph, adapters.auto!, { classes: Array.from({ length: names }, (_, i) => `class ${i}`) }),
        /no adapter fits/,
      )
  })

  it('that chooses its best boxes of rows with a decoding that nobody published is run as it is', async () => {
    const graph = upgrade(readOnnx(writeOnnx(yolov8Net(layout, { end: 'rows', temperature: 2 }))))
    const { specification, why } = await adopt(graph, adapters.auto!, { classes })
    assert.equal(specification.architecture, 'boxes-and-scores')
    assert.match(why, /^raw: /)
    await assert.rejects(
      adopt(graph, adapters.yolov8!, { classes }),
      /of which it chooses the best cannot be trained: on the same maps/,
    )
  })

  it('of YOLOv5 without decoding is refused without its anchors, with the cure', async () => {
    for (const decoded of [false, 'sigmoids'] as const) {
      const graph = yolov5Net(layout, decoded)
      await assert.rejects(
        adopt(graph, adapters.yolov5!, { classes }),
        /anchors are not in the file.*YOLOv5's own are --anchors 10,13,/,
      )
      await assert.rejects(adopt(graph, adapters.yolov5!, { classes, anchors: [1, 2] }), /have 3, 3, 3 anchors, and 1 widths/)
    }
  })

  it('of Yolo-FastestV2 whose maps stand alone is the same network', async () => {
    const made = async (form: 'maps' | 'grids') => {
      const { core, specification } = await adopt(yoloFastestV2Net(layout, form), adapters.auto!, { classes })
      const { nodes, outputs } = pruned(core)
      return { nodes: nodes.map(({ op }) => op), outputs, ...specification }
    }
    assert.deepEqual(await made('maps'), await made('grids'))
  })

  it('with a sigmoid left out is refused, not misread', async () => {
    const without = (graph: Graph): Graph => {
      const bare = new Map(
        graph.nodes.flatMap(({ op, inputs, outputs }) => (op === 'Sigmoid' ? [[outputs[0]!, inputs[0]!]] : [])),
      )
      return {
        ...graph,
        nodes: graph.nodes
          .filter(({ op }) => op !== 'Sigmoid')
          .map((node) => ({ ...node, inputs: node.inputs.map((name) => bare.get(name) ?? name) })),
      }
    }
    for (const [name, graph] of [
      ['yolox', yoloxNet(layout)],
      ['nanodet', nanodetNet(layout, { strides: [8, 16, 32, 64], shared: true })],
      ['picodet', picodetNet(layout)],
      ['yolov5', yolov5Net(layout)],
      ['yolov8', yolov8Net(layout)],
      ['yunet', yunetNet(layout)],
      ['raw', raw()],
    ] as const)
      await assert.rejects(
        adopt(without(graph), adapters[name]!, { classes }),
        /on the same maps|no probabilities|neither corners|no centres|no boxes/,
        name,
      )
  })

  it('of YOLOv6 is not taken with a class too many, which would be its 1', async () => {
    const graph = yolov8Net(layout, { joined: 'by branch', bins: 1, ones: true })
    await assert.rejects(adopt(graph, adapters.auto!, { classes: [...classes, 'd'] }), /the score 1 everywhere.*it has 3 classes/)
  })

  it('without a background is not taken for an SSD, whose first class it would lose', async () => {
    const graph = yolov8Net(layout)
    const [boxes, scores] = graph.nodes.findLast(({ op }) => op === 'Concat')!.inputs as [string, string]
    const g = GraphBuilder.from({ ...graph, outputs: [] })
    g.output(g.transpose(g.value(boxes), [0, 2, 1]), 'boxes')
    g.output(g.transpose(g.value(scores), [0, 2, 1]), 'scores')
    const apart = pruned(g.graph)
    await assert.rejects(adopt(apart, adapters.ssd!, { classes: ['a', 'b'] }), /none of them is a background's/)
    const { specification } = await adopt(apart, adapters.auto!, { classes })
    assert.equal(specification.architecture, 'boxes-and-scores')
  })

  it('of rows of six that are no corners is refused, with the cure', async () => {
    const rows = (middle: number) => {
      const g = new GraphBuilder('six')
      const picture = g.input('images', 'float32', [1, 3, size.height, size.width])
      const mean = g.reshape(g.mean(picture, [1, 2, 3]), [1, 1, 1])
      const row = [middle, middle, 20, 10, 0.5, 1]
      g.output(g.add(g.constant([...row, ...row], [1, 2, 6]), g.scale(mean, 0)), 'rows')
      return g.graph
    }
    await assert.rejects(adopt(rows(60), adapters.auto!, { classes }), /on a picture no corners.*--boxes cxcywh/)
    const { why } = await adopt(rows(60), adapters.raw!, { classes, boxes: 'cxcywh' })
    assert.match(why, /taken as cxcywh/)
    assert.match((await adopt(rows(5), adapters.raw!, { classes })).why, /taken as xyxy/)
  })

  it('of rotated boxes, rows of seven with an angle in the end, is refused', async () => {
    const g = new GraphBuilder('rotated')
    const picture = g.input('images', 'float32', [1, 3, size.height, size.width])
    const mean = g.reshape(g.mean(picture, [1, 2, 3]), [1, 1, 1])
    g.output(g.add(g.constant([40, 30, 50, 40, 0.5, 1, 0.3], [1, 1, 7]), g.scale(mean, 0)), 'rows')
    await assert.rejects(adopt(g.graph, adapters.raw!, { classes }), /hold no score and class number/)
    const said = { ...yolov8Net(layout), metadata: { task: 'obb' } }
    await assert.rejects(adopt(said, adapters.auto!, { classes }), /it finds rotated boxes/)
  })

  it('that is no detector is told as what it is', async () => {
    const g = new GraphBuilder('classifier')
    const picture = g.input('images', 'float32', [1, 3, size.height, size.width])
    g.output(g.reshape(g.mean(picture, [2, 3]), [1, 3]), 'scores')
    await assert.rejects(
      adopt(g.graph, adapters.auto!, { classes }),
      /no object detector: it gives scores \[1, 3\], one row of numbers/,
    )
    const masks = new GraphBuilder('masks')
    const wide = masks.input('images', 'float32', [1, 3, size.height, size.width])
    masks.output(masks.sigmoid(wide), 'masks')
    await assert.rejects(adopt(masks.graph, adapters.auto!, { classes }), /no object detector: .*numbers for each pixel/)
    const beside = new GraphBuilder('rows and masks')
    const image = beside.input('images', 'float32', [1, 3, size.height, size.width])
    beside.output(beside.sigmoid(image), 'masks')
    beside.output(beside.reshape(beside.mean(image, [2, 3]), [1, 1, 3]), 'rows')
    await assert.rejects(adopt(beside.graph, adapters.auto!, { classes }), /it is a segmentation model/)
  })

  it('of SSD without its decoding is refused, with the cure', async () => {
    const graph = upgrade(readOnnx(writeOnnx(ssdNet(layout))))
    const [scores, boxes] = graph.outputs
    const offsets = graph.nodes.filter(({ op }) => op === 'Concat')[1]!.outputs[0]!
    const raw = pruned({ ...graph, outputs: [scores!, { ...boxes!, name: offsets }] })
    await assert.rejects(
      adopt(raw, adapters.ssd!, { classes }),
      /not decoded inside.*export it with the decoding.*tell the 7 widths.*--anchors/,
    )
    await assert.rejects(
      adopt(raw, adapters.ssd!, { classes, anchors: [10, 20] }),
      /have 3, 2, 2 anchors, and 1 widths and heights/,
    )
  })

  it('with class numbers is refused with too few names for them', async () => {
    const graph = upgrade(readOnnx(writeOnnx(detrNet(layout, { chosen: true, end: true }))))
    await assert.rejects(
      adopt(graph, adapters.raw!, { classes: ['a'] }),
      /class numbers reach [12] on a picture, and 1 classes are named/,
    )
  })

  it('is not looked for in a network that gives no boxes: what it is is told in a sentence', async () => {
    const net = (end: (g: GraphBuilder, map: Value) => Value) => {
      const g = new GraphBuilder('other')
      const image = g.input('input', 'float32', [1, 3, size.height, size.width])
      const weights = g.constant(
        Float32Array.from({ length: 4 * 3 * 9 }, (_, i) => Math.sin(i)),
        [4, 3, 3, 3],
      )
      g.output(end(g, g.conv(image, weights, null, { stride: 2, pad: 1 })), 'out')
      return upgrade(readOnnx(writeOnnx(g.graph)))
    }
    const classifier = net((g, map) => g.reshape(g.op('GlobalAveragePool', [map]), [1, -1]))
    await assert.rejects(
      adopt(classifier, adapters.auto!, { classes }),
      /no object detector: it gives out \[1, 4\], one row of numbers.*classifiers/,
    )
    const segmentation = net((_, map) => map)
    await assert.rejects(
      adopt(segmentation, adapters.auto!, { classes }),
      /no object detector: it gives out \[1, 4, 32, 48\], numbers for each pixel/,
    )
  })
})
