/** The trainer's commands as people and scripts use them: what they print, write and refuse. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { kinds } from '../../edge-agent/demo/objects.ts'
import { renderStreet } from '../../edge-agent/demo/street.ts'
import { streetBase } from '../../trainer/base/street.ts'
import { cocoNames } from '../../trainer/evaluation/coco.ts'
import { readOnnx } from '../../trainer/onnx/read.ts'
import { commandLine } from '../../trainer/report/command.ts'

const folder = mkdtempSync(join(tmpdir(), 'muninn-commands-'))
after(() => rmSync(folder, { recursive: true }))
const model = fileURLToPath(new URL('../../../trainer/base/demo-street.onnx', import.meta.url))
const main = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
const street = join(folder, 'street')
const names: readonly string[] = kinds

type Ended = { code: number; out: string; err: string }
const muninnIn = async (env: NodeJS.ProcessEnv, ...args: string[]): Promise<Ended> =>
  await new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { env }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })
const muninn = async (...args: string[]) => await muninnIn(process.env, ...args)

before(async () => {
  await mkdir(join(street, 'images'), { recursive: true })
  const images: object[] = []
  const annotations: object[] = []
  for (let i = 0; i < 4; i++) {
    const { truth, data, width, height } = await renderStreet({ seed: 3, seconds: i * 7, condition: 'day' })
    await sharp(data, { raw: { width, height, channels: 3 } })
      .jpeg()
      .toFile(join(street, 'images', `${i}.jpg`))
    images.push({ id: i, file_name: `${i}.jpg`, width, height })
    for (const {
      box: [x1, y1, x2, y2],
      label,
    } of truth)
      annotations.push({ image_id: i, category_id: names.indexOf(label), bbox: [x1, y1, x2 - x1, y2 - y1] })
  }
  const categories = kinds.map((name, id) => ({ id, name }))
  await writeFile(join(street, 'coco.json'), JSON.stringify({ images, annotations, categories }))
})

describe('muninn', () => {
  it('tells its version, which is that of the package', async () => {
    const manifest = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }
    assert.deepEqual(await muninn('--version'), { code: 0, out: `muninn ${manifest.version}\n`, err: '' })
  })

  it("leaves nothing of onnxruntime's telemetry behind", async () => {
    const home = join(folder, 'home')
    await mkdir(home)
    const { ORT_DISABLE_TELEMETRY: _, XDG_CACHE_HOME: __, ...env } = process.env
    const { code } = await muninnIn(
      { ...env, HOME: home },
      'detect',
      '--model',
      model,
      '--image',
      join(street, 'images', '0.jpg'),
    )
    assert.equal(code, 0)
    assert.deepEqual(readdirSync(home, { recursive: true }), [])
  })
})

describe('muninn evaluate', () => {
  const truth = {
    images: [{ id: 1 }],
    annotations: [{ image_id: 1, category_id: 1, bbox: [0, 0, 50, 50] }],
    categories: [{ id: 1, name: 'a' }],
  }

  it('prints the 12 numbers by their usual names, for programs and for people', async () => {
    const [gt, dt] = [join(folder, 'gt.json'), join(folder, 'dt.json')]
    await writeFile(gt, JSON.stringify(truth))
    await writeFile(dt, JSON.stringify([{ image_id: 1, category_id: 1, bbox: [0, 0, 50, 50], score: 0.9 }]))
    const json = await muninn('evaluate', '--ground-truth', gt, '--detections', dt, '--json')
    const numbers = JSON.parse(json.out) as Record<string, number>
    assert.deepEqual(Object.keys(numbers), [...cocoNames])
    assert.deepEqual([Math.round(numbers.AP! * 1e9), numbers.APs, Math.round(numbers.APm! * 1e9)], [1e9, -1, 1e9])
    const table = (await muninn('evaluate', '--ground-truth', gt, '--detections', dt)).out
    assert.match(table, /^AP {5}1\.0000 {2}precision, mean over IoU/)
    assert.match(table, /APs {9}— {2}small objects/)
    assert.equal(table.trim().split('\n').length, 12)
  })

  it('measures a model on a folder, and writes the report', async () => {
    const report = join(folder, 'evaluated.html')
    const { code, out } = await muninn('evaluate', '--model', model, '--data', street, '--report', report, '--json')
    assert.equal(code, 0)
    assert.ok((JSON.parse(out) as Record<string, number>).AP50! > 0.5)
    assert.match(readFileSync(report, 'utf8'), /Where the errors are/)
  })

  it('says which flags go together', async () => {
    const { code, err } = await muninn('evaluate', '--model', model)
    assert.deepEqual([code, /--model with --data/.test(err)], [2, true])
  })
})

describe('muninn detect', () => {
  it('takes several pictures, and draws what it found', async () => {
    const [one, two] = [join(street, 'images', '0.jpg'), join(street, 'images', '1.jpg')]
    const out = join(folder, 'drawn')
    const { code, out: said } = await muninn('detect', '--model', model, '--image', one, '--out', out, '--json', two)
    assert.equal(code, 0)
    const told = JSON.parse(said) as { image: string; detections: { box: number[] }[] }[]
    assert.deepEqual(
      told.map(({ image }) => image),
      [one, two],
    )
    const { data, info } = await sharp(join(out, '0.jpg')).raw().toBuffer({ resolveWithObject: true })
    const before = await sharp(one).raw().toBuffer()
    assert.equal(data.length, before.length)
    // The left edge of a box is drawn where it was told.
    const [x1, y1, , y2] = told[0]!.detections[0]!.box as [number, number, number, number]
    const at = (Math.round((y1 + y2) / 2) * info.width + Math.round(x1)) * 3
    const change = [0, 1, 2].reduce((sum, c) => sum + Math.abs(data[at + c]! - before[at + c]!), 0)
    assert.ok(change > 60, `the pixel on the edge changed by ${change}`)
  })

  it('gives one picture as one object, as ever', async () => {
    const { out } = await muninn('detect', '--model', model, '--image', join(street, 'images', '2.jpg'), '--json')
    assert.ok('detections' in (JSON.parse(out) as object))
  })
})

describe('muninn train', () => {
  it('trains, measures and leaves a model, a report for people and one for programs', async () => {
    const out = join(folder, 'run')
    const args = ['--data', street, '--validate', street, '--base', model, '--size', '96', '--epochs', '1', '--batch', '4']
    const { code, out: said, err } = await muninn('train', ...args, '--out', out)
    // Every picture is one that is measured on: nothing is left.
    assert.deepEqual([code, /leaves no picture to train on/.test(err)], [1, true], said)
    const held = join(folder, 'held')
    await mkdir(held)
    const { truth, data, width, height } = await renderStreet({ seed: 5, seconds: 3, condition: 'day' })
    await sharp(data, { raw: { width, height, channels: 3 } })
      .jpeg()
      .toFile(join(held, 'a.jpg'))
    const lines = truth.map(({ box: [x1, y1, x2, y2], label }) =>
      [names.indexOf(label), (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height].join(' '),
    )
    await writeFile(join(held, 'a.txt'), lines.join('\n'))
    await writeFile(join(held, 'classes.txt'), kinds.join('\n'))
    args[3] = held
    const trained = await muninn('train', ...args, '--out', out)
    assert.equal(trained.code, 0, trained.err)
    assert.match(trained.out, /on 1 held-out pictures: AP /)
    const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')) as Record<string, unknown>
    assert.deepEqual(Object.keys(report.validation as object), [...cocoNames])
    assert.match(readFileSync(join(out, 'report.html'), 'utf8'), /muninn train --data .*--size 96/)
  })

  it('goes on from the street detector that comes with it, or with --base none from random weights', async () => {
    // Filters of the first layer: one short epoch hardly moves them. The seed is not the one that the shipped file once began with.
    const first = (file: Uint8Array) => {
      const filters = [...readOnnx(file).initializers.values()].find(({ shape }) => shape.length === 4 && shape[1] === 3)
      return filters!.data as Float32Array
    }
    const shipped = first(await streetBase())
    const size = Math.hypot(...shipped)
    const moved = async (...more: readonly string[]) => {
      const out = join(folder, `from-${more.length}`)
      const args = [
        '--data',
        street,
        '--size',
        '64',
        '--epochs',
        '1',
        '--batch',
        '4',
        '--seed',
        '7',
        '--no-quantize',
        '--out',
        out,
      ]
      const { code, out: said, err } = await muninn('train', ...args, ...more)
      assert.deepEqual([code, /starts from the street detector/.test(said)], [0, more.length === 0], err)
      return Math.hypot(...first(readFileSync(join(out, 'model.onnx'))).map((each, i) => each - shipped[i]!)) / size
    }
    const [without, none] = [await moved(), await moved('--base', 'none')]
    assert.ok(without > 0 && without < 0.2, `left out: moved by ${without}`)
    assert.ok(none > 0.5, `none: ${none} away`)
  })

  it('names the bounds of --rate-decay', async () => {
    const { code, err } = await muninn('train', '--data', street, '--out', join(folder, 'never'), '--rate-decay', '7')
    assert.deepEqual([code, /--rate-decay 7: a number from 0.05 to 1 is wanted/.test(err)], [2, true], err)
  })

  it('tells a command again so that a shell takes it', () => {
    assert.equal(
      commandLine('train', { data: "Anna's street", json: true, base: undefined, off: false }),
      "muninn train --data 'Anna'\\''s street' --json",
    )
  })
})
