/** Labelled folders as people have them: formats, layouts, turned and broken pictures, leaks, and the cut that is made when nobody made one. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, describe, it } from 'node:test'
import sharp from 'sharp'
import { readDataSet } from '../../trainer/data/data-set.ts'
import { type HoldOutPicture, holdOut } from '../../trainer/data/hold-out.ts'
import { clustersOf, difference } from '../../trainer/data/look-alikes.ts'
import { decodePicture } from '../../trainer/data/picture.ts'
import { readFolder } from '../../trainer/data/read-folder.ts'
import { Random } from '../../trainer/detector/random.ts'
import { lacks, sharedData } from '../support/shared-data.ts'

const root = mkdtempSync(join(tmpdir(), 'muninn-folders-'))
after(() => rmSync(root, { recursive: true }))
let made = 0

/** 40 x 20 pixels, black with a white square at x 24..32, y 4..12 of the stored file; each a little different. */
async function picture(orientation = 1): Promise<Buffer> {
  const shade = 10 + (made++ % 200)
  return await sharp({ create: { width: 40, height: 20, channels: 3, background: { r: shade, g: 0, b: made % 7 } } })
    .composite([{ input: { create: { width: 8, height: 8, channels: 3, background: '#ffffff' } }, left: 24, top: 4 }])
    .jpeg({ quality: 100 })
    .withMetadata({ orientation })
    .toBuffer()
}

/** Writes files under a new folder. */
async function folderOf(files: Record<string, string | Uint8Array>): Promise<string> {
  const folder = mkdtempSync(join(root, 'set-'))
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), content)
  }
  return folder
}

const square = [24, 4, 32, 12]
const asYolo = (label: number) => `${label} 0.7 0.4 0.2 0.4\n`
const asVoc = (name: string, { filename = '', extra = '' } = {}) =>
  `<annotation><filename>${filename}</filename><size><width>40</width><height>20</height></size>
   <object><name>${name}</name>${extra}<bndbox><xmin>25</xmin><ymin>5</ymin><xmax>32</xmax><ymax>12</ymax></bndbox></object></annotation>`
const asCoco = (names: readonly string[], size: object = { width: 40, height: 20 }) =>
  JSON.stringify({
    images: names.map((file_name, id) => ({ id, file_name, ...size })),
    annotations: names.map((_, image_id) => ({ image_id, category_id: 7, bbox: [24, 4, 8, 8] })),
    categories: [{ id: 7, name: 'plate' }],
  })

/** What every layout of the same picture must give. */
async function gives(files: Record<string, string | Uint8Array>) {
  const { classes, samples, notes } = await readFolder(await folderOf(files))
  return {
    classes,
    notes,
    samples: samples.map(({ name, split, labels }) => ({
      name,
      split,
      labels: labels.map(({ box, label, ignore }) => ({
        box: box.map(Math.round),
        of: classes[label],
        ...(ignore && { ignore }),
      })),
    })),
  }
}

