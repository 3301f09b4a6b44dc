/** What is asked for often is answered from indexes, so that its cost does not grow with all that was ever stored. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PartAssembler } from '../../hub/ingest/part-assembler.ts'
import { NearDuplicateIndex } from '../../hub/samples/near-duplicate-index.ts'
import { thumbnailSide } from '../../hub/samples/near-duplicates.ts'
import { DevicePage, Enrolment } from '../../protocol/http/fleet.ts'
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
  (detail.includes('TEMP B-TREE FOR ORDER BY') && /`(samples|tasks|devices)`/.test(sql) && !sql.includes('lease_expires_at'))

const numberOf = (id: string) => Number(id.slice('device-'.length))
const siteOf = (id: string) => `Site ${numberOf(id) % 3}`

/** Devices with four cameras each that have spoken, but for the first, which was never heard of. */
async function putDevices({ hub }: TestHub, count: number): Promise<void> {
  const camera = (id: string) => ({ id, name: id, source: `rtsp://${id}/stream1`, state: 'live', width: 1920, height: 1080 })
  const counts = (id: string) => ({
    ...{ id, frames: 1000, framesPerSecond: 9.5, inferenceMilliseconds: 40, detections: 300 },
    ...{ scoreHistogram: Array(10).fill(30), samples: { audit: 3 }, reconnects: 0 },
  })
  const cameras = ['north', 'east', 'south', 'west']
  const status = { v: 1, online: true, version: '0.1.0', cameras: cameras.map(camera), model: null, slot: null, at: 1 }
  const outbox = { samples: 0, bytes: 0, evicted: 0, refused: 0 }
  const telemetry = { v: 1, at: 1, uptimeSeconds: 9, rssBytes: 9, model: null, outbox, cameras: cameras.map(counts) }
  for (let from = 0; from < count; from += 500)
    await hub.knex('devices').insert(
      Array.from({ length: Math.min(500, count - from) }, (_, i) => {
        const id = `device-${String(from + i).padStart(5, '0')}`
        return {
          ...{ id, name: `Crossing ${from + i}`, site: siteOf(id), created_at: 1, password_hash: '' },
          ...{ online: (from + i) % 5 !== 0, last_seen: from + i === 0 ? null : from + i, cameras: 4, cameras_live: 4 },
          ...{ status: JSON.stringify(status), telemetry: JSON.stringify(telemetry) },
        }
      }),
    )
}

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
  ['the fleet', 'GET', '/api/devices'],
  ['the fleet by site', 'GET', '/api/devices?sort=site'],
  ['the rest of the fleet by site', 'GET', '/api/devices?sort=site&cursor=gate-0%20North'],
  ['the fleet by when it was seen', 'GET', '/api/devices?sort=last-seen'],
  ['the rest of the fleet by when it was seen', 'GET', '/api/devices?sort=last-seen&cursor=gate-9%205'],
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

  it('a page and its count are of one moment, whatever is stored in between', async (t) => {
    const test = await startTestHub(t)
    await test.hub.loop.stop()
    for (let i = 0; i < 3; i++) await putLabelled(test.hub, { name: `${i}` })
    let meanwhile: Promise<number> | undefined
    const reopen = async () => await test.hub.knex('tasks').update({ state: 'open' })
    test.hub.knex.on('query', ({ sql }: Asked) => {
      if (sql.includes('from `samples`')) meanwhile ??= reopen()
    })
    const { samples, total } = await test.ask(SamplePage, 'GET', '/api/samples?state=accepted')
    assert.equal(await meanwhile, 3)
    assert.deepEqual([samples.length, total], [3, 3])
    assert.equal((await test.ask(SamplePage, 'GET', '/api/samples?state=accepted')).total, 0)
  })

  it('the fleet is paged: every device once in each order, found by part of its id, name or site', async (t) => {
    const test = await startTestHub(t)
    await putDevices(test, 23)
    const all = async (query: string) => {
      const seen: string[] = []
      for (let cursor = ''; ; ) {
        const { devices, next, total } = await test.ask(DevicePage, 'GET', `/api/devices?limit=4${query}${cursor}`)
        seen.push(...devices.map(({ id }) => id))
        if (next === null) {
          assert.equal(seen.length, total)
          return seen
        }
        cursor = `&cursor=${encodeURIComponent(next)}`
      }
    }
    const byId = await all('')
    assert.deepEqual(byId, [...byId].sort())
    assert.equal(new Set(byId).size, 23)
    const bySite = await all('&sort=site')
    assert.deepEqual([...bySite].sort(), byId)
    assert.deepEqual(bySite.slice(0, 8).map(siteOf), Array(8).fill('Site 0'))
    const bySeen = await all('&sort=last-seen')
    assert.deepEqual([...bySeen].sort(), byId)
    assert.deepEqual([bySeen[0], bySeen.at(-1)], ['device-00022', 'device-00000'], 'the one that was never seen comes last')
    assert.deepEqual(await all('&search=DEVICE-0001'), byId.slice(10, 20))
    assert.deepEqual(
      await all('&search=site 1'),
      byId.filter((id) => siteOf(id) === 'Site 1'),
    )
    assert.deepEqual(await all('&search=%25'), [], 'a sign that SQL knows is a sign')
    assert.deepEqual(await all('&search=_'), [])
    assert.deepEqual(
      await all('&online=false'),
      byId.filter((id) => numberOf(id) % 5 === 0),
    )
    const wrong = await test.request('GET', '/api/devices?sort=last-seen&cursor=a%20b')
    assert.deepEqual([wrong.status, (wrong.body as { code: string }).code], [400, 'INVALID_INPUT'])
  })

  it('a page of 10 000 devices costs what a page costs', async (t) => {
    const test = await startTestHub(t)
    await test.hub.loop.stop()
    await putDevices(test, 10_000)
    for (const [what, query] of Object.entries({
      'first page': '',
      'last page by id': '?cursor=device-09900',
      'by last seen': '?sort=last-seen',
      'search for a site': '?search=site 2',
      'search for one device': '?search=device-07777',
    })) {
      const times: number[] = []
      for (let i = 0; i < 5; i++) {
        const began = performance.now()
        const page = await test.ask(DevicePage, 'GET', `/api/devices${query}`)
        times.push(performance.now() - began)
        assert.ok(page.devices.length >= 1 && page.devices.length <= 50)
      }
      t.diagnostic(`10 000 devices, ${what}: ${times.sort((a, b) => a - b)[2]!.toFixed(1)} ms`)
    }
  })

  it('near-duplicates are found among 100 000 samples without comparing each with each', (t) => {
    const index = new NearDuplicateIndex()
    const wanted: Uint8Array[] = []
    let state = 1
    const random = () => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0
      return (state >>> 8) / 2 ** 24
    }
    // 20 cameras, each with its background, under light that changes; every fifth picture is held out.
    for (let camera = 0; camera < 20; camera++) {
      const background = Uint8Array.from({ length: thumbnailSide ** 2 }, () => 60 + random() * 100)
      for (let i = 0; i < 5000; i++) {
        const light = 25 * Math.sin(i / 300)
        // Something passes in every second one.
        const passes = i % 2 === 0 ? -1 : Math.floor(random() * thumbnailSide ** 2)
        const thumbnail = background.map((cell, at) => cell + light + random() * 6.5 + (at === passes ? 30 + random() * 30 : 0))
        if (i % 5 === 0) index.add(`${camera} ${i}`, thumbnail)
        else wanted.push(thumbnail)
      }
    }
    const began = process.cpuUsage()
    const found = wanted.filter((thumbnail) => index.find(thumbnail) !== undefined).length
    const { user } = process.cpuUsage(began)
    assert.ok(found > 1000 && found < wanted.length, `${found} of ${wanted.length}`)
    t.diagnostic(`20 000 held out, ${wanted.length} to learn from, ${found} alike: ${(user / 1e6).toFixed(1)} s of one core`)
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
