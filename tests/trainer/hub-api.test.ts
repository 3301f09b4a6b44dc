/** The trainer's client of the hub: it waits for a slow hub, not for a silent one, and not a moment once it is told to stop. */
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { HubApi } from '../../trainer/hub-client/hub-api.ts'
import { HubTrainer } from '../../trainer/hub-client/trainer.ts'

const silence = 400

/** A real server in the hub's place. */
async function answering(t: TestContext, answer: RequestListener): Promise<HubApi> {
  const server = createServer(answer)
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return new HubApi({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, token: 'secret', silence })
}

const took = async (work: Promise<unknown>): Promise<number> => {
  const begun = performance.now()
  await work
  return performance.now() - begun
}

describe('the trainer before a hub', { timeout: 60_000 }, () => {
  it('gives a silent one up, and says which, what was asked and what to look at', async (t) => {
    const api = await answering(t, () => {})
    const asked = assert.rejects(api.request('POST', '/api/trainer/lease', { trainer: 'one' }), (error: Error) => {
      assert.match(error.message, /^POST \/api\/trainer\/lease: the hub at http:\/\/127\.0\.0\.1:\d+ took the connection/)
      assert.match(error.message, /silent for 0\.4 s.*its log/)
      return 'code' in error && error.code === 'UNAVAILABLE'
    })
    assert.ok((await took(asked)) < 10 * silence)
  })

  it('gives one up that goes silent half-way, in a file as in an upload', async (t) => {
    const api = await answering(t, (request, response) => {
      if (request.method === 'GET') response.writeHead(200).write('half of it')
    })
    await assert.rejects(api.request('GET', '/api/blobs/1'), /GET \/api\/blobs\/1: .*silent/)
    // More than the system's buffers take.
    await assert.rejects(api.request('PUT', '/api/trainer/runs/1/model', new Uint8Array(64e6)), /PUT .*model: .*silent/)
  })

  it('waits for a file that comes slowly, and for a hub that takes one slowly, as long as something moves', async (t) => {
    const pieces = 6
    const api = await answering(t, async (request, response) => {
      if (request.method === 'GET') {
        response.writeHead(200)
        for (let i = 0; i < pieces; i++) {
          response.write(`piece ${i},`)
          await wait(silence / 2)
        }
        response.end()
        return
      }
      let bytes = 0
      let rest = 0
      for await (const part of request) {
        bytes += part.length
        rest += part.length
        if (rest < 4e6) continue
        rest = 0
        await wait(silence / 2)
      }
      response.writeHead(200).end(String(bytes))
    })
    assert.equal(await (await api.request('GET', '/slow')).text(), 'piece 0,piece 1,piece 2,piece 3,piece 4,piece 5,')
    const file = new Uint8Array(24e6)
    assert.equal(await (await api.request('PUT', '/slow', file)).text(), '24000000')
  })

  it('says what a hub answers that will not have the rest of a file', async (t) => {
    const api = await answering(t, (_request, response) => {
      response.writeHead(409, { 'content-type': 'application/json' }).end('{"code":"LEASE_LOST","message":"another has it"}')
    })
    await assert.rejects(api.request('PUT', '/checkpoint', new Uint8Array(1000)), {
      code: 'LEASE_LOST',
      message: /another has it/,
    })
  })

  it('says why one cannot be reached', async () => {
    const api = new HubApi({ url: 'http://127.0.0.1:9', token: 'secret' })
    await assert.rejects(
      api.request('GET', '/api/runs'),
      /GET \/api\/runs: the hub at http:\/\/127\.0\.0\.1:9 cannot be reached \(.+\): is it running/,
    )
  })

  it('stops waiting as soon as it is cancelled, with the reason that was given', async (t) => {
    const stop = new AbortController()
    const api = await answering(t, () => stop.abort(new Error('cancelled by a person')))
    await assert.rejects(api.request('GET', '/api/runs', undefined, { signal: stop.signal }), /^Error: cancelled by a person$/)
  })

  it('is stopped though the hub is silent', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'muninn-trainer-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const asked = new EventEmitter()
    const api = await answering(t, () => asked.emit('asked'))
    const said: string[] = []
    const trainer = new HubTrainer({
      api,
      folder,
      name: 'one',
      machine: 'a machine',
      device: 'cpu',
      log: (words) => said.push(words),
    })
    const first = once(asked, 'asked')
    trainer.start()
    await first
    assert.ok((await took(trainer.stop())) < silence)
    assert.deepEqual(said, [])
  })
})
