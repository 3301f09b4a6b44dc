/** What is asked for often is answered from indexes, so that its cost does not grow with all that was ever stored. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PartAssembler } from '../../hub/ingest/part-assembler.ts'
import { Enrolment } from '../../protocol/http/fleet.ts'
import { SamplePage } from '../../protocol/http/labelling.ts'
import { startTestHub, type TestHub } from '../support/hub.ts'
import { putLabelled, sha256 } from '../support/labelled-sample.ts'

interface Asked {
  readonly sql: string
  readonly bindings?: readonly unknown[]
}

/** What SQLite says of each statement that `ask` made it run (sqlite.org, "EXPLAIN QUERY PLAN"). */
async function plans({ hub }: TestHub, ask: () => Promise<unknown>): Promise<{ sql: string; detail: string }[]> {
  const asked: Asked[] = []
  const listen = (query: Asked) => asked.push(query)
  hub.knex.on('query', listen)
  await ask()
  hub.knex.removeListener('query', listen)
  const found: { sql: string; detail: string }[] = []
  for (const { sql, bindings } of asked) {
    if (!/^\s*(select|update|delete)/i.test(sql)) continue
    const rows: { detail: string }[] = await hub.knex.raw(`explain query plan ${sql}`, [...(bindings ?? [])] as string[])
    found.push(...rows.map(({ detail }) => ({ sql, detail })))
  }
  return found
}

/** Reads a whole table that grows without an index, or sorts what it read of one. Leases that run are few: sorting those costs nothing. */
const grows = ({ sql, detail }: { sql: string; detail: string }) =>
  (/^SCAN (samples|tasks|annotation_history|devices|run_metrics|run_logs)/.test(detail) &&
    !/USING (COVERING )?INDEX/.test(detail)) ||
  (detail.includes('TEMP B-TREE FOR ORDER BY') && /`(samples|tasks)`/.test(sql) && !sql.includes('lease_expires_at'))

const often: readonly [what: string, method: 'GET' | 'POST', url: string, body?: unknown][] = [
  ['the overview', 'GET', '/api/overview'],
  ['the counts of the queue', 'GET', '/api/tasks/counts'],
  ['the next tasks', 'POST', '/api/tasks/lease', { count: 3 }],
  ['the newest samples', 'GET', '/api/samples'],
  ['the samples of one camera', 'GET', '/api/samples?camera=camera-1'],
  ['the samples of one device', 'GET', '/api/samples?device=gate-1'],
  ['the samples in one state', 'GET', '/api/samples?state=accepted'],
  ['the samples of one split', 'GET', '/api/samples?split=held-out'],
  ['the metrics', 'GET', '/metrics'],
  ['the models', 'GET', '/api/models'],
]

describe('at scale', () => {
  it('what pages and the loop ask for again and again is answered from indexes', async (t) => {
    const test = await startTestHub(t)
    await test.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-1' })
    for (let i = 0; i < 5; i++) await putLabelled(test.hub, { name: `${i}`, split: i % 2 ? 'train' : 'held-out' })
    await test.hub.loop.stop()
    for (const [what, method, url, body] of often) {
      const found = await plans(test, async () => assert.equal((await test.request(method, url, body)).status, 200))
      assert.ok(found.length > 0)
      assert.deepEqual(found.filter(grows), [], what)
    }
    const pass = await plans(test, async () => {
      await test.hub.desk.reclaim()
      await test.hub.rollouts.advance()
      await test.hub.rounds.progress()
    })
    assert.deepEqual(pass.filter(grows), [])
  })

  it('pages go through every sample once, whatever they are filtered by', async (t) => {
    const test = await startTestHub(t)
    await test.hub.loop.stop()
    const ids = new Set<string>()
    for (let i = 0; i < 7; i++) ids.add(await putLabelled(test.hub, { name: `${i}` }))
    // All in one millisecond: the id decides.
    await test.hub.knex('samples').update({ received_at: 5 })
    await test.hub.knex('tasks').update({ received_at: 5 })
    for (const filter of ['', '&state=accepted', '&camera=camera-1', '&state=accepted&device=gate-1']) {
      const seen: string[] = []
      for (let cursor = ''; ; ) {
        const { samples, next, total } = await test.ask(SamplePage, 'GET', `/api/samples?limit=3${filter}${cursor}`)
        assert.equal(total, 7)
        seen.push(...samples.map(({ id }) => id))
        if (!next) break
        cursor = `&cursor=${encodeURIComponent(next)}`
      }
      assert.deepEqual([...seen].sort(), [...ids].sort(), filter)
    }
  })

  it('half-sent samples of many devices stay within a fixed amount of memory, the silent ones giving way', () => {
    const assembler = new PartAssembler({ maxBytes: 2000, maxTotal: 2500 })
    const part = (device: string, part: number) => {
      const id = sha256(Buffer.from(device))
      return assembler.add(device, { v: 1, id, part, parts: 2, bytes: new Uint8Array(600) })
    }
    for (const device of ['a', 'b', 'c', 'd', 'e']) assert.equal(part(device, 0), null)
    assert.equal(part('e', 1) instanceof Uint8Array, true, 'the last one is whole')
    assert.equal(part('a', 1), null, 'the first one was dropped and is sent again')
    assert.equal(part('a', 0) instanceof Uint8Array, true)
  })
})