describe('labelled folders', () => {
  const labels = [{ box: square, of: 'plate' }]
  const yaml = 'names: [car, plate]\n'
  const layouts: [string, () => Promise<Record<string, string | Uint8Array>>, string, string | null][] = [
    [
      'COCO with images/',
      async () => ({ 'coco.json': asCoco(['a.jpg']), 'images/a.jpg': await picture() }),
      'images/a.jpg',
      null,
    ],
    ['COCO beside the pictures', async () => ({ 'coco.json': asCoco(['a.jpg']), 'a.jpg': await picture() }), 'a.jpg', null],
    [
      "Roboflow's COCO",
      async () => ({ 'valid/_annotations.coco.json': asCoco(['a.jpg']), 'valid/a.jpg': await picture() }),
      'valid/a.jpg',
      'valid',
    ],
    [
      'YOLO with images/ and labels/',
      async () => ({ 'data.yaml': yaml, 'images/a.jpg': await picture(), 'labels/a.txt': asYolo(1) }),
      'images/a.jpg',
      null,
    ],
    [
      'YOLO with splits below',
      async () => ({ 'data.yaml': yaml, 'images/val/a.jpg': await picture(), 'labels/val/a.txt': asYolo(1) }),
      'images/val/a.jpg',
      'valid',
    ],
    [
      "Roboflow's YOLO",
      async () => ({ 'data.yaml': yaml, 'train/images/a.jpg': await picture(), 'train/labels/a.txt': asYolo(1) }),
      'train/images/a.jpg',
      'train',
    ],
    [
      'a flat YOLO folder with classes.txt',
      async () => ({ 'classes.txt': 'car\nplate\n', 'a.jpg': await picture(), 'a.txt': asYolo(1) }),
      'a.jpg',
      null,
    ],
    [
      'YOLO with gaps in the class numbers and a polygon',
      async () => ({
        'data.yaml': 'names:\n  2: car\n  9: plate\n',
        'images/a.jpg': await picture(),
        'labels/a.txt': '9 0.6 0.2 0.8 0.2 0.8 0.6 0.6 0.6\n',
      }),
      'images/a.jpg',
      null,
    ],
    [
      'VOC as the devkit has it',
      async () => ({
        'Annotations/a.xml': asVoc('plate'),
        'JPEGImages/a.jpg': await picture(),
        'ImageSets/Main/val.txt': 'a\n',
      }),
      'JPEGImages/a.jpg',
      'valid',
    ],
    [
      'VOC beside the pictures, under the name in the file',
      async () => ({ 'x.xml': asVoc('plate', { filename: 'a.jpg' }), 'a.jpg': await picture() }),
      'a.jpg',
      null,
    ],
  ]
  for (const [what, files, name, split] of layouts) {
    it(`reads ${what}`, async () => {
      const read = await gives(await files())
      assert.deepEqual(read.samples, [{ name, split, labels }])
    })
  }

  it('takes an empty label file for a picture that shows nothing, and says so of a missing one', async () => {
    const { samples, notes } = await gives({
      'data.yaml': yaml,
      'images/empty.jpg': await picture(),
      'labels/empty.txt': '',
      'images/none.jpg': await picture(),
      'labels/other.txt': '',
      'images/other.jpg': await picture(),
    })
    assert.deepEqual(
      samples.map((each) => each.labels),
      [[], [], []],
    )
    assert.match(notes.join(), /1 pictures have no label file .* images\/none\.jpg/)
  })

  it('leaves difficult VOC objects and COCO crowds out of right and wrong', async () => {
    const { samples } = await gives({
      'a.xml': asVoc('plate', { extra: '<difficult>1</difficult>' }),
      'a.jpg': await picture(),
    })
    assert.equal(samples[0]!.labels[0]!.ignore, true)
  })

  for (let orientation = 1; orientation <= 8; orientation++) {
    it(`finds the object in a picture that EXIF turns (${orientation}), by pixels of the stored file and by shares of the shown one`, async () => {
      const bytes = await picture(orientation)
      const stored = await folderOf({ 'coco.json': asCoco(['a.jpg']), 'a.jpg': bytes })
      const { samples } = await readFolder(stored)
      const box = samples[0]!.labels[0]!.box
      const shown = await decodePicture(samples[0]!.path)
      const at = ((box[1] + box[3]) / 2) * shown.width + (box[0] + box[2]) / 2
      assert.ok(shown.data[at * 3 + 1]! > 200, `${box} is not on the white square`)
      const share = [
        (box[0] + box[2]) / 2 / shown.width,
        (box[1] + box[3]) / 2 / shown.height,
        8 / shown.width,
        8 / shown.height,
      ].join(' ')
      const yolo = await readFolder(await folderOf({ 'data.yaml': 'names: [plate]', 'a.jpg': bytes, 'a.txt': `0 ${share}` }))
      assert.deepEqual(yolo.samples[0]!.labels[0]!.box.map(Math.round), box)
      if (orientation < 5) return
      // A tool that turned the picture before it was labelled writes the size that it showed.
      const turned = JSON.stringify({
        images: [{ id: 1, file_name: 'a.jpg', width: 20, height: 40 }],
        annotations: [{ image_id: 1, category_id: 1, bbox: [box[0], box[1], 8, 8] }],
        categories: [{ id: 1, name: 'plate' }],
      })
      const asShown = await readFolder(await folderOf({ 'coco.json': turned, 'a.jpg': bytes }))
      assert.deepEqual(asShown.samples[0]!.labels[0]!.box, box)
    })
  }

  it('scales boxes that were drawn on a larger copy', async () => {
    const large = asCoco(['a.jpg'], { width: 80, height: 40 })
    const { samples } = await gives({ 'coco.json': large, 'a.jpg': await picture() })
    assert.deepEqual(samples[0]!.labels[0]!.box, [12, 2, 16, 6])
  })

  const refused: [string, () => Promise<Record<string, string | Uint8Array>>, RegExp][] = [
    [
      'a class number without a name',
      async () => ({ 'data.yaml': yaml, 'images/a.jpg': await picture(), 'labels/a.txt': asYolo(5) }),
      /labels\/a\.txt line 1 .* no class 5; the names end at 1/,
    ],
    [
      'pixels where shares are wanted',
      async () => ({ 'data.yaml': yaml, 'images/a.jpg': await picture(), 'labels/a.txt': '1 20 10 8 8' }),
      /a\.txt line 1 .* not pixels/,
    ],
    ['labels without class names', async () => ({ 'images/a.jpg': await picture(), 'labels/a.txt': '' }), /add .*data\.yaml/],
    [
      'XML that is cut off',
      async () => ({ 'a.xml': '<annotation><object>', 'a.jpg': await picture() }),
      /a\.xml: it is no well-formed/,
    ],
    [
      'an object without a box',
      async () => ({ 'a.xml': '<annotation><object><name>x</name></object></annotation>' }),
      /object 1 wants/,
    ],
    ['a folder without labels', async () => ({ 'a.jpg': await picture() }), /COCO .*\n.*YOLO .*\n.*VOC/],
  ]
  for (const [what, files, says] of refused) {
    it(`refuses ${what}, naming the place and the cure`, async () => {
      await assert.rejects(readFolder(await folderOf(await files())), says)
    })
  }

  it('names every broken and missing picture at once, and goes on without them when told to', async () => {
    const whole = await picture()
    const folder = await folderOf({
      'coco.json': asCoco(['good.jpg', 'cut.jpg', 'text.jpg', 'gone.jpg']),
      'good.jpg': whole,
      'cut.jpg': whole.subarray(0, whole.length - 200),
      'text.jpg': 'no picture',
    })
    await assert.rejects(readFolder(folder), (error: Error) => {
      assert.match(error.message, /3 of 4 pictures/)
      for (const name of ['gone.jpg', 'cut.jpg', 'text.jpg', '--skip-broken']) assert.match(error.message, new RegExp(name))
      return true
    })
    const { samples, notes } = await readFolder(folder, { skipBroken: true })
    assert.deepEqual([samples.length, notes.length], [1, 1])
  })
})

