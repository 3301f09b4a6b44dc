/** Untrusted ONNX files are told about, never believed: broken, hostile and real ones through the probing process. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { GraphBuilder } from '../../trainer/graph/builder.ts'
import { assertRuns, inspect } from '../../trainer/inspection/probe.ts'
import { floatTensor, type Graph, type Node } from '../../trainer/onnx/graph.ts'
import { Model } from '../../trainer/onnx/proto.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { detrNet, nanodetNet, yolov8Net } from '../support/foreign-detectors.ts'
import { layouts } from '../support/foreign-layouts.ts'
import { rtmdetNet } from '../support/foreign-rtmdet.ts'
import { archive, readOpVectors } from '../support/op-vectors.ts'
import { lacks, sharedData } from '../support/shared-data.ts'

const folder = mkdtempSync(join(tmpdir(), 'muninn-inspect-'))
after(() => rmSync(folder, { recursive: true }))

function saved(name: string, bytes: Uint8Array): string {
  const path = join(folder, `${name}.onnx`)
  writeFileSync(path, bytes)
  return path
}

const node = (op: string, inputs: string[], outputs: string[], attributes: Node['attributes'] = {}, domain = ''): Node => ({
  op,
  domain,
  name: `the ${op}`,
  inputs,
  outputs,
  attributes,
})

function small(nodes: Node[], given: Partial<Graph> = {}): Uint8Array {
  return writeOnnx({
    name: 'small',
    inputs: [{ name: 'x', type: 'float32', shape: [1, 3, 8, 8] }],
    outputs: [{ name: 'y', type: 'float32', shape: ['a', 'b', 'c', 'd'] }],
    nodes,
    initializers: new Map(),
    opsets: { '': 17 },
    metadata: {},
    ...given,
  })
}

/** A file as raw protobuf fields, for what our own writing never does. */
const raw = (graph: Record<string, unknown>) =>
  Model.encode(
    Model.create({ irVersion: 10, opsetImport: [{ domain: '', version: 21 }], graph: { name: 'g', ...graph } }),
  ).finish()
const value = (name: string, elemType: number) => ({
  name,
  type: { tensorType: { elemType, shape: { dim: [{ dimValue: 2 }] } } },
})

describe('inspecting a file that is no model', () => {
  it('tells bytes that are no ONNX, a folder and a missing file apart from models', async () => {
    await assert.rejects(inspect(saved('garbage', new Uint8Array(5000).fill(0xa7))), { code: 'BAD_MODEL' })
    await assert.rejects(inspect(folder), { code: 'NOT_FOUND' })
    await assert.rejects(inspect(join(folder, 'nowhere.onnx')), { code: 'NOT_FOUND' })
  })

  it('tells a truncated model', async () => {
    const g = new GraphBuilder('whole')
    const x = g.input('x', 'float32', [1, 3, 8, 8])
    g.output(g.conv(x, g.constant(new Float32Array(3000).fill(1), [1000, 3, 1, 1]), null), 'y')
    const bytes = writeOnnx(g.graph)
    await assert.rejects(inspect(saved('truncated', bytes.subarray(0, bytes.length / 2))), { code: 'BAD_MODEL' })
  })
})

