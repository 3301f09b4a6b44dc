import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { decode } from 'cborg'
import { Outbox } from '../../edge-agent/outbox/outbox.ts'
import { Ranking } from '../../edge-agent/outbox/ranking.ts'
import { parse } from '../../protocol/parse.ts'
import { Sample } from '../../protocol/topics.ts'
import { sampleOf, temporaryFolder } from './support/samples.ts'

const roomy = { maxBytes: 100_000_000, maxSamples: 1000 }
const writer = fileURLToPath(new URL('./support/outbox-writer.js', import.meta.url))

/** Runs a process that adds samples, kills it -9 after so many milliseconds, and gives the ids it said were committed. */
async function killedWriter(folder: string, milliseconds: number): Promise<string[]> {
  const child = fork(writer, [folder], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  const closed = once(child, 'close')
  let text = ''
  child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
    if (text === '') setTimeout(() => child.kill('SIGKILL'), milliseconds)
    text += chunk
  })
  await closed
  return text.split('\n').filter((line) => line.length === 64)
}

describe('outbox', () => {
  it('loses nothing that it committed and keeps only whole files, killed at any instant', { timeout: 120_000 }, async (t) => {
    const folder = temporaryFolder(t)
    const committed: string[] = []
    // The same folder again and again: each life starts from what the last one left.
    for (let seed = 0; seed < 12; seed++) committed.push(...(await killedWriter(folder, 10 + ((seed * 37) % 150))))
    const outbox = new Outbox({ folder, ...roomy, maxBytes: 1_000_000_000, maxSamples: 100_000 })
    await outbox.start()
    assert.ok(committed.length > 20, `only ${committed.length} were written`)
    for (const id of committed) assert.ok(await outbox.read(id), `${id} was committed and is gone`)
    let whole = 0
    for (const seen = new Set<string>(); ; whole++) {
      const entry = outbox.next((id) => !seen.has(id))
      if (!entry) break
      seen.add(entry.id)
      const sample = parse(Sample, decode((await outbox.read(entry.id))!), 'sample')
      assert.equal(createHash('sha256').update(sample.jpeg).digest('hex'), entry.id)
    }
    assert.equal(whole, outbox.counts.samples)
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith('.')),
      [],
    )
  })

  it('takes a sample once', async (t) => {
    const outbox = new Outbox({ folder: temporaryFolder(t), ...roomy })
    await outbox.start()
    const { sample, encoded } = sampleOf()
    assert.deepEqual(await Promise.all([outbox.add(sample, encoded), outbox.add(sample, encoded)]), [true, false])
    assert.equal(outbox.counts.samples, 1)
  })

  it('evicts the least valuable sample first, and counts it', async (t) => {
    const folder = temporaryFolder(t)
    const outbox = new Outbox({ folder, ...roomy, maxSamples: 3 })
    await outbox.start()
    const made = [0.5, 0.2, 0.9, 0.7].map((score) => sampleOf({ score }))
    for (const { sample, encoded } of made) assert.equal(await outbox.add(sample, encoded), true)
    assert.equal(await outbox.read(made[1]!.sample.id), null)
    const worthless = sampleOf({ score: 0.1 })
    assert.equal(await outbox.add(worthless.sample, worthless.encoded), false)
    assert.deepEqual({ samples: outbox.counts.samples, evicted: outbox.counts.evicted }, { samples: 3, evicted: 2 })
    assert.equal(readdirSync(folder).length, 3)
  })

  it('finds everything again after a restart, in the same order of value', async (t) => {
    const folder = temporaryFolder(t)
    const first = new Outbox({ folder, ...roomy })
    await first.start()
    const made = [0.25, 0.75, 0.5].map((score) => sampleOf({ score }))
    for (const { sample, encoded } of made) await first.add(sample, encoded)
    writeFileSync(join(folder, '.aside-0123-torn'), 'half')
    writeFileSync(join(folder, 'a note by a person'), 'kept')
    const second = new Outbox({ folder, ...roomy })
    await second.start()
    assert.deepEqual(second.counts, { ...first.counts })
    assert.equal(second.next(() => true)!.id, made[1]!.sample.id)
    assert.deepEqual(
      readdirSync(folder).filter((name) => !name.endsWith('.cbor')),
      ['a note by a person'],
    )
  })

  it('forgets on ack and takes an ack twice', async (t) => {
    const folder = temporaryFolder(t)
    const outbox = new Outbox({ folder, ...roomy })
    await outbox.start()
    const { sample, encoded } = sampleOf()
    await outbox.add(sample, encoded)
    await outbox.forget([sample.id])
    await outbox.forget([sample.id])
    assert.deepEqual(outbox.counts, { samples: 0, bytes: 0, evicted: 0, refused: 0 })
    assert.deepEqual(readdirSync(folder), [])
  })
})

describe('ranking', () => {
  const entry = (name: string, score: number, audit = false, bytes = 10) => ({ id: name.padEnd(64, '0'), score, audit, bytes })
  const rank = (...entries: ReturnType<typeof entry>[]) => {
    const ranking = new Ranking()
    for (const each of entries) ranking.add(each)
    return ranking
  }
  const limits = { maxBytes: 1000, maxSamples: 4 }
  const cases = [
    ['nothing while the limits hold', rank(entry('a', 0.1)), null],
    ['the lowest score', rank(...[0.5, 0.1, 0.3, 0.9, 0.2].map((score, index) => entry(String(index), score))), '1'],
    [
      'a mined sample before the first audit sample',
      rank(entry('a', 0, true), ...[1, 0.9, 0.8, 0.7].map((score, index) => entry(String(index), score))),
      '3',
    ],
    [
      'an audit sample once they hold more than their share',
      rank(entry('b', 0.9, true), entry('a', 1, true), ...[1, 0.9, 0.8].map((score, index) => entry(String(index), score))),
      'a',
    ],
    ['by bytes as by count', rank(entry('a', 0.4, false, 600), entry('b', 0.3, false, 600)), 'b'],
  ] as const
  for (const [what, ranking, victim] of cases) {
    it(`gives up ${what}`, () => assert.equal(ranking.victim(limits)?.id ?? null, victim?.padEnd(64, '0') ?? null))
  }

  it('sends audit samples first, then by score, and leaves out those on their way', () => {
    const ranking = rank(entry('a', 0.3), entry('b', 0.9), entry('c', 0.1, true))
    const sent: string[] = []
    for (let next = ranking.next((id) => !sent.includes(id)); next; next = ranking.next((id) => !sent.includes(id)))
      sent.push(next.id)
    assert.deepEqual(
      sent.map((id) => id[0]),
      ['c', 'b', 'a'],
    )
  })
})
