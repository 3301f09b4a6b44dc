/** Foreign detectors in the deployed model's form give what their authors' own code gave. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { Type } from 'typebox'
import { type Box, iou } from '../../protocol/boxes.ts'
import { parseJson } from '../../protocol/parse.ts'
import { adoptFile } from '../../trainer/adapters/adopt-file.ts'
import { classesNamedIn } from '../../trainer/adapters/class-names.ts'
import { decodePicture } from '../../trainer/data/picture.ts'
import { PictureDetector } from '../../trainer/inference/detector.ts'
import { readOnnx, readOnnxFile } from '../../trainer/onnx/read.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { yoloxNet } from '../support/foreign-detectors.ts'
import { lacks, sharedData } from '../support/shared-data.ts'

const Golden = Type.Object({
  thresholds: Type.Object({ score: Type.Number() }),
  images: Type.Record(
    Type.String(),
    Type.Object({
      file: Type.String(),
      w: Type.Number(),
      h: Type.Number(),
      detections: Type.Array(
        Type.Tuple([Type.Number(), Type.Number(), Type.Number(), Type.Number(), Type.Number(), Type.String()]),
      ),
    }),
  ),
})

const folder = mkdtempSync(join(tmpdir(), 'muninn-adapters-'))
after(() => rmSync(folder, { recursive: true }))

const models = [
  { adapter: 'yolox', file: 'models/yolox-nano/yolox_nano.onnx', golden: 'models/yolox-nano/yolox-nano.json' },
  { adapter: 'fastestdet', file: 'models/fastestdet/FastestDet.onnx', golden: 'models/fastestdet/fastestdet.json' },
]

for (const { adapter, file, golden } of models) {
  describe(`${adapter} adopted`, { skip: lacks(file, golden, 'models/coco.names', 'datasets/coco-val2014-ccby6') }, () => {
    it('gives the golden detections within 2 px and 0.02', async () => {
      const output = join(folder, `${adapter}.onnx`)
      await adoptFile({ input: sharedData(file), adapter, classes: sharedData('models/coco.names'), output })
      const detector = await PictureDetector.load(await readFile(output))
      const { images, thresholds } = parseJson(Golden, await readFile(sharedData(golden), 'utf8'), golden)
      let compared = 0
      let neighbours = 0
      for (const [name, { file: picture, w, h, detections }] of Object.entries(images)) {
        if (!picture.includes('coco-val2014-ccby6')) continue
        const { found } = await detector.detect(await decodePicture(sharedData(picture)))
        const free = new Set(found.filter(({ score }) => score >= thresholds.score - 0.02))
        for (const [x1, y1, x2, y2, score, label] of detections) {
          // Ours end at the picture's edge; theirs may reach beyond it.
          const wanted: Box = [Math.max(0, x1), Math.max(0, y1), Math.min(w, x2), Math.min(h, y2)]
          const best = [...free]
            .filter((each) => detector.specification.classes[each.label] === label)
            .sort((a, b) => iou(b.box, wanted) - iou(a.box, wanted))[0]
          assert.ok(best, `${name}: ${label} ${score} is missing`)
          free.delete(best)
          const off = Math.max(...best.box.map((side, i) => Math.abs(side - wanted[i]!)))
          // A neighbouring cell may win where two scores are all but equal and the picture was decoded by another library.
          if (off > 2 && iou(best.box, wanted) > 0.8 && Math.abs(best.score - score) <= 0.02) {
            neighbours++
            continue
          }
          assert.ok(off <= 2, `${name}: ${label} is ${off.toFixed(2)} px off`)
          assert.ok(Math.abs(best.score - score) <= 0.02, `${name}: ${label} has ${best.score}, wanted ${score}`)
          compared++
        }
        const extra = [...free].filter(({ score }) => score >= thresholds.score + 0.02)
        assert.equal(extra.length, 0, `${name}: ${extra.length} detections too many`)
      }
      assert.ok(neighbours <= 1, `${neighbours} boxes come from a neighbouring cell`)
      assert.ok(compared >= 20)
      await detector.stop()
    })

    it('is read and written without a change', async () => {
      const graph = await readOnnxFile(sharedData(file))
      assert.deepEqual(readOnnx(writeOnnx(graph)), graph)
    })
  })
}

describe('class names', () => {
  it('are those that Ultralytics writes into the file, where nobody names others', () => {
    const of = (names: string) => classesNamedIn({ metadata: { names } })
    assert.deepEqual(of(`{0: 'person', 1: "driver's cab", 2: 'it\\'s'}`), ['person', "driver's cab", "it's"])
    for (const other of ['', '{}', "['a']", "{1: 'a'}", "{0: 'a', 2: 'b'}", "{0: ' '}"]) assert.equal(of(other), undefined, other)
    assert.equal(classesNamedIn({ metadata: {} }), undefined)
  })

  it('are asked for where the file holds none', async () => {
    const input = join(folder, 'nameless.onnx')
    await writeFile(input, writeOnnx(yoloxNet({ classes: 2, width: 96, height: 64, loud: true })))
    await assert.rejects(
      adoptFile({ input, adapter: 'auto', output: join(folder, 'y.onnx') }),
      /does not name its classes.*--classes/,
    )
    const named = join(folder, 'named.onnx')
    const graph = { ...yoloxNet({ classes: 2, width: 96, height: 64, loud: true }), metadata: { names: "{0: 'bus', 1: 'tram'}" } }
    await writeFile(named, writeOnnx(graph))
    const { classes } = await adoptFile({ input: named, adapter: 'auto', output: join(folder, 'y.onnx') })
    assert.deepEqual(classes, ['bus', 'tram'])
  })
})

describe('reading an ONNX file', () => {
  it('refuses bytes that are no ONNX file', () => {
    assert.throws(() => readOnnx(new Uint8Array(100).fill(7)), { code: 'BAD_MODEL' })
    assert.throws(() => readOnnx(new Uint8Array(0)), { code: 'BAD_MODEL' })
  })

  it('refuses a graph that uses a value before it is made', () => {
    const bytes = writeOnnx({
      name: 'g',
      inputs: [{ name: 'x', type: 'float32', shape: [1] }],
      outputs: [{ name: 'y', type: 'float32', shape: [1] }],
      nodes: [{ op: 'Add', domain: '', name: 'n', inputs: ['x', 'later'], outputs: ['y'], attributes: {} }],
      initializers: new Map(),
      opsets: { '': 17 },
      metadata: {},
    })
    assert.throws(() => readOnnx(bytes), /uses later before it is made/)
  })

  it('says which adapters there are when asked for another', async () => {
    await assert.rejects(adoptFile({ input: 'x', adapter: 'retina', output: 'y' }), /there are auto, yolox, fastestdet/)
  })
})
