/** Every family's published layouts. */
import assert from 'node:assert/strict'
import { Random } from '../../trainer/detector/random.ts'
import { GraphBuilder } from '../../trainer/graph/builder.ts'
import type { Graph, Node } from '../../trainer/onnx/graph.ts'
import { anchorLayouts } from './foreign-anchor-layouts.ts'
import {
  C,
  type Candidate,
  type Case,
  centred,
  classes,
  gridOf,
  layout,
  type Outputs,
  rowsOf,
  sigmoid,
  size,
} from './foreign-case.ts'
import {
  boxesBesideScoresNet,
  detrNet,
  earlyNanodetNet,
  edgeyoloNet,
  fastestdetNet,
  nanodetNet,
  picodetNet,
  yoloFastestV2Anchors,
  yoloFastestV2Net,
  yolov4Net,
  yolov5Anchors,
  yolov5Net,
  yolov8Net,
  yoloxNet,
  yunetNet,
} from './foreign-detectors.ts'
import { cellsOf } from './foreign-net.ts'
import { rtmdetLayouts } from './foreign-rtmdet.ts'
import { ssdLayouts } from './foreign-ssd-layouts.ts'

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

export const raw = (): Graph => {
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

/** Of the maps that Ultralytics exports without decoding. */
const joinedNames = ['output0', '884', '892']

export const layouts: readonly Case[] = [
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
    name: 'EdgeYOLO',
    adapter: 'yolox',
    graph: edgeyoloNet({ ...layout, opset: 11 }),
    prepare: (value) => value,
    bgr: true,
    decode: ({ output_0 }) => rowsWithObjectness(output_0!),
    architecture: 'yolox',
    head: 'yolox',
  },
  {
    name: 'EdgeYOLO made for 8-bit numbers, nine maps',
    adapter: 'yolox',
    graph: edgeyoloNet(layout, true),
    prepare: (value) => value,
    bgr: true,
    decode: (outputs) =>
      yoloxRows(
        Float32Array.from(
          [0, 1, 2].flatMap((level) => {
            const [reg, object, kinds] = ['reg', 'obj_conf', 'cls_conf'].map((name) => outputs[`${name}${level}`]!) as [
              Float32Array,
              Float32Array,
              Float32Array,
            ]
            const n = object.length
            return Array.from({ length: n }, (_, i) => [
              ...[0, 1, 2, 3].map((k) => reg[k * n + i]!),
              sigmoid(object[i]!),
              ...classes.map((__, c) => sigmoid(kinds[c * n + i]!)),
            ]).flat()
          }),
        ),
      ),
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
  ...(
    [
      ['YOLO-NAS', 'nas', 17],
      ['PP-YOLOE', 'paddle', 17],
      ['DAMO-YOLO', 'damo', 17],
      ['DAMO-YOLO nano', 'damo', 8],
    ] as const
  ).map(([name, family, bins]): Case => {
    const damo = family === 'damo'
    return {
      name,
      adapter: damo ? 'damo-yolo' : 'yolo-nas',
      graph: boxesBesideScoresNet(layout, family, bins),
      runBy: 'raw',
      prepare: damo ? (value) => value : share,
      bgr: false,
      decode: ({ boxes, scores }) =>
        rowsOf(boxes!, 4).map((box, i, all) => ({
          box: box as [number, number, number, number],
          scores: classes.map((_, c) => scores![family === 'paddle' ? c * all.length + i : i * C + c]!),
        })),
      architecture: damo ? 'damo-yolo' : 'yolo-nas',
      head: damo ? 'nanodet-plus' : 'yolov8',
      resize: damo ? 'stretch' : 'letterbox',
    }
  }),
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
  {
    name: 'YOLOv4',
    adapter: 'yolov4',
    graph: yolov4Net(layout),
    runBy: 'raw',
    prepare: share,
    bgr: false,
    decode: ({ boxes, confs }) => {
      const kinds = rowsOf(confs!, C)
      return rowsOf(boxes!, 4).map(([x1, y1, x2, y2], i) => ({
        box: [x1! * size.width, y1! * size.height, x2! * size.width, y2! * size.height] as const,
        scores: kinds[i]!,
      }))
    },
    architecture: 'yolov4',
    head: 'yolov4',
    resize: 'stretch',
  },
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
  ...(
    [
      ['YOLO26 without decoding', 0],
      ['YOLO26 without decoding, boxes and classes apart', 'apart'],
      ['YOLOv6 without decoding', 'scores first'],
    ] as const
  ).map(
    ([name, raw]): Case => ({
      name,
      adapter: 'yolov8',
      graph: yolov8Net({ ...layout, opset: 13 }, { raw, bins: 1 }),
      prepare: share,
      bgr: false,
      decode: (outputs) =>
        [8, 16, 32].flatMap((stride, level) => {
          const cells = cellsOf(size.width, size.height, stride)
          const [four, kinds] =
            raw === 'apart'
              ? [
                  ['257', '283', '309'],
                  ['274', '300', '326'],
                ]
              : [joinedNames, joinedNames]
          const [boxAt, kindAt] = raw === 'apart' ? [0, 0] : raw === 'scores first' ? [C, 0] : [0, 4]
          const at = (name: string, channel: number, cell: number) => outputs[name]![channel * cells.length + cell]!
          return cells.map(([x, y], i) => {
            const [cx, cy] = [x + 0.5, y + 0.5]
            const [l, t, r, b] = [0, 1, 2, 3].map((k) => at(four[level]!, boxAt + k, i)) as [number, number, number, number]
            return {
              box: [(cx - l) * stride, (cy - t) * stride, (cx + r) * stride, (cy + b) * stride] as const,
              scores: classes.map((_, c) => {
                const score = at(kinds[level]!, kindAt + c, i)
                return raw === 'scores first' ? score : sigmoid(score)
              }),
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
        joinedNames.flatMap((name, level) => {
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
  ...rtmdetLayouts,
  ...anchorLayouts,
  ...ssdLayouts,
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
