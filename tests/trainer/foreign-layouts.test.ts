/** Every family's published layout, adopted, gives the boxes that plain code reads off the network's own outputs. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { iou } from '../../protocol/boxes.ts'
import { adopt } from '../../trainer/adapters/adopt-file.ts'
import { adapters } from '../../trainer/adapters/table.ts'
import { deployed } from '../../trainer/detector/deploy.ts'
import { Random } from '../../trainer/detector/random.ts'
import { readOnnx } from '../../trainer/onnx/read.ts'
import { upgrade } from '../../trainer/onnx/upgrade.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { C, type Case, classes, type Outputs, rowsOf, size } from '../support/foreign-case.ts'
import { layouts } from '../support/foreign-layouts.ts'

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
  for (const each of layouts) {
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
  for (const each of layouts) {
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
})
