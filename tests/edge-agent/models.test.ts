import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { PieceSource } from '../../edge-agent/models/fetch-file.ts'
import { ModelStore } from '../../edge-agent/models/model-store.ts'
import { judgeProbation } from '../../edge-agent/models/probation.ts'
import { difference } from '../../edge-agent/models/self-test.ts'
import { Updater } from '../../edge-agent/models/updater.ts'
import { importPublicKey } from '../../edge-agent/models/verify-manifest.ts'
import type { Detection } from '../../protocol/primitives.ts'
import type { Deployment, Desired } from '../../protocol/topics.ts'
import { pieceBytes } from '../../protocol/topics.ts'
import { silent, temporaryFolder } from './support/samples.ts'
import { keys, publicKeyText, type Release, release, sha256, side, spotModel, spotPicture } from './support/spot-model.ts'

/** Retained pieces without a broker: gives them again at each subscription, as retained messages are. */
class Pieces implements PieceSource {
  readonly files = new Map<string, (Uint8Array | null)[]>()
  readonly #watchers = new Map<
    string,
    { missing: () => readonly number[]; handler: (piece: number, bytes: Uint8Array) => void }
  >()
  asked = 0

  put(bytes: Uint8Array, name = sha256(bytes)): void {
    const pieces = []
    for (let at = 0; at < bytes.byteLength; at += pieceBytes) pieces.push(bytes.subarray(at, at + pieceBytes))
    this.files.set(name, pieces)
  }

  watchPieces(name: string, missing: () => readonly number[], handler: (piece: number, bytes: Uint8Array) => void): () => void {
    this.#watchers.set(name, { missing, handler })
    setImmediate(() => void this.askAgain(name))
    return () => this.#watchers.delete(name)
  }

  async askAgain(name: string): Promise<void> {
    this.asked++
    const watcher = this.#watchers.get(name)
    for (const [index, piece] of (this.files.get(name) ?? []).entries()) if (piece) watcher?.handler(index, piece)
  }
}

class Bench {
  readonly folder: string
  readonly pieces = new Pieces()
  readonly reports: Deployment[] = []
  updater: Updater

  constructor(folder: string) {
    this.folder = folder
    this.updater = this.#make()
  }

  #make(): Updater {
    const store = new ModelStore({ folder: this.folder, log: silent })
    const updater = new Updater({
      store,
      source: this.pieces,
      publicKey: importPublicKey(publicKeyText),
      threads: 1,
      log: silent,
    })
    updater.on('report', (report) => this.reports.push(report))
    return updater
  }

  /** As after a power cut: nothing was stopped, the next life finds what is on disk. */
  async restart(clean: boolean): Promise<void> {
    const old = this.updater
    if (clean) await old.stop()
    else {
      const journal = readFileSync(join(this.folder, 'journal.json'))
      await old.stop()
      writeFileSync(join(this.folder, 'journal.json'), journal)
    }
    this.updater = this.#make()
    await this.updater.start()
  }

  put(model: Release): void {
    this.pieces.put(model.file, model.sha256)
    this.pieces.put(model.selfTest, model.selfTestSha256)
  }

  ask(deployment: number, model: Release, probationSeconds = 0): void {
    const mining = { lowConfidence: { from: 0.15, to: 0.45 }, auditShare: 0, motion: 0.02, novelty: 0.25, cooldownSeconds: 10 }
    const desired: Desired = {
      v: 1,
      deployment,
      model: model.signed,
      probationSeconds,
      mining: { ...mining, maxSamplesPerHour: 1, maxBytesPerHour: 1, jpegQuality: 88 },
      at: 1,
    }
    this.updater.desire(desired)
  }

  async reported(deployment: number, state: Deployment['state']): Promise<Deployment> {
    for (;;) {
      const found = this.reports.find((each) => each.deployment === deployment && each.state === state)
      if (found) return found
      const end = this.reports.find((each) => each.deployment === deployment && /confirmed|refused|rolled/.test(each.state))
      if (end) throw new Error(`${state} was awaited, it ended ${end.state}: ${end.reason}`)
      await once(this.updater, 'report')
    }
  }

  /** Shows frames to the model that runs. */
  async show(count: number, brightness = 230): Promise<void> {
    for (let index = 0; index < count; index++) {
      const { tensor } = await spotPicture(index % 8, 1, brightness)
      const scale = { x: 1, y: 1 }
      await this.updater.runner.look({ tensor, picture: { width: side, height: side }, scale }).catch(() => this.updater.failed())
    }
  }

  async deploy(deployment: number, model: Release): Promise<void> {
    this.put(model)
    this.ask(deployment, model)
    await this.reported(deployment, 'probation')
    await this.show(6)
    await this.reported(deployment, 'confirmed')
  }
}

