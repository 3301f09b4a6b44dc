/** Classes that were not looked for in every picture: nothing is learnt of them there, and nothing is counted against them. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import sharp from 'sharp'
import { kinds } from '../../edge-agent/demo/objects.ts'
import { renderStreet } from '../../edge-agent/demo/street.ts'
import { type Box, iou } from '../../protocol/boxes.ts'
import { canvasOf, mosaic, plain, single } from '../../trainer/data/augment.ts'
import { copyable, freePlace } from '../../trainer/data/paste.ts'
import { boxesPerPicture } from '../../trainer/data/pseudo-labels.ts'
import { readFolder } from '../../trainer/data/read-folder.ts'
import { isPartial, type LabelledSample, notExhaustive } from '../../trainer/data/sample.ts'
import { cellsOf } from '../../trainer/detector/cells.ts'
import { headOf, rowWidth, targetOptionsOf } from '../../trainer/detector/heads/table.ts'
import { losses, trainingGraph } from '../../trainer/detector/loss.ts'
import { Random } from '../../trainer/detector/random.ts'
import type { Specification } from '../../trainer/detector/specification.ts'
import { type Label, targetsOf } from '../../trainer/detector/targets.ts'
import { compileStep } from '../../trainer/engine/step-graph.ts'
import { analyse } from '../../trainer/evaluation/analysis.ts'
import { type EvaluatedPicture, evaluateCoco } from '../../trainer/evaluation/coco.ts'
import { pair } from '../../trainer/evaluation/coco-files.ts'
import { measureModel } from '../../trainer/evaluation/measure.ts'
import { GraphBuilder } from '../../trainer/graph/builder.ts'
import { train } from '../../trainer/loop/train.ts'
import { floatTensor } from '../../trainer/onnx/graph.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'

const root = mkdtempSync(join(tmpdir(), 'muninn-not-exhaustive-'))
after(() => rmSync(root, { recursive: true }))

const size = 64
const classes = ['car', 'person', 'bicycle']
/** The class that was added later: old pictures were never labelled for it. */
const added = 2
const car: Label = { box: [8, 8, 40, 30], label: 0 }
const person: Label = { box: [30, 34, 50, 60], label: 1 }
const bicycle: Label = { box: [20, 20, 44, 44], label: added }

const shapes: readonly [number, number][][] = [[[16, 12]], [[32, 24]]]
const heads: Record<Exclude<Specification['head'], 'fixed'>, Partial<Specification>> = {
  distances: {},
  yolox: {},
  fastestdet: { strides: [16] },
  distribution: { bins: 8 },
  'nanodet-plus': { bins: 8 },
  picodet: { bins: 8 },
  rtmdet: { bins: 1 },
  yolov8: { bins: 8 },
  yunet: {},
  anchors: { anchors: shapes.map((level) => [...level]) },
  'yolo-fastestv2': { anchors: shapes.map((level) => [...level]) },
  yolov4: { anchors: shapes.map((level) => [...level]), centreScales: [1.2, 1.05] },
  priors: { anchors: shapes.map((level) => [...level]), variances: [0.1, 0.2] },
  retinanet: { anchors: shapes.map((level) => [...level]) },
  fcos: {},
  efficientdet: { anchors: shapes.map((level) => [...level]) },
}

