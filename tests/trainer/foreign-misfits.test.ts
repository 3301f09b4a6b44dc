/** What looks like a known family and is none is refused, with the cure; what could be misread is not. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { adopt } from '../../trainer/adapters/adopt-file.ts'
import { adapters } from '../../trainer/adapters/table.ts'
import { pruned } from '../../trainer/engine/step-graph.ts'
import { GraphBuilder, type Value } from '../../trainer/graph/builder.ts'
import type { Graph } from '../../trainer/onnx/graph.ts'
import { readOnnx } from '../../trainer/onnx/read.ts'
import { upgrade } from '../../trainer/onnx/upgrade.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { anchorsNet } from '../support/foreign-anchors.ts'
import { classes, layout, size } from '../support/foreign-case.ts'
import {
  detrNet,
  fastestdetNet,
  nanodetNet,
  picodetNet,
  yoloFastestV2Net,
  yolov4Anchors,
  yolov4Net,
  yolov5Net,
  yolov8Net,
  yoloxNet,
  yunetNet,
} from '../support/foreign-detectors.ts'
import { raw } from '../support/foreign-layouts.ts'
import { rtmdetNet } from '../support/foreign-rtmdet.ts'
import { ssdNet } from '../support/foreign-ssd.ts'

describe('a network', () => {
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

  it('of YOLOv4 without decoding is refused without its anchors, with the cure, and read as YOLOv3 with them', async () => {
    const graph = yolov4Net(layout, false)
    await assert.rejects(
      adopt(graph, adapters.yolov4!, { classes }),
      /anchors are not in the file.*YOLOv4's own are --anchors 12,16,/,
    )
    const { specification, why } = await adopt(graph, adapters.yolov4!, { classes, anchors: yolov4Anchors.flat() })
    assert.equal(specification.head, 'yolov4')
    assert.equal(specification.centreScales, undefined)
    assert.match(why, /read as YOLOv3 decodes them/)
    // Which of the two it is is in no file: what `auto` took it for is said.
    const taken = await adopt(graph, adapters.auto!, { classes, anchors: yolov4Anchors.flat() })
    assert.match(taken.why, /read as YOLOv5 decodes them .*--adapter yolov4/)
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

  it('of RTMDet whose maps stand alone is not taken for YOLO26, also with as many classes as there are distances', async () => {
    for (const form of ['maps', 'joined'] as const) {
      const graph = rtmdetNet({ ...layout, classes: 4 }, { form })
      const names = [...classes, 'd']
      const { specification } = await adopt(graph, adapters.auto!, { classes: names })
      assert.equal(specification.head, 'rtmdet')
      assert.equal(specification.cellOffset, 0)
      await assert.rejects(adopt(graph, adapters.yolov8!, { classes: names }), /share the filters below.*--adapter rtmdet/)
    }
  })

  it('whose maps may be of two families is read as the one that is named', async () => {
    for (const graph of [
      yolov8Net(layout, { raw: 'apart, plain', bins: 1 }),
      yolov8Net(layout, { raw: 'logits first', bins: 1 }),
      rtmdetNet(layout, { form: 'maps', apart: true }),
    ]) {
      await assert.rejects(
        adopt(graph, adapters.auto!, { classes }),
        /nothing in the file tells.*--adapter rtmdet\n.*nothing in the file tells.*--adapter yolov8\n/,
      )
      assert.equal((await adopt(graph, adapters.yolov8!, { classes })).specification.head, 'yolov8')
      assert.equal((await adopt(graph, adapters.rtmdet!, { classes })).specification.head, 'rtmdet')
    }
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

  it('of anchors that nobody published is refused without their sizes, with the cure', async () => {
    for (const form of ['maps', 'scores first'] as const) {
      const graph = anchorsNet(layout, { strides: [8, 16], perCell: 3, form, side: 3 })
      await assert.rejects(
        adopt(graph, adapters.retinanet!, { classes }),
        /its anchors are not in the file, and its 2 grids of strides 8, 16 with 3, 3 a cell.*tell the 6 widths.*--anchors/,
      )
      await assert.rejects(
        adopt(graph, adapters.retinanet!, { classes, anchors: [10, 20] }),
        /have 3, 3 anchors, and 1 widths and heights/,
      )
    }
  })

  it('of EfficientDet without separable convolutions is taken for RetinaNet, which is said, and read as what it is when that is told', async () => {
    const graph = anchorsNet(layout, { strides: [8, 16, 32, 64, 128], perCell: 9, form: 'maps', side: 3 })
    const taken = await adopt(graph, adapters.auto!, { classes })
    assert.match(taken.why, /^retinanet: .*as published for torchvision's RetinaNet.*--adapter efficientdet/)
    assert.deepEqual(taken.specification.anchors![0]![0], [46, 22])
    const told = await adopt(graph, adapters.efficientdet!, { classes })
    assert.equal(told.specification.head, 'efficientdet')
    assert.deepEqual(told.specification.anchors![0]![0], [32, 32])
    assert.match(told.why, /as published for EfficientDet, 4 strides wide/)
  })

  it('of anchors in its file that lie on no grid is refused', async () => {
    const anchors = Array.from({ length: 240 }, (_, i) => [i, i * 2, i + 20, i * 2 + 30])
    const graph = anchorsNet(layout, { strides: [8, 16], perCell: 2, form: 'boxes first', sigmoid: true, anchors })
    await assert.rejects(adopt(graph, adapters.efficientdet!, { classes }), /the anchors in anchors are no regular grid/)
  })

  it('with class numbers is refused with too few names for them', async () => {
    const graph = upgrade(readOnnx(writeOnnx(detrNet(layout, { chosen: true, end: true }))))
    await assert.rejects(
      adopt(graph, adapters.raw!, { classes: ['a'] }),
      /class numbers reach [12] on a picture, and 1 classes are named/,
    )
  })

  it('of chosen queries that has a class more than are named, as RF-DETR has, is refused, with the cure', async () => {
    const graph = detrNet(layout, { chosen: true, patches: true })
    await assert.rejects(
      adopt(graph, adapters.auto!, { classes: ['a', 'b'] }),
      /has 3 columns.*name all 3; RF-DETR counts .* from 1/,
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
