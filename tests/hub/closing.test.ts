/** A hub that is told to stop: what is being answered arrives, and idle browsers do not hold it up. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { describe, it } from 'node:test'
import { adminToken, startTestHub } from '../support/hub.ts'

describe('a hub that stops', { timeout: 60_000 }, () => {
  it('waits for no connection on which nothing was asked: browsers keep one in reserve', async (t) => {
    const test = await startTestHub(t)
    const socket = connect(Number(new URL(test.hub.app.listeningOrigin).port), '127.0.0.1')
    await once(socket, 'connect')
    const closed = once(socket, 'close')
    // Node itself would wait for it for 60 seconds.
    const asked = performance.now()
    await test.hub.app.close()
    await closed
    assert.ok(performance.now() - asked < 30_000)
  })

  it('ends the stream of events of a page that is open', async (t) => {
    const test = await startTestHub(t)
    const headers = { authorization: `Bearer ${adminToken}` }
    const events = await fetch(`${test.hub.app.listeningOrigin}/api/events`, { headers })
    await test.hub.app.close()
    assert.match(await events.text(), /hello/)
  })

  it('lets an answer that is in progress arrive', async (t) => {
    const { hub } = await startTestHub(t)
    const body = JSON.stringify({ name: 'a', role: 'viewer' })
    const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json', 'content-length': body.length }
    const asking = request(`${hub.app.listeningOrigin}/api/tokens`, { method: 'POST', headers })
    const answered = once(asking, 'response')
    const reached = new Promise((resolve) => hub.app.server.once('request', resolve))
    asking.write(body.slice(0, 5))
    await reached
    const closed = hub.app.close()
    asking.end(body.slice(5))
    const [answer] = await answered
    assert.equal(answer.statusCode, 200)
    answer.resume()
    await closed
  })
})