describe('data sets', () => {
  it('never trains on a picture that it measures on, whatever its name', async () => {
    const twin = await picture()
    const data = await folderOf({
      'data.yaml': 'names: [plate]',
      'train/a.jpg': await picture(),
      'train/a.txt': asYolo(0),
      'train/b.jpg': twin,
      'train/b.txt': asYolo(0),
      'valid/c.jpg': twin,
      'valid/c.txt': asYolo(0),
      'test/d.jpg': twin,
      'test/d.txt': asYolo(0),
    })
    const { training, heldOut, notes } = await readDataSet({ data })
    assert.deepEqual([training.map(({ name }) => name), heldOut.map(({ name }) => name)], [['train/a.jpg'], ['valid/c.jpg']])
    assert.match(notes.join('\n'), /1 training pictures are byte for byte held-out ones .*train\/b\.jpg/)
    assert.match(notes.join('\n'), /1 of 1 test pictures are byte for byte in the other splits/)
  })

  it('tells of look-alikes on both sides of a split that somebody made, and keeps them', async () => {
    /** A scene of its own in 4 x 4 shades, as a camera takes it a moment later. */
    const scene = async (number: number, quality: number) => {
      const random = new Random(number)
      const shades = Buffer.from(Array.from({ length: 16 }, () => random.integer(256)))
      const raw = { width: 4, height: 4, channels: 1 } as const
      return await sharp(shades, { raw }).resize(64, 64).toColourspace('srgb').jpeg({ quality }).toBuffer()
    }
    const set = async (scenes: Record<string, Buffer>) =>
      await folderOf({
        'data.yaml': 'names: [plate]',
        ...scenes,
        ...Object.fromEntries(Object.keys(scenes).map((name) => [name.replace('.jpg', '.txt'), asYolo(0)])),
      })
    const told = (notes: readonly string[]) => notes.filter((note) => note.includes('look like'))
    const learnt = { 'train/a.jpg': await scene(1, 90), 'train/b.jpg': await scene(2, 90) }
    const own = await readDataSet({
      data: await set({ ...learnt, 'valid/c.jpg': await scene(3, 90), 'valid/d.jpg': await scene(2, 60) }),
    })
    assert.equal(own.training.length, 2)
    assert.equal(told(own.notes).length, 1)
    assert.match(
      told(own.notes)[0]!,
      /^1 of 2 held-out pictures look like training pictures.*: valid\/d\.jpg is like train\/b\.jpg\. /,
    )
    const validation = await set({ 'e.jpg': await scene(1, 60) })
    const named = await readDataSet({ data: await set(learnt), validation })
    assert.match(told(named.notes)[0]!, /^1 of 1 .*: e\.jpg is like train\/a\.jpg\. /)
    const apart = await readDataSet({ data: await set({ ...learnt, 'valid/c.jpg': await scene(3, 90) }) })
    assert.deepEqual(told(apart.notes), [])
  })

  it('has the same digest for the same content, and another when a label moved', async () => {
    const files = { 'coco.json': asCoco(['a.jpg']), 'a.jpg': await picture() }
    const digest = async (change: Record<string, string>) =>
      (await readDataSet({ data: await folderOf({ ...files, ...change }) })).digest
    assert.equal(await digest({}), await digest({}))
    assert.notEqual(await digest({}), await digest({ 'coco.json': asCoco(['a.jpg']).replace('[24,', '[25,') }))
  })

  it('gives labels of a folder to measure on the numbers of the training, by name', async () => {
    const data = await folderOf({ 'coco.json': asCoco(['a.jpg']), 'a.jpg': await picture() })
    const validation = await folderOf({
      'data.yaml': 'names: [bus, plate]',
      'b.jpg': await picture(),
      'b.txt': asYolo(1) + asYolo(0),
    })
    const { heldOut, heldOutClasses, classes, notes } = await readDataSet({ data, validation })
    assert.deepEqual([classes, heldOutClasses], [['plate'], ['plate', 'bus']])
    assert.deepEqual(
      heldOut[0]!.labels.map(({ label }) => label),
      [0, 1],
    )
    assert.match(notes.join(), /training lacks, .*bus/)
  })

  it('finds the duplicates that a published set has', { skip: lacks('datasets/sign-damage') }, async () => {
    // Published as valid/ and test/; whoever trains on the first is measured on what was learnt.
    const folder = mkdtempSync(join(root, 'sign-'))
    const from = sharedData('datasets/sign-damage')
    const coco = JSON.parse(await readFile(join(from, 'coco.json'), 'utf8')) as {
      images: { id: number; file_name: string; split: string; width: number; height: number }[]
      annotations: { image_id: number }[]
    }
    for (const [split, into] of [
      ['valid', 'train'],
      ['test', 'test'],
    ] as const) {
      const images = coco.images.filter((image) => image.split === split)
      await mkdir(join(folder, into))
      for (const { file_name } of images) await cp(join(from, 'images', file_name), join(folder, into, file_name))
      const annotations = coco.annotations.filter(({ image_id }) => images.some(({ id }) => id === image_id))
      await writeFile(join(folder, into, '_annotations.coco.json'), JSON.stringify({ ...coco, images, annotations }))
    }
    const { notes, training, heldOut } = await readDataSet({ data: folder })
    assert.deepEqual([training.length, heldOut.length], [75, 20])
    assert.match(notes.join('\n'), /20 of 20 test pictures are byte for byte in the other splits/)
  })
})

