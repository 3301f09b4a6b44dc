/** A question that the hub leaves unanswered is asked again: a page must not wait for ever for what got lost on the way. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { noBrowser, openPage } from '../support/browser.ts'
import { startTestHub } from '../support/hub.ts'

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
})
