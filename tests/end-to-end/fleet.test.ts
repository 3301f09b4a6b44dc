/** The page of a fleet that is larger than a page. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { noBrowser, openPage } from '../support/browser.ts'
import { startTestHub } from '../support/hub.ts'

describe('the fleet page', { skip: noBrowser, timeout: 300_000 }, () => {
  it('shows a page of devices, more on demand, and those that fit what somebody types', async (t) => {
    const test = await startTestHub(t)
    await test.hub.knex('devices').insert(
      Array.from({ length: 60 }, (_, i) => {
        const id = `gate-${String(i).padStart(2, '0')}`
        return { id, name: `Crossing ${i}`, site: i === 59 ? 'Harbour' : 'Centre', created_at: 1, password_hash: '' }
      }),
    )
    const page = await openPage(t, test)
    await page.goto('/fleet')
    const rows = page.locator('tbody tr')
    await page.getByText('60 devices', { exact: true }).waitFor()
    assert.equal(await rows.count(), 50)
    // An event that comes while the next page is under way must not lose it.
    await page.route(
      '**/api/devices?*cursor=*',
      async (route) => {
        const response = await route.fetch()
        await test.request('POST', '/api/devices/gate-00/rotate')
        await sleep(1500)
        await route.fulfill({ response })
      },
      { times: 1 },
    )
    await page.getByRole('button', { name: 'More' }).click()
    await page.getByText('gate-59', { exact: true }).waitFor()
    assert.equal(await rows.count(), 60)
    await page.getByLabel('Find by name or site').fill('harb')
    await page.getByText('1 device', { exact: true }).waitFor()
    assert.equal(await rows.count(), 1)
    await rows.first().click()
    await page.getByText('It is offline. What it should run is kept for it.').waitFor()
    await page.keyboard.press('Escape')
    await page.getByLabel('Find by name or site').fill('nowhere')
    await page.getByText('No device fits').waitFor()
  })
})
