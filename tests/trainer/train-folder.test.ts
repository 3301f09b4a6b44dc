/** Training without a hub: stopped at any moment it keeps what it learnt, and the same call goes on from there. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import sharp from 'sharp'
import { ProgressDisplay } from '../../trainer/commands/progress.ts'
import type { DataSet } from '../../trainer/data/data-set.ts'
import { decodeCheckpoint } from '../../trainer/loop/checkpoint.ts'
import { trainInto } from '../../trainer/loop/train-folder.ts'

const root = mkdtempSync(join(tmpdir(), 'muninn-train-'))
after(() => rmSync(root, { recursive: true }))
let data: DataSet

before(async () => {
  const path = join(root, 'a.png')
  await sharp({ create: { width: 64, height: 64, channels: 3, background: '#333333' } })
    .composite([{ input: { create: { width: 24, height: 24, channels: 3, background: '#dd0000' } }, left: 20, top: 20 }])
    .toFile(path)
  const sample = {
    path,
    name: 'a.png',
    split: null,
    sha256: '0'.repeat(64),
    thumbnail: new Uint8Array(256),
    labels: [{ box: [20, 20, 44, 44] as const, label: 0 }],
  }
  data = {
    classes: ['square'],
    heldOutClasses: ['square'],
    training: Array.from({ length: 4 }, () => sample),
    heldOut: [sample],
    digest: '',
    notes: [],
  }
})

const options = { base: null, inputSize: 64, batch: 2, workers: 1, steps: 26, seed: 1 }

describe('training into a folder', () => {
  it('keeps a checkpoint of the very step at which it was stopped, and goes on from there with whole curves', async () => {
    const out = join(root, 'halves')
    const stopping = new AbortController()
    const stopped = trainInto(out, {
      ...options,
      data,
      signal: stopping.signal,
      onProgress: ({ step }) => step === 20 && stopping.abort(new Error('Ctrl-C')),
    })
    await assert.rejects(stopped, /Ctrl-C/)
    assert.equal(decodeCheckpoint(await readFile(join(out, 'checkpoint.bin'))).state.step, 20)
    const said: string[] = []
    const rest = await trainInto(out, { ...options, data, onLog: (words) => said.push(words) })
    assert.match(said.join(), /goes on at step 20 of 26/)
    assert.deepEqual(
      rest.curves.map(({ step }) => step),
      Array.from({ length: 26 }, (_, i) => i + 1),
    )
    assert.ok(rest.curves.some(({ values }) => values.mAP50 !== undefined))
    assert.ok(!existsSync(join(out, 'checkpoint.bin')), 'what is finished is not gone on with')
  })
})

describe('the progress line', () => {
  const progress = {
    step: 5,
    steps: 10,
    epoch: 1.5,
    losses: { loss: 0.25 },
    rate: 1e-3,
    gradientNorm: 1,
    imagesPerSecond: 8,
    etaSeconds: 600,
  }
  const shown = (isTTY: boolean) => {
    const written: string[] = []
    const display = new ProgressDisplay({
      out: { isTTY, columns: 90, write: (text: string | Uint8Array) => written.push(String(text)) > 0 },
    })
    display.training(progress, 0.5)
    display.log('a word')
    return written
  }

  it('says how far, how good and how long still, and fits the terminal', () => {
    const [line] = shown(true)
    assert.match(line!, /50 % {2}step 5\/10 {2}epoch 1.5 {2}loss 0.250 {2}mAP50 0.500 {2}8.0 img\/s {2}10/)
    // One carriage return and the code that clears the rest of the line.
    assert.ok(line!.length <= 89 + 4)
  })

  it('is cleared before words are said, and is no line of its own in a log file', () => {
    assert.equal(shown(true)[1], '\r\x1b[Ka word\n')
    assert.equal(shown(false).at(-1), 'a word\n')
  })
})