async function bench(t: TestContext): Promise<Bench> {
  const made = new Bench(temporaryFolder(t))
  await made.updater.start()
  t.after(() => made.updater.stop())
  return made
}

describe('model updates', { timeout: 120_000 }, () => {
  it('fetches, proves and runs the first model, telling each step', async (t) => {
    const device = await bench(t)
    assert.equal(device.updater.current, null)
    const model = await release()
    await device.deploy(1, model)
    assert.deepEqual(
      [...new Set(device.reports.map(({ state }) => state))],
      ['fetching', 'verifying', 'self-test', 'probation', 'confirmed'],
    )
    assert.equal(device.reports.at(-1)!.running, model.sha256)
    const { tensor } = await spotPicture(5, 6)
    const looked = await device.updater.runner.look({ tensor, picture: { width: side, height: side }, scale: { x: 1, y: 1 } })
    assert.deepEqual(
      looked!.detections.map(({ box, label }) => ({ box, label })),
      [{ box: [40, 48, 48, 56], label: 'spot' }],
    )
  })

  it('goes on with the same model after a restart', async (t) => {
    const device = await bench(t)
    const model = await release()
    await device.deploy(1, model)
    await device.restart(false)
    assert.equal(device.updater.current?.sha256, model.sha256)
    const before = device.pieces.asked
    device.ask(1, model)
    await device.restart(true)
    assert.equal(device.pieces.asked, before)
  })

  it('uses both slots in turn and never the proven one', async (t) => {
    const device = await bench(t)
    const slots = []
    for (const [index, gain] of [0.8, 0.85, 0.9].entries()) {
      await device.deploy(index + 1, await release({ gain, version: index }))
      slots.push(device.updater.current!.slot)
    }
    assert.deepEqual(slots, ['a', 'b', 'a'])
  })

  const good = () => release({ gain: 0.8 })
  const refusals: [string, (device: Bench) => Promise<Release>, RegExp][] = [
    [
      'another key signed',
      async (device) => {
        const model = await release({ key: generateKeyPairSync('ed25519').privateKey })
        device.put(model)
        return model
      },
      /not signed by the hub/,
    ],
    [
      'was changed after signing',
      async (device) => {
        const model = await release()
        device.put(model)
        return { ...model, signed: { ...model.signed, manifest: model.signed.manifest.replace('0.5', '0.1') } }
      },
      /not signed by the hub/,
    ],
    [
      'has another hash than promised',
      async (device) => {
        const model = await release()
        const damaged = Buffer.from(model.file)
        damaged[100] = damaged[100]! ^ 1
        device.put({ ...model, file: damaged })
        return model
      },
      /was promised/,
    ],
    [
      'is no ONNX file',
      async (device) => {
        const model = await release({ file: new Uint8Array(5000).fill(7) })
        device.put(model)
        return model
      },
      /./,
    ],
    [
      'gives other boxes than its self-test',
      async (device) => {
        const model = await release({ expected: [{ box: [0, 0, 8, 8], label: 'spot', score: 0.8 }] })
        device.put(model)
        return model
      },
      /self-test frame 1: spot 0\.80 at 0 0 8 8 was expected/,
    ],
    [
      'gives NaN on its self-test',
      async (device) => {
        const model = await release({ file: spotModel({ failsAbove: 0.7 }) })
        device.put(model)
        return model
      },
      /NaN/,
    ],
    [
      'takes other pixels than its manifest says',
      async (device) => {
        const model = await release({ file: spotModel({ size: 96 }) })
        device.put(model)
        return model
      },
      /96 x 96/,
    ],
  ]
  for (const [what, make, reason] of refusals) {
    it(`refuses a model that ${what}, says why, and keeps the one that runs`, async (t) => {
      const device = await bench(t)
      const first = await good()
      await device.deploy(1, first)
      const model = await make(device)
      device.ask(2, model)
      const report = await device.reported(2, 'refused')
      assert.match(report.reason, reason)
      assert.equal(report.running, first.sha256)
      assert.equal(device.updater.current!.sha256, first.sha256)
    })
  }

  it('does not try a refused deployment again, but tells its end again', async (t) => {
    const device = await bench(t)
    const model = await release({ expected: [{ box: [0, 0, 8, 8], label: 'spot', score: 0.8 }] })
    device.put(model)
    device.ask(3, model)
    await device.reported(3, 'refused')
    await device.restart(true)
    const before = { asked: device.pieces.asked, reports: device.reports.length }
    device.ask(3, model)
    while (device.reports.length === before.reports) await once(device.updater, 'report')
    assert.equal(device.reports.at(-1)!.state, 'refused')
    assert.equal(device.pieces.asked, before.asked)
  })

  it('waits for pieces that come late and takes none that is torn', async (t) => {
    const device = await bench(t)
    const big = new Uint8Array(pieceBytes * 2 + 500).fill(1)
    const model = await release({ file: big })
    device.put(model)
    const pieces = device.pieces.files.get(model.sha256)!
    const whole = pieces[1]!
    pieces[1] = whole.subarray(0, 1000)
    device.ask(1, model)
    while (!device.reports.some(({ state, progress }) => state === 'fetching' && progress > 0.5))
      await once(device.updater, 'report')
    pieces[1] = whole
    await device.pieces.askAgain(model.sha256)
    // It is no ONNX file, but it did arrive whole.
    assert.doesNotMatch((await device.reported(1, 'refused')).reason, /promised/)
  })

  it('rolls back by itself when the new model fails in probation', async (t) => {
    const device = await bench(t)
    const first = await good()
    await device.deploy(1, first)
    const model = await release({ file: spotModel({ failsAbove: 0.95 }) })
    device.put(model)
    device.ask(2, model, 60)
    await device.reported(2, 'probation')
    assert.equal(device.updater.current!.sha256, model.sha256)
    await device.show(3)
    await device.show(1, 255)
    const report = await device.reported(2, 'rolled-back')
    assert.match(report.reason, /NaN/)
    assert.equal(report.running, first.sha256)
    await device.show(3, 255)
    assert.equal(device.updater.current!.sha256, first.sha256)
  })

  it('rolls back when the agent keeps dying in probation, and stays with the proven model', async (t) => {
    const device = await bench(t)
    const first = await good()
    await device.deploy(1, first)
    const model = await release()
    device.put(model)
    device.ask(2, model, 60)
    await device.reported(2, 'probation')
    for (let death = 0; death < 2; death++) {
      await device.restart(false)
      assert.equal(device.updater.current!.sha256, model.sha256)
    }
    await device.restart(false)
    assert.equal(device.updater.current!.sha256, first.sha256)
    assert.match((await device.reported(2, 'rolled-back')).reason, /died 3 times/)
    await device.restart(true)
    assert.equal(device.updater.current!.sha256, first.sha256)
    assert.equal(device.updater.lastReport!.state, 'rolled-back')
  })

  it('does not blame a model in probation for clean restarts, and confirms it after them', async (t) => {
    const device = await bench(t)
    await device.deploy(1, await good())
    const model = await release()
    device.put(model)
    device.ask(2, model, 1)
    await device.reported(2, 'probation')
    for (let restart = 0; restart < 5; restart++) await device.restart(true)
    await device.show(6)
    assert.equal((await device.reported(2, 'confirmed')).running, model.sha256)
  })

  it('goes back at once to the proven model when the hub asks for it during probation', async (t) => {
    const device = await bench(t)
    const first = await good()
    await device.deploy(1, first)
    const model = await release()
    device.put(model)
    device.ask(2, model, 60)
    await device.reported(2, 'probation')
    device.ask(3, first, 60)
    assert.equal((await device.reported(3, 'confirmed')).running, first.sha256)
  })

  it('goes back to the model in the other slot without a download', async (t) => {
    const device = await bench(t)
    const first = await good()
    await device.deploy(1, first)
    await device.deploy(2, await release())
    device.pieces.files.delete(first.sha256)
    device.ask(3, first)
    await device.reported(3, 'probation')
    await device.show(6)
    assert.equal((await device.reported(3, 'confirmed')).running, first.sha256)
  })

  it('runs the other slot when the file of the proven one is damaged on disk', async (t) => {
    const device = await bench(t)
    const first = await good()
    await device.deploy(1, first)
    await device.deploy(2, await release())
    const slot = device.updater.current!.slot
    await device.updater.stop()
    writeFileSync(join(device.folder, `${slot}.onnx`), 'bad block')
    await device.restart(true)
    assert.equal(device.updater.current!.sha256, first.sha256)
  })

  it('refuses a file that killed the agent in its self-test again and again', async (t) => {
    const device = await bench(t)
    const model = await release()
    device.put(model)
    const journal = {
      v: 1,
      proven: null,
      slots: { a: null, b: null },
      trial: null,
      attempt: { deployment: 5, lives: 3 },
      outcome: null,
    }
    await device.updater.stop()
    writeFileSync(join(device.folder, 'journal.json'), JSON.stringify(journal))
    await device.restart(false)
    device.ask(5, model)
    assert.match((await device.reported(5, 'refused')).reason, /died 3 times/)
  })

  it('starts empty when its journal is damaged', async (t) => {
    const device = await bench(t)
    await device.deploy(1, await good())
    await device.updater.stop()
    writeFileSync(join(device.folder, 'journal.json'), '{"v": 1, "proven"')
    device.updater = new Bench(device.folder).updater
    await device.updater.start()
    assert.equal(device.updater.current, null)
  })
})

