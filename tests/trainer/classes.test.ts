/** Changing the classes, the size and the number of pictures of every kind of head: what was known stays the same, and no picture sees another. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { adopt } from '../../trainer/adapters/adopt-file.ts'
import { adapters } from '../../trainer/adapters/table.ts'
import { channelOrder, withClasses } from '../../trainer/detector/classes.ts'
import { continued, coreOf, withInput } from '../../trainer/detector/core.ts'
import { deployed } from '../../trainer/detector/deploy.ts'
import { headOf } from '../../trainer/detector/heads/table.ts'
import { plainNetwork } from '../../trainer/detector/network.ts'
import { Random } from '../../trainer/detector/random.ts'
import type { Specification } from '../../trainer/detector/specification.ts'
import type { Graph } from '../../trainer/onnx/graph.ts'
import { readOnnx } from '../../trainer/onnx/read.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { fastestdetNet, nanodetNet, picodetNet, yolov5Net, yolov8Net, yoloxNet, yunetNet } from '../support/foreign-detectors.ts'
import { ssdNet } from '../support/foreign-ssd.ts'

const size = { width: 64, height: 64 }
const old = ['a', 'b', 'c']
const layout = { ...size, classes: old.length, loud: true }

type Made = Promise<{ core: Graph; specification: Specification }>
const foreign = async (adapter: string, graph: Graph): Made => await adopt(graph, adapters[adapter]!, { classes: old })

const heads: Readonly<Record<string, () => Made>> = {
  'the built-in detector': async () => {
    const { graph, specification } = plainNetwork({ ...size, classes: old, random: new Random(1) })
    return { core: graph, specification }
  },
  YOLOX: () => foreign('yolox', yoloxNet(layout)),
  FastestDet: () => foreign('fastestdet', fastestdetNet(layout)),
  'NanoDet-Plus, classes and distances in one convolution': () =>
    foreign('nanodet', nanodetNet(layout, { strides: [8, 16, 32, 64], shared: true })),
  'PicoDet, biases in nodes of their own': () => foreign('picodet', picodetNet(layout)),
  'PicoDet, aligned': () => foreign('picodet', picodetNet(layout, true)),
  'YOLOv5, three anchors in one convolution': () => foreign('yolov5', yolov5Net(layout)),
  YOLOv8: () => foreign('yolov8', yolov8Net(layout)),
  'YOLO26, end to end': () => foreign('yolov8', yolov8Net(layout, { bins: 1, end: 'rows' })),
  'YuNet, a depthwise convolution behind the classes': () => foreign('yunet', yunetNet(layout)),
  'SSD, anchors and background in one convolution': () => foreign('ssd', ssdNet(layout)),
}

const random = new Random(4)
const picture = Uint8Array.from({ length: size.width * size.height * 3 }, () => random.integer(256))

/** Raw rows, as one list of columns: those that belong to no class, then one per class. */
async function columnsOf(
  core: Graph,
  specification: Specification,
): Promise<{ others: Float32Array[]; classes: Float32Array[] }> {
  const g = continued(core)
  const rows = g.value(specification.rows)
  g.output(rows, 'raw')
  const session = await ort.InferenceSession.create(writeOnnx(g.graph), { graphOptimizationLevel: 'disabled' })
  const { raw } = await session.run({ image: new ort.Tensor('uint8', picture, [1, size.height, size.width, 3]) })
  await session.release()
  const data = raw!.data as Float32Array
  const width = rows.shape[2]!
  const columns = Array.from({ length: width }, (_, column) => data.filter((_, i) => i % width === column))
  const head = headOf(specification)
  const at = head.classesAt(specification)
  assert.equal(width, head.otherColumns(specification) + specification.classes.length)
  const classes = columns.splice(at, specification.classes.length)
  return { others: columns, classes }
}

/** Filter or bias of one channel. */
function slab(core: Graph, name: string, channel: number): Float32Array {
  const { shape, data } = core.initializers.get(name)!
  const channels = shape.length === 4 && shape[0] === 1 ? data.length : shape[0]!
  const size = data.length / channels
  return (data as Float32Array).slice(channel * size, (channel + 1) * size)
}

