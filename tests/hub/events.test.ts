/** What the hub tells pages of by itself. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { pulse } from '../../protocol/http/pulse.ts'
import { adminToken, startTestHub } from '../support/hub.ts'

describe('the stream of events', { timeout: 60_000 }, () => {
  it('says again and again that the hub is there, in an event: a page sees no comment', async (t) => {
    // First, since the hub clears timers of its own when it stops.
    t.after(() => t.mock.timers.reset())
    const { hub } = await startTestHub(t)
    t.mock.timers.enable({ apis: ['setInterval'] })
    const headers = { authorization: `Bearer ${adminToken}` }
    const { body } = await fetch(`${hub.app.listeningOrigin}/api/events`, { headers })
    t.mock.timers.tick(2 * pulse.milliseconds)
    let heard = ''
    for await (const text of body!.pipeThrough(new TextDecoderStream())) {
      heard += text
      if (heard.split('event: pulse\ndata: {}\n\n').length > 2) break
    }
    assert.equal(heard.replaceAll('event: pulse\ndata: {}\n\n', ''), ': hello\n\n')
  })
})