/** Loss and gradient by row [2 pictures][cells][width], with rows of noise that are parameters themselves. */
async function stepOf(
  head: keyof typeof heads,
  pictures: readonly (readonly Label[])[],
  options: {
    partial?: boolean
    change?: (rows: Float32Array, at: (picture: number, cell: number, column: number) => number) => void
  } = {},
) {
  const { partial = true, change } = options
  const specification: Specification = {
    v: 1,
    architecture: 'rows',
    classes,
    resize: 'letterbox',
    head,
    rows: '',
    feature: '',
    strides: [8, 16],
    classifiers: [],
    nms: 'per-class',
    nmsIou: 0.6,
    ...heads[head],
  }
  const cells = cellsOf({ width: size, height: size, ...specification })
  const [batch, count, width] = [pictures.length, cells.x.length, rowWidth(specification)]
  const g = new GraphBuilder('rows')
  const image = g.input('image', 'uint8', [batch, size, size, 3])
  const random = new Random(5)
  const numbers = Float32Array.from({ length: batch * count * width }, () => random.normal() * 0.5)
  const at = (picture: number, cell: number, column: number) => (picture * count + cell) * width + column
  change?.(numbers, at)
  const parameter = g.initializer('numbers', floatTensor([batch, count, width], numbers))
  const none = g.scale(g.mean(g.op('Cast', [image], { attributes: { to: 1 } })), 0)
  const rows = g.add(parameter, none)
  const named = { ...specification, rows: rows.name, feature: rows.name }
  const targets = targetOptionsOf(named, batch)
  const step = compileStep({
    graph: trainingGraph({ ...g.graph, outputs: [] }, named, {
      batch,
      width: size,
      height: size,
      positives: targets.positives,
      partial,
    }),
    losses: [...losses],
    parameters: ['numbers'],
    dialect: 'std',
  })
  const feeds = {
    image: { type: 'uint8' as const, shape: [batch, size, size, 3], data: new Uint8Array(batch * size * size * 3) },
    ...targetsOf(pictures, { ...targets, cells, partial }),
  }
  const session = await ort.InferenceSession.create(writeOnnx(step.graph), { graphOptimizationLevel: 'disabled' })
  const run = async (values: Float32Array) => {
    const inputs: Record<string, ort.Tensor> = { parameters: new ort.Tensor('float32', values, [values.length]) }
    for (const [name, { type, shape, data }] of Object.entries(feeds)) inputs[name] = new ort.Tensor(type, data as never, shape)
    const known = new Set(session.inputNames)
    const out = await session.run(Object.fromEntries(Object.entries(inputs).filter(([name]) => known.has(name))))
    return { losses: [...(out.losses!.data as Float32Array)], gradient: out.gradient!.data as Float32Array }
  }
  const classAt = headOf(specification).classesAt(specification)
  return { ...(await run(numbers)), run, numbers, at, count, classAt, cells, targets }
}

type Step = Awaited<ReturnType<typeof stepOf>>
/** Sizes of the gradients of a class's logits in all rows of a picture. */
const ofClass = ({ gradient, at, count, classAt }: Step, picture: number, label: number) =>
  Array.from({ length: count }, (_, cell) => Math.abs(gradient[at(picture, cell, classAt + label)]!))
const most = (values: readonly number[]) => Math.max(...values)

