/** What could not be loaded is said where it is missed, with its cause and a way to ask again: nobody waits for ever before a skeleton. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Page } from 'playwright-core'
import { Settings } from '../../protocol/http/fleet.ts'
import { Run } from '../../protocol/http/runs.ts'
import { noBrowser, openPage } from '../support/browser.ts'
import { startTestHub } from '../support/hub.ts'
import { putLabelled } from '../support/labelled-sample.ts'
import { TrainerPlayer } from '../support/trainer-player.ts'

const cause = 'the disk of the hub is not readable'

/** The page still knows who is signed in; every other question of these is refused, so that it is not asked thrice first. */
async function refuse(page: Page, asked = /\/api\/(?!session|events)/): Promise<void> {
  await page.route(asked, (route) =>
    route.fulfill({ status: 409, contentType: 'application/json', body: JSON.stringify({ code: 'NOT_READY', message: cause }) }),
  )
}

const skeletons = (page: Page) => page.locator('.mantine-Skeleton-root').count()

describe('a page whose questions fail', { skip: noBrowser, timeout: 300_000 }, () => {
  it('says in the dialog Train now what failed and why, and asks again when it is told to', async (t) => {
    const page = await openPage(t, await startTestHub(t))
    await refuse(page, /\/api\/(datasets|settings)$/)
    // Without the hub's events the page asks for nothing again by itself.
    await page.route('**/api/events', () => {})
    await page.goto('/training')
    await page.getByRole('button', { name: 'Train now' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('Could not be loaded: Dataset versions and Settings').waitFor()
    assert.equal(await dialog.getByText(cause).count(), 1)
    assert.equal(await skeletons(page), 0)
    await page.unroute(/\/api\/(datasets|settings)$/)
    await dialog.getByRole('button', { name: 'Try again' }).click()
    await dialog.getByLabel('Start from').waitFor()
  })

  it('says it in 中文, and of a hub that is gone that it does not answer', async (t) => {
    const page = await openPage(t, await startTestHub(t), 'zh')
    await page.route(/\/api\/datasets$/, (route) => route.abort())
    await page.goto('/training')
    await page.getByRole('button', { name: '立即训练' }).click()
    await page.getByText('未能加载：数据集版本').waitFor()
    assert.equal(await page.getByRole('dialog').getByText('中心没有响应').count(), 1)
    assert.equal(await page.getByRole('dialog').getByRole('button', { name: '重试' }).count(), 1)
  })

  it('says it on every page, in the place of what is missing', async (t) => {
    const test = await startTestHub(t)
    await putLabelled(test.hub, { name: 'a' })
    await putLabelled(test.hub, { name: 'b', split: 'held-out' })
    const { id } = await test.ask(Run, 'POST', '/api/runs', {})
    const page = await openPage(t, test)
    await refuse(page)
    const places: [path: string, what: string][] = [
      ['/', 'Overview'],
      ['/label', 'Frames'],
      ['/label', 'Classes'],
      ['/data', 'Frames, Devices, and Classes'],
      ['/data?sample=none', 'Frame'],
      ['/training', 'Training runs'],
      [`/training/${id}`, 'Training run'],
      ['/models', 'Models'],
      ['/models', 'Rollouts so far'],
      ['/fleet', 'Devices'],
      ['/settings', 'Settings'],
    ]
    for (const [path, what] of places) {
      await page.goto(path)
      await page.getByText(`Could not be loaded: ${what}`, { exact: true }).waitFor()
      // Questions of one page fail one after the other.
      await page.locator('.mantine-Skeleton-root').first().waitFor({ state: 'detached' })
      for (const wrong of ['Nothing waits for you', 'No frame fits', 'No run yet', 'No model yet', 'No device yet'])
        assert.equal(await page.getByText(wrong).count(), 0, `${path}: ${wrong}`)
    }
    for (const tab of ['Users', 'Tokens']) {
      await page.getByRole('tab', { name: tab }).click()
      await page.getByText(`Could not be loaded: ${tab}`).waitFor()
    }
    await page.goto('/data')
    await page.getByRole('tab', { name: 'Dataset versions' }).click()
    await page.getByText('Could not be loaded: Dataset versions').waitFor()
  })

  it('takes no failed answer for an empty one: log, curves and history', async (t) => {
    const test = await startTestHub(t)
    const sample = await putLabelled(test.hub, { name: 'a' })
    await putLabelled(test.hub, { name: 'b', split: 'held-out' })
    const { id } = await test.ask(Run, 'POST', '/api/runs', {})
    await (await TrainerPlayer.create(test, 'one')).lease()
    const page = await openPage(t, test)
    await refuse(page, /\/(logs|metrics|history)$/)
    await page.goto(`/training/${id}`)
    for (const what of ['Log', 'Curves']) await page.getByText(`Could not be loaded: ${what}`).waitFor()
    assert.equal(await page.getByText('Nothing said yet.').count(), 0)
    await page.goto(`/data?sample=${sample}`)
    await page.getByText('Could not be loaded: History').waitFor()
    assert.equal(await page.getByText('Nobody has looked at it yet.').count(), 0)
  })

  it('says that what is shown may be old when it could not be loaded again', async (t) => {
    const test = await startTestHub(t)
    const page = await openPage(t, test)
    await page.getByText('No frame has come yet').waitFor()
    await refuse(page, /\/api\/overview$/)
    const settings = await test.ask(Settings, 'GET', '/api/settings')
    await test.ask(Settings, 'PUT', '/api/settings', { ...settings, labelsPerRound: settings.labelsPerRound + 1 })
    const notice = page.getByRole('alert').filter({ hasText: 'What you see may be old' })
    await notice.getByText(cause).waitFor()
    assert.equal(await page.getByText('No frame has come yet').count(), 1)
  })
})