describe('self-test comparison', () => {
  const box = (x: number, score: number, label = 'car'): Detection => ({ box: [x, 10, x + 20, 30], label, score })
  const thresholds = { car: 0.4 }
  const cases: [string, Detection[], Detection[], RegExp | null][] = [
    ['the same', [box(0, 0.8)], [box(0, 0.8)], null],
    ['within the tolerance', [box(0, 0.8)], [box(2, 0.76)], null],
    ['a box too far off', [box(0, 0.8)], [box(3, 0.8)], /the nearest is/],
    ['a score too far off', [box(0, 0.8)], [box(0, 0.7)], /expected/],
    ['another class', [box(0, 0.8)], [box(0, 0.8, 'sign')], /is missing/],
    ['a doubtful one that is missing', [box(0, 0.42)], [], null],
    ['a doubtful one that is new', [], [box(0, 0.42)], null],
    ['a clear one that is new', [], [box(0, 0.9)], /was not expected/],
    ['one that answers for two', [box(0, 0.8), box(0, 0.8)], [box(0, 0.8)], /expected/],
  ]
  for (const [what, expected, got, words] of cases) {
    it(`judges ${what}`, () => {
      const result = difference(expected, got, { thresholds })
      if (words) assert.match(result ?? 'no difference', words)
      else assert.equal(result, null)
    })
  }
})