describe('a class that was not looked for', () => {
  for (const head of Object.keys(heads) as (keyof typeof heads)[]) {
    it(`gets no gradient where it was not, and the usual one where it was: ${head}`, async () => {
      const old = [car, person, notExhaustive(added)]
      const step = await stepOf(head, [old, [car, bicycle]])
      assert.ok(step.gradient.every(Number.isFinite))
      assert.equal(most(ofClass(step, 0, added)), 0)
      assert.ok(most(ofClass(step, 1, added)) > 1e-4)
      assert.ok(most(ofClass(step, 0, 0)) > 1e-4)
      // By finite differences: the loss of the classes does not see these logits (a background is shared, and has its own test).
      if (head !== 'priors') {
        const random = new Random(9)
        const moved = step.numbers.slice()
        for (let cell = 0; cell < step.count; cell++) moved[step.at(0, cell, step.classAt + added)]! += random.normal()
        assert.equal((await step.run(moved)).losses[2], step.losses[2])
      }
    })

    it(`is learnt from a box of it that is there all the same: ${head}`, async () => {
      const step = await stepOf(head, [[bicycle, notExhaustive(added)], [car]])
      const sizes = ofClass(step, 0, added)
      assert.ok(most(sizes) > 1e-4)
      const { cells, targets } = step
      const inside = targetsOf([[bicycle]], { cells, ...targets })
      const rows = new Set([...(inside.index!.data as BigInt64Array)].filter((_, i) => inside.weight!.data[i] === 1).map(Number))
      assert.ok(sizes.every((value, cell) => value === 0 || rows.has(cell)))
    })

    it(`changes nothing where every class was looked for: ${head}`, async () => {
      const pictures = [[car, person], [bicycle]]
      const [with_, without] = [await stepOf(head, pictures), await stepOf(head, pictures, { partial: false })]
      assert.ok(Math.abs(with_.losses[0]! - without.losses[0]!) < 1e-5 * Math.abs(without.losses[0]!))
      for (const [i, value] of with_.gradient.entries()) assert.ok(Math.abs(value - without.gradient[i]!) < 1e-6)
    })
  }

  /** A row far from the boxes that is sure of the added class, in both pictures. */
  const sure = 3
  for (const [head, column] of [
    ['yolox', 4],
    ['anchors', 4],
    ['fastestdet', 0],
    ['priors', 4],
  ] as const) {
    it(`does not become background for being unknown: ${head}`, async () => {
      const step = await stepOf(head, [[car, notExhaustive(added)], [car]], {
        change: (rows, at) => {
          const classAt = 5
          for (const picture of [0, 1]) {
            rows.fill(0, at(picture, sure, 0), at(picture, sure, 0) + classAt)
            for (const label of classes.keys()) rows[at(picture, sure, classAt + label)] = label === added ? 9 : -9
          }
        },
      })
      const [unknown, known] = [0, 1].map((picture) => Math.abs(step.gradient[step.at(picture, sure, column)]!)) as [
        number,
        number,
      ]
      assert.ok(known > 1e-4, `the known picture's is ${known}`)
      assert.ok(unknown < 0.01 * known, `${unknown} beside ${known}`)
    })
  }

  it('is refused by a graph without an input for it', () => {
    const cells = cellsOf({ width: size, height: size, strides: [8] })
    assert.throws(() => targetsOf([[notExhaustive(0)]], { cells, classes: 1, positives: 4, oneHot: false }), /not looked for/)
  })
})

describe('what was not looked for, in pictures', () => {
  const flat = (value: number) => ({ width: 40, height: 20, data: new Uint8Array(40 * 20 * 3).fill(value) })
  const old = { picture: flat(50), labels: [notExhaustive(added)] }
  const young = { picture: flat(90), labels: [] }
  const input = { width: size, height: size }
  const strength = { scale: 1, colour: 0 }

  it('stays so in every tile of its own, and in no other', () => {
    for (let seed = 0; seed < 20; seed++) {
      const { picture, labels } = mosaic([old, young, young, old], canvasOf(input), strength, new Random(seed))
      assert.equal(labels.length, 2)
      for (let y = 0; y < size; y++)
        for (let x = 0; x < size; x++) {
          const value = picture.data[(y * size + x) * 3]!
          const within = labels.some(({ box }) => x >= box[0] && x < box[2] && y >= box[1] && y < box[3])
          if (value === 50) assert.ok(within)
          if (value === 90) assert.ok(!within)
        }
    }
    for (const made of [plain(old, canvasOf(input)), single(old, canvasOf(input), strength, new Random(1))]) {
      assert.deepEqual(made.labels[0]!.box, [0, 0, size, size])
      assert.equal(made.labels[0]!.classOnly, true)
    }
  })

  it('hides nothing from being copied, and no place from being pasted into', () => {
    const labels: Label[] = [{ box: [1, 1, 39, 19], label: 0 }, notExhaustive(added)]
    assert.equal(copyable({ labels }).length, 1)
    assert.notEqual(freePlace([notExhaustive(added)], { width: 10, height: 10 }, input, new Random(1)), null)
  })

  it('does not thin the count of boxes that a teacher is held to', () => {
    const of = (labels: readonly Label[]): LabelledSample => ({ path: '', labels })
    assert.deepEqual(boxesPerPicture([of([car, bicycle, bicycle]), of([car, notExhaustive(added)])], 3), [1, 0, 2])
  })
})