describe('inspecting a model that is not to be run', () => {
  const cast = { opType: 'Cast', input: ['x'], output: ['y'], name: 'c', attribute: [{ name: 'to', type: 2, i: 22 }] }
  const refused: readonly (readonly [what: string, bytes: Uint8Array, why: RegExp])[] = [
    ['an int4 output', raw({ node: [cast], input: [value('x', 1)], output: [value('y', 22)] }), /output y is of an element type/],
    [
      'an int4 output that calls itself float32',
      raw({ node: [cast], input: [value('x', 1)], output: [value('y', 1)] }),
      /value y is of an element type/,
    ],
    [
      'a circle',
      small([node('Add', ['x', 'b'], ['a']), node('Neg', ['a'], ['b']), node('Neg', ['b'], ['y'])]),
      /the graph goes round in a circle/,
    ],
    [
      'an input of a huge size',
      small([node('Relu', ['x'], ['y'])], { inputs: [{ name: 'x', type: 'float32', shape: [100_000, 100_000, 100, 10] }] }),
      /the value x is \[100000, 100000, 100, 10\], which is more than/,
    ],
    [
      'a value that a few bytes blow up',
      small([
        node('Constant', [], ['much'], { value_ints: [10_000_000, 3, 8, 8] }),
        node('Expand', ['x', 'much'], ['big']),
        node('ReduceSum', ['big'], ['y']),
      ]),
      /the value big is \[10000000, 3, 8, 8\]/,
    ],
  ]
  for (const [what, bytes, why] of refused) {
    it(`refuses ${what} before running it, and says why`, async () => {
      const { header, run, adopt, fineTune } = await inspect(saved(what.replaceAll(' ', '-'), bytes))
      for (const verdict of [run, adopt, fineTune]) {
        assert.equal(verdict.can, false)
        assert.match(verdict.why, why)
      }
      assert.ok(Object.keys(header.ops).length > 0, 'what the file is, is told all the same')
    })
  }

  it('names an op that onnxruntime does not know', async () => {
    const { run, adopt, fineTune } = await inspect(saved('unknown-op', small([node('Foo', ['x'], ['y'])])))
    assert.equal(run.can, false)
    assert.match(run.why, /Foo/)
    assert.equal(adopt.can, false)
    assert.equal(fineTune.can, false)
  })

  it('survives the vectors that end a whole Node process', { skip: lacks(archive) }, async () => {
    const names = ['cast_FLOAT_to_INT4', 'cast_FLOAT_to_UINT4']
    for (const { name, model } of readOpVectors().filter((each) => names.includes(each.name))) {
      const { run } = await inspect(saved(name, model))
      assert.equal(run.can, false)
      assert.match(run.why, /output \w+ is of an element type/)
    }
  })
})

describe('a probing process', () => {
  const relu = () => saved('relu', small([node('Relu', ['x'], ['y'])]))

  it('lets a file in that runs, and keeps one out that does not', async () => {
    await assertRuns(relu())
    await assert.rejects(assertRuns(saved('foo', small([node('Foo', ['x'], ['y'])]))), { code: 'BAD_MODEL', message: /Foo/ })
    await assert.rejects(assertRuns(join(folder, 'nowhere.onnx')), { code: 'NOT_FOUND' })
  })

  it('runs a file of open size at the size that is told, where it was made for one', async () => {
    const open = { name: 'x', type: 'float32' as const, shape: [1, 3, 'height', 'width'] }
    const priors = { type: 'float32' as const, shape: [1, 3, 24, 32], data: new Float32Array(3 * 24 * 32) }
    const file = saved(
      'open',
      small([node('Add', ['x', 'p'], ['y'])], { inputs: [open], initializers: new Map([['p', priors]]) }),
    )
    await assert.rejects(assertRuns(file), { code: 'BAD_MODEL', message: /what helps: .*tell adopt the size.*--size/ })
    await assertRuns(file, { size: { width: 32, height: 24 } })
  })

  it('is ended when it takes too long, which is told', async () => {
    await assert.rejects(assertRuns(relu(), { seconds: 0.001 }), { code: 'BAD_MODEL', message: /was ended after 0.001 s while/ })
  })

  it('is ended when it takes too much memory, which is told', async () => {
    await assert.rejects(assertRuns(relu(), { mebibytes: 20 }), { code: 'BAD_MODEL', message: /more than 20 MiB of memory/ })
  })
})