describe('a cut that nobody made', () => {
  /** A thumbnail of one shade. */
  const shot = (shade: number, labels: readonly number[] = [0]): HoldOutPicture => ({
    thumbnail: new Uint8Array(256).fill(shade),
    labels: labels.map((label) => ({ label })),
  })

  it('keeps look-alikes on one side', () => {
    const pictures = Array.from({ length: 60 }, (_, i) => shot((((i >> 2) * 97) % 15) * 16))
    for (const seed of [1, 2, 3]) {
      const held = holdOut(pictures, { share: 0.15, seed })
      for (let i = 0; i < 60; i += 4) assert.equal(new Set(held.slice(i, i + 4)).size, 1)
      const count = held.filter(Boolean).length
      assert.ok(count >= 4 && count <= 12, `${count} of 60`)
    }
  })

  it('keeps look-alikes on one side that lie a thousand pictures apart', () => {
    const random = new Random(5)
    const scenes = Array.from({ length: 500 }, () => Uint8Array.from({ length: 256 }, () => random.integer(256)))
    const noisy = (scene: Uint8Array) => scene.map((value) => Math.min(255, value + random.integer(5)))
    const pictures = [...scenes, ...scenes.map(noisy), ...scenes].map((thumbnail) => ({ thumbnail, labels: [{ label: 0 }] }))
    const held = holdOut(pictures, { share: 0.15, seed: 1 })
    for (const i of scenes.keys()) assert.equal(new Set([held[i], held[i + 500], held[i + 1000]]).size, 1, `scene ${i}`)
    const count = held.filter(Boolean).length
    assert.ok(count > 200 && count <= 225, `${count} of 1500`)
  })

  it('keeps the runs of a film together', () => {
    // Slowly brighter and darker: neighbours differ by 9 (squared 81), far ones by much more.
    const pictures = Array.from({ length: 100 }, (_, i) => shot(Math.abs(((i * 9) % 460) - 230)))
    const held = holdOut(pictures, { share: 0.2, seed: 1 })
    const edges = held.slice(1).filter((each, i) => each !== held[i]).length
    assert.ok(edges <= 8, `${edges} edges between training and held-out`)
  })

  it('gives every class with enough boxes a part, and leaves it more to learn from', () => {
    const pictures = Array.from({ length: 100 }, (_, i) => shot((i * 53) % 256, i % 25 === 0 ? [1] : [0]))
    const held = holdOut(pictures, { share: 0.15, seed: 4 })
    const rare = pictures.filter(({ labels }, i) => held[i] && labels[0]!.label === 1).length
    assert.ok(rare >= 1 && rare <= 2)
  })

  it('finds just the clusters that comparing each with each finds', () => {
    const random = new Random(8)
    // A few scenes in a light that wanders: many pairs lie close to the limit, and chains of look-alikes reach far.
    const scenes = Array.from({ length: 12 }, () => Uint8Array.from({ length: 256 }, () => 60 + random.integer(140)))
    let light = 0
    const thumbnails = Array.from({ length: 700 }, () => {
      light += 8 * random.normal()
      return scenes[random.integer(12)]!.map((value) => Math.round(Math.min(255, Math.max(0, value + light + random.normal()))))
    })
    const wanted = thumbnails.map((_, i) => i)
    let joined = 0
    for (const [i, a] of thumbnails.entries())
      for (let j = 0; j < i; j++) {
        const [one, other] = [wanted[i]!, wanted[j]!]
        if (one === other || difference(a, thumbnails[j]!, 12) >= 12) continue
        joined++
        for (const [k, each] of wanted.entries()) if (each === Math.max(one, other)) wanted[k] = Math.min(one, other)
      }
    assert.ok(joined > 100 && joined < 650, `${joined} of 700 joined`)
    assert.deepEqual(clustersOf(thumbnails, 12), wanted)
  })

  it('holds nothing out of a handful', () => {
    assert.ok(!holdOut([shot(1), shot(90)], { share: 0.15, seed: 1 }).some(Boolean))
  })
})