describe('probation', () => {
  const fine = {
    frames: 20,
    seconds: 30,
    probationSeconds: 30,
    error: null as string | null,
    milliseconds: Array(20).fill(40),
    formerMilliseconds: Array(4).fill(40),
  }
  const cases: [string, Partial<typeof fine>, string][] = [
    ['passes after its time', {}, 'passed'],
    ['goes on before its time', { seconds: 29 }, 'going-on'],
    ['goes on without frames, however long', { frames: 2, seconds: 3000 }, 'going-on'],
    ['fails at the first error', { error: 'NaN', seconds: 1 }, 'failed'],
    ['fails when much slower', { milliseconds: Array(20).fill(130) }, 'failed'],
    [
      'passes when the machine is as slow for the former',
      { milliseconds: Array(20).fill(130), formerMilliseconds: Array(4).fill(120) },
      'passed',
    ],
    ['passes when slower but quick', { milliseconds: Array(20).fill(9), formerMilliseconds: Array(4).fill(2) }, 'passed'],
    ['passes without a former model to compare with', { milliseconds: Array(20).fill(900), formerMilliseconds: [] }, 'passed'],
  ]
  for (const [what, change, state] of cases) it(what, () => assert.equal(judgeProbation({ ...fine, ...change }).state, state))
})

it('refuses a public key that is none', () => {
  assert.throws(() => importPublicKey('aGVsbG8='), /not an Ed25519 key/)
  assert.ok(importPublicKey(keys.publicKey.export({ format: 'der', type: 'spki' }).toString('base64')))
})