describe('measuring where a class was not looked for', () => {
  const said = (label: number, score: number, box: Box = [0, 0, 10, 10]) => ({ box, label, score })
  const truth = (label: number, box: Box = [0, 0, 10, 10]) => ({ box, label })

  it('counts a detection neither as right nor as wrong, a found box as right', () => {
    const looked: EvaluatedPicture = { truths: [truth(0)], predictions: [said(0, 0.8)] }
    const extra = said(0, 0.9, [20, 20, 40, 40])
    const wrong = { truths: [truth(1)], predictions: [said(1, 0.9), extra] }
    const left = { ...wrong, truths: [truth(1), notExhaustive(0)] }
    const names = ['a', 'b']
    assert.ok(analyse([looked, wrong], { classes: names }).numbers.AP < 1)
    const { numbers, analysis, worst, perClass } = analyse([looked, left], { classes: names })
    assert.ok(Math.abs(numbers.AP - 1) < 1e-9)
    assert.equal(analysis.errors.kinds.Bkg.count, 0)
    assert.deepEqual(analysis.confusion, [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 0],
    ])
    assert.equal(worst.length, 0)
    assert.deepEqual(
      perClass.map(({ truths }) => truths),
      [1, 1],
    )
    // A box of the class that is there counts, found or not.
    const some = { truths: [truth(0), notExhaustive(0)], predictions: [said(0, 0.9), extra] }
    assert.ok(Math.abs(analyse([some], { classes: names }).numbers.AP - 1) < 1e-9)
    assert.equal(analyse([{ ...some, predictions: [extra] }], { classes: names }).numbers.AR100, 0)
  })

  it('reads LVIS: what an image neither has nor lacks, and what it has in part', () => {
    const image = { width: 40, height: 20 }
    const box = { bbox: [0, 0, 10, 10], area: 100 }
    const coco = {
      images: [
        { id: 1, ...image, neg_category_ids: [2], not_exhaustive_category_ids: [] },
        { id: 2, ...image, neg_category_ids: [], not_exhaustive_category_ids: [1] },
      ],
      annotations: [
        { image_id: 1, category_id: 1, ...box },
        { image_id: 2, category_id: 1, ...box },
        { image_id: 2, category_id: 2, ...box },
      ],
      categories: [1, 2, 3].map((id) => ({ id, name: `class ${id}` })),
    }
    const dt = (image_id: number, category_id: number, bbox: number[]) => ({ image_id, category_id, bbox, score: 0.9 })
    const right = [dt(1, 1, box.bbox), dt(2, 1, box.bbox), dt(2, 2, box.bbox)]
    const of = (more: ReturnType<typeof dt>[]) => {
      const { pictures, labels } = pair(coco, [...more, ...right])
      return evaluateCoco(pictures, labels).AP
    }
    const elsewhere = [20, 5, 15, 15]
    assert.ok(of([]) > 0.999)
    assert.equal(of([dt(1, 3, elsewhere), dt(2, 1, elsewhere), dt(2, 3, elsewhere)]), of([]))
    assert.ok(of([dt(1, 2, elsewhere)]) < of([]))
    assert.ok(of([dt(1, 1, elsewhere)]) < of([]))
  })
})