describe('inspecting a model that can be run', () => {
  it('names the op without a gradient rule and what helps', async () => {
    const g = new GraphBuilder('hard')
    const x = g.input('x', 'float32', [1, 3, 8, 8])
    const y = g.conv(x, g.constant(new Float32Array(12).fill(1), [4, 3, 1, 1]), null)
    g.output(g.op('Hardmax', [y]), 'y')
    const { run, fineTune } = await inspect(saved('hardmax', writeOnnx(g.graph)))
    assert.equal(run.can, true)
    assert.equal(fineTune.can, false)
    assert.match(fineTune.why, /no gradient rule for Hardmax/)
    assert.match(fineTune.cure ?? '', /adapter/)
  })

  const layout = { classes: 7, width: 96, height: 64, loud: true, opset: 17 }

  it('finds the number of classes inside a file that names none and gives only its best boxes', async () => {
    const { adopt, fineTune } = await inspect(saved('best', writeOnnx(yolov8Net(layout, { end: 'suppressed' }))))
    assert.match(adopt.why, /yolov8: 7 classes, 96 x 64; .*of which the file would choose the best/)
    assert.equal(fineTune.can, true, fineTune.why)
  })

  it('finds it where the suppression inside takes boxes and scores apart', async () => {
    const { adopt, fineTune } = await inspect(saved('apart', writeOnnx(rtmdetNet(layout, { form: 'suppressed', pixels: true }))))
    assert.match(adopt.why, /rtmdet: 7 classes, 96 x 64; .*of which the file would choose the best/)
    assert.equal(fineTune.can, true, fineTune.why)
  })

  it('reads rows before a suppression that ends in a branch', async () => {
    const graph = yolov8Net(layout, { end: 'suppressed' })
    const [{ name }] = graph.outputs as [Graph['outputs'][0]]
    const outputs: Graph['outputs'] = [{ name: 'own', type: 'float32', shape: ['n', 'm'] }]
    const branch = (op: string) => ({
      graph: { ...graph, initializers: new Map(), inputs: [], nodes: [node(op, [name], ['own'])], outputs },
    })
    const nodes = [
      ...graph.nodes,
      node('ReduceMax', [name], ['greatest'], { keepdims: 0 }),
      node('Less', ['greatest', 'none'], ['empty']),
      node('If', ['empty'], ['last'], { then_branch: branch('Neg'), else_branch: branch('Identity') }),
    ]
    const initializers = new Map([...graph.initializers, ['none', floatTensor([], [0])] as const])
    const whole = { ...graph, nodes, initializers, outputs: [{ ...outputs[0]!, name: 'last' }, ...graph.outputs.slice(1)] }
    const { adopt, fineTune } = await inspect(saved('branch', writeOnnx(whole)))
    assert.match(adopt.why, /yolov8: 7 classes, 96 x 64; .*of which the file would choose the best/)
    assert.equal(fineTune.can, true, fineTune.why)
  })

  it("reads torchvision's detectors before the choice that they make of their boxes, branch by branch", async () => {
    const whole = layouts.find(({ name }) => name.startsWith('RetinaNet whole'))!
    const { run, adopt, fineTune } = await inspect(saved('whole', writeOnnx(whole.graph)))
    assert.equal(run.can, true, run.why)
    assert.match(adopt.why, /retinanet: 3 classes, 96 x 64; .*decoded inside, of which the file would choose the best/)
    assert.equal(fineTune.can, true, fineTune.why)
  })

  it('says that its family must be told where nothing in the file tells it', async () => {
    const { adopt } = await inspect(saved('maps', writeOnnx(yolov8Net(layout, { raw: 'apart, plain', bins: 1 }))))
    assert.equal(adopt.can, false)
    assert.match(adopt.cure ?? '', /muninn adopt --adapter rtmdet or yolov8/)
  })

  it('says that a file whose shapes hold a batch of one is trained so', async () => {
    const { fineTune } = await inspect(saved('sequence', writeOnnx(yolov8Net(layout, { sequence: true }))))
    assert.equal(fineTune.can, true, fineTune.why)
    assert.match(fineTune.why, /one picture at a time: train it with --batch 1/)
  })

  it("says what helps where the suppression inside is TensorRT's", async () => {
    const { run } = await inspect(
      saved('trt', small([node('EfficientNMS_TRT', ['x'], ['y'], {}, 'TRT')], { opsets: { '': 17, TRT: 1 } })),
    )
    assert.equal(run.can, false)
    assert.match(run.cure ?? '', /without its own suppression/)
  })

  it('tells a network that gives no boxes what it is instead', async () => {
    const g = new GraphBuilder('classifier')
    const x = g.input('x', 'float32', [1, 3, 8, 8])
    const y = g.conv(x, g.constant(new Float32Array(12).fill(1), [4, 3, 1, 1]), null)
    g.output(g.reshape(g.op('GlobalAveragePool', [y]), [1, 4]), 'y')
    const { run, adopt, fineTune } = await inspect(saved('classifier', writeOnnx(g.graph)))
    assert.equal(run.can, true)
    for (const verdict of [adopt, fineTune]) {
      assert.equal(verdict.can, false)
      assert.match(verdict.why, /^this is no object detector: it gives y \[1, 4\], one row of numbers/)
      assert.match(verdict.cure ?? '', /finds objects/)
    }
  })

  it('tells a NanoDet of eleven distances a side, as its larger ones have, from a network that marks pixels', async () => {
    const layout = { width: 96, height: 64, classes: 80, loud: true }
    const file = saved('eleven', writeOnnx(nanodetNet(layout, { strides: [8, 16, 32], shared: true, bins: 11 })))
    const { adopt, fineTune } = await inspect(file)
    assert.match(adopt.why, /^nanodet: 80 classes, 96 x 64/)
    assert.equal(fineTune.can, true, fineTune.why)
  })

  it('does not claim a count of classes where only numbers in rows name them', async () => {
    const layout = { width: 96, height: 64, classes: 3, loud: true }
    const file = saved('end', writeOnnx(detrNet(layout, { chosen: true, end: true })))
    const { adopt } = await inspect(file)
    assert.match(adopt.why, /^raw: as many classes as are named, 96 x 64/)
  })

  it('fills in the sizes that a file leaves open', async () => {
    const bytes = small([node('Relu', ['x'], ['y'])], {
      inputs: [{ name: 'x', type: 'float32', shape: ['batch', 3, 'height', 'width'] }],
    })
    const { header, run } = await inspect(saved('open', bytes))
    assert.deepEqual(header.inputs[0]?.shape, ['batch', 3, 'height', 'width'])
    assert.match(run.why, /x \[1, 3, 416, 416\] gives y \[1, 3, 416, 416\]/)
  })

  const yolox = 'models/yolox-nano/yolox_nano.onnx'
  it('tells YOLOX-nano: what it is, and that it can be run, adopted and fine-tuned', { skip: lacks(yolox) }, async () => {
    const { header, run, adopt, fineTune } = await inspect(sharedData(yolox))
    assert.equal(header.opsets['ai.onnx'], 11)
    assert.equal(header.ops.Conv, 113)
    assert.match(header.producer, /pytorch/)
    assert.deepEqual(header.outputs[0]?.shape, [1, 3549, 85])
    assert.equal(run.can, true, run.why)
    assert.match(adopt.why, /yolox: 80 classes, 416 x 416/)
    assert.equal(fineTune.can, true, fineTune.why)
  })

  const fastestdet = 'models/fastestdet/FastestDet.onnx'
  it('tells FastestDet: it can be run and adopted', { skip: lacks(fastestdet) }, async () => {
    const { header, run, adopt } = await inspect(sharedData(fastestdet))
    assert.equal(header.ops.Conv, 70)
    assert.equal(run.can, true, run.why)
    assert.match(adopt.why, /fastestdet: 80 classes, 352 x 352/)
  })
})