/** The convolution of another width may round its sums in another order: that much, and no more. */
function near(ours: Float32Array, wanted: Float32Array): void {
  assert.equal(ours.length, wanted.length)
  for (const [i, value] of ours.entries()) assert.ok(Math.abs(value - wanted[i]!) < 1e-5 * Math.max(1, Math.abs(value)))
}

describe('other classes', () => {
  for (const [name, make] of Object.entries(heads)) {
    it(`of ${name}: added, dropped and in another order, with all other filters bit for bit as they were`, async () => {
      const { core, specification } = await make()
      const before = await columnsOf(core, specification)
      for (const classes of [['a', 'b', 'c', 'd', 'e'], ['c', 'a'], ['new', 'c', 'b', 'a', 'newer'], ['only new']]) {
        const changed = withClasses(core, specification, classes)
        assert.deepEqual(changed.specification.classes, classes)
        const after = await columnsOf(changed.core, changed.specification)
        for (const [i, column] of after.others.entries()) near(column, before.others[i]!)
        for (const [i, kind] of classes.entries()) {
          if (old.includes(kind)) near(after.classes[i]!, before.classes[old.indexOf(kind)]!)
          else assert.ok(after.classes[i]!.every(Number.isFinite), kind)
        }
        for (const classifier of specification.classifiers) {
          for (const [channel, from] of channelOrder(classifier, old, classes).entries()) {
            if (from === null) continue
            for (const name of [classifier.weight, classifier.bias])
              assert.deepEqual(slab(changed.core, name, channel), slab(core, name, from), `${name}, channel ${channel}`)
          }
        }
      }
    })
  }

  it('name each channel of a convolution that holds more than classes', () => {
    assert.deepEqual(channelOrder({ anchors: 2, before: 1, after: 1 }, ['a', 'b'], ['b', 'x']), [0, 2, null, 3, 4, 6, null, 7])
    assert.deepEqual(channelOrder({}, ['a', 'b', 'c'], ['c']), [2])
  })

  it('are refused where no convolution with a filter per class is known', async () => {
    const { core, specification } = await heads.YOLOX!()
    assert.throws(() => withClasses(core, { ...specification, classifiers: [] }, ['a']), { code: 'BAD_MODEL' })
  })
})

/** Raw rows of a batch of pictures, one after the other. */
async function rowsOf(
  core: Graph,
  { rows }: Specification,
  pictures: readonly Uint8Array[],
  side: number,
): Promise<Float32Array> {
  const g = continued(core)
  assert.equal(g.value(rows).shape[0], pictures.length, 'the rows are those of each picture')
  g.output(g.value(rows), 'raw')
  const session = await ort.InferenceSession.create(writeOnnx(g.graph), { graphOptimizationLevel: 'disabled' })
  const image = new ort.Tensor('uint8', Buffer.concat(pictures), [pictures.length, side, side, 3])
  const { raw } = await session.run({ image })
  await session.release()
  return raw!.data as Float32Array
}

describe('a core for other pictures', () => {
  const side = 96
  const draw = () => Uint8Array.from({ length: side * side * 3 }, () => random.integer(256))
  const pictures = [draw(), draw(), draw()]

  for (const [name, make] of Object.entries(heads))
    it(`of ${name} keeps the pictures of a batch apart, though the size changed before, and once more in a file`, async () => {
      const { core, specification } = await make()
      const sized = withInput(core, { batch: 1, width: side, height: side })
      const alone = await Promise.all(pictures.map((each) => rowsOf(sized, specification, [each], side)))
      const file = readOnnx(writeOnnx(deployed(sized, specification, { width: side, height: side })))
      for (const from of [sized, coreOf(file, specification)]) {
        const together = await rowsOf(withInput(from, { batch: 3, width: side, height: side }), specification, pictures, side)
        assert.equal(together.length, 3 * alone[0]!.length)
        for (const [i, one] of alone.entries())
          for (const [j, value] of one.entries())
            assert.ok(Math.abs(together[i * one.length + j]! - value) <= 1e-3 * Math.max(1, Math.abs(value)), `${i}, ${j}`)
      }
    })
})