describe('a folder that was not labelled for every class', () => {
  const picture = async (shade: number) =>
    await sharp({ create: { width: 40, height: 20, channels: 3, background: { r: shade, g: 0, b: 0 } } })
      .jpeg()
      .toBuffer()
  const folderOf = async (files: Record<string, object>, names: readonly string[]) => {
    const folder = mkdtempSync(join(root, 'set-'))
    await mkdir(join(folder, 'images'), { recursive: true })
    for (const [i, name] of names.entries()) await writeFile(join(folder, 'images', name), await picture(20 + 40 * i))
    for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), JSON.stringify(content))
    return folder
  }
  const annotation = (image_id: number, category_id: number) => ({ image_id, category_id, bbox: [1, 1, 9, 9] })
  const partial = ({ samples }: Awaited<ReturnType<typeof readFolder>>) =>
    samples.map(({ labels }) => labels.filter(({ classOnly }) => classOnly).map(({ label }) => label))

  it('says so by image, as LVIS does', async () => {
    const coco = {
      images: [
        { id: 1, file_name: 'a.jpg', neg_category_ids: [3] },
        { id: 2, file_name: 'b.jpg', neg_category_ids: [1, 3], not_exhaustive_category_ids: [2] },
      ],
      annotations: [annotation(1, 1), annotation(2, 2)],
      categories: [1, 2, 3].map((id) => ({ id, name: `class ${id}` })),
    }
    const read = await readFolder(await folderOf({ 'coco.json': coco }, ['a.jpg', 'b.jpg']))
    assert.deepEqual(partial(read), [[1], [1]])
    assert.match(read.notes.join('\n'), /2 of 2 pictures were not labelled for every class/)
    assert.ok(isPartial(read.samples))
  })

  it('says so by file: one that lacks a class of the others', async () => {
    const of = (file_name: string, ids: number[]) => ({
      images: [{ id: 1, file_name }],
      annotations: [annotation(1, 1)],
      categories: ids.map((id) => ({ id, name: `class ${id}` })),
    })
    const files = { 'instances_old.json': of('a.jpg', [1]), 'instances_new.json': of('b.jpg', [1, 2]) }
    const read = await readFolder(await folderOf(files, ['a.jpg', 'b.jpg']))
    const byName = Object.fromEntries(read.samples.map(({ name }, i) => [name, partial(read)[i]]))
    assert.deepEqual(byName, { 'images/a.jpg': [1], 'images/b.jpg': [] })
  })
})

describe('training with a class that most pictures were not labelled for', () => {
  it('keeps what it unlearns where missing boxes are taken for background', async () => {
    const classes: readonly string[] = kinds
    const hidden = classes.indexOf('person')
    const samples: LabelledSample[] = []
    for (let i = 0; i < 6; i++) {
      const { truth, data, width, height } = await renderStreet({ seed: 3, seconds: i * 7, condition: 'day' })
      const path = join(root, `street-${i}.jpg`)
      await sharp(data, { raw: { width, height, channels: 3 } })
        .jpeg({ quality: 90 })
        .toFile(path)
      samples.push({ path, labels: truth.map(({ box, label }) => ({ box, label: classes.indexOf(label) })) })
    }
    const without = samples.map(({ path, labels }) => ({ path, labels: labels.filter(({ label }) => label !== hidden) }))
    const told = without.map(({ path, labels }) => ({ path, labels: [...labels, notExhaustive(hidden)] }))
    const base = await readFile(new URL('../../../trainer/base/demo-street.onnx', import.meta.url))
    /** Mean over the people of the best score that lies on one. */
    const confidence = async (model: Uint8Array) => {
      const { pictures } = await measureModel(model, { samples, classes })
      const scores = pictures.flatMap(({ truths, predictions }) =>
        truths
          .filter(({ label }) => label === hidden)
          .map(({ box }) =>
            Math.max(
              0,
              ...predictions.filter((each) => each.label === hidden && iou(each.box, box) > 0.5).map(({ score }) => score),
            ),
          ),
      )
      assert.ok(scores.length >= 6)
      return scores.reduce((sum, score) => sum + score, 0) / scores.length
    }
    const learnt = async (from: readonly LabelledSample[]) => {
      // At a rate that does not itself shake a class that nobody shows any more.
      const settings = { inputSize: 320, batch: 4, workers: 2, seed: 5, steps: 16, rate: 7e-4 }
      const { model } = await train({ classes, base, samples: from, ...settings })
      return await confidence(model)
    }
    const [before, unlearnt, kept] = [await confidence(base), await learnt(without), await learnt(told)]
    assert.ok(unlearnt < 0.3 * before && kept > 0.5 * before, `${before} before, ${unlearnt} unlearnt, ${kept} kept`)
  })
})
