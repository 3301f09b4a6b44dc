/** A question that the hub leaves unanswered is asked again: a page must not wait for ever for what got lost on the way. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { pulse } from '../../protocol/http/pulse.ts'
import { noBrowser, openPage } from '../support/browser.ts'
import { startTestHub } from '../support/hub.ts'
import { startWire } from '../support/wire.ts'

describe('a page whose question stays unanswered', { skip: noBrowser, timeout: 60_000 }, () => {
  it('asks it again after its patience, and shows what it hears then', async (t) => {
    const page = await openPage(t, await startTestHub(t))
    // A second of patience lasts a tenth, and it is told for how long it was meant.
    const patience = await page.evaluateHandle(() => {
      const asked: number[] = []
      const timeout = AbortSignal.timeout.bind(AbortSignal)
      AbortSignal.timeout = (milliseconds) => {
        asked.push(milliseconds)
        return timeout(milliseconds / 10)
      }
      return asked
    })
    let questions = 0
    await page.route('**/api/models', async (route) => {
      if (++questions > 1) await route.continue()
    })
    await page.getByRole('link', { name: 'Models' }).click()
    await page.getByText('No model yet').waitFor({ timeout: 30_000 })
    assert.ok(questions >= 2)
    for (const milliseconds of await patience.jsonValue())
      assert.ok(milliseconds >= 10_000 && milliseconds <= 60_000, `${milliseconds} ms`)
    assert.ok((await patience.jsonValue()).length >= 2)
  })
})

describe('a page whose hub is away', { skip: noBrowser, timeout: 300_000 }, () => {
  it('says that what it shows is old, and shows what changed meanwhile when it hears of the hub again', async (t) => {
    const test = await startTestHub(t)
    const page = await openPage(t, test)
    // As a proxy does whose hub is being started anew: the browser itself asks no second time then.
    await page.route('**/api/events', (route) => route.fulfill({ status: 502, body: 'bad gateway' }))
    await page.goto('/settings')
    await page.getByRole('tab', { name: 'Users' }).click()
    await page.getByRole('button', { name: 'Add a user' }).waitFor()
    const notice = page.getByRole('alert').filter({ hasText: 'The hub does not answer' })
    await notice.getByText(/What you see is of \d/).waitFor()
    const { status } = await test.request('POST', '/api/users', {
      name: 'huginn',
      password: 'thought flies out',
      role: 'operator',
    })
    assert.equal(status, 200)
    assert.equal(await page.getByText('huginn').count(), 0)
    await page.unroute('**/api/events')
    await notice.waitFor({ state: 'detached' })
    await page.getByText('huginn').waitFor()
  })

  it('says so also when the network is cut without a word, not when the hub is quiet nor after a sleep', async (t) => {
    // First, since the hub clears timers of its own when it stops.
    t.after(() => t.mock.timers.reset())
    const test = await startTestHub(t)
    const wire = await startWire(t, test.hub.app.listeningOrigin)
    const page = await openPage(t, test, 'en', wire.origin)
    // From here on it is this test that lets the hub's pulses come, and the page's time leap.
    t.mock.timers.enable({ apis: ['setInterval'] })
    await page.clock.install({ time: new Date(2026, 4, 5, 12) })
    let streams = 0
    page.on('request', (request) => {
      if (request.url().endsWith('/api/events')) streams++
    })
    const opened = () => page.waitForResponse('**/api/events')
    const first = opened()
    await page.goto('/settings')
    await first
    await page.getByRole('tab', { name: 'Users' }).click()
    await page.getByRole('button', { name: 'Add a user' }).waitFor()
    const notice = page.getByRole('alert').filter({ hasText: 'The hub does not answer' })

    // Twice this without a pulse would be too long.
    const quiet = 1.3 * pulse.milliseconds
    const inspector = await page.context().newCDPSession(page)
    await inspector.send('Network.enable')
    await page.clock.fastForward(quiet)
    const seen = new Promise<string>((resolve) => {
      inspector.once('Network.eventSourceMessageReceived', ({ eventName }) => resolve(eventName))
    })
    t.mock.timers.tick(pulse.milliseconds)
    assert.equal(await seen, pulse.event)
    await page.clock.fastForward(quiet)

    // Awake again, the page cannot know whether the stream outlived its sleep.
    const second = opened()
    await page.clock.fastForward('10:00')
    await second
    assert.equal(streams, 2)
    await page.clock.fastForward(quiet)
    assert.equal(await notice.count(), 0)

    wire.cut()
    await page.clock.fastForward('10:00')
    await notice.getByText(/What you see is of .*12:1\d:\d\d/).waitFor()
    const { status } = await test.request('POST', '/api/users', {
      name: 'huginn',
      password: 'thought flies out',
      role: 'operator',
    })
    assert.equal(status, 200)
    // What the page asks then hangs as well: it is asked anew.
    await page.clock.fastForward('01:00')
    assert.equal(await page.getByText('huginn').count(), 0)
    wire.mend()
    await notice.waitFor({ state: 'detached' })
    await page.getByText('huginn').waitFor()
    assert.equal(streams, 4)
  })
})
