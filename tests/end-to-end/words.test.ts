/** What the hub tells is read on its pages in whole sentences, in the language that a person chose. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { noBrowser, openPage } from '../support/browser.ts'
import { startTestHub } from '../support/hub.ts'
import { TrainerPlayer } from '../support/trainer-player.ts'

describe('the words of the page', { skip: noBrowser, timeout: 120_000 }, () => {
  it('tell one trainer from several', async (t) => {
    const test = await startTestHub(t)
    await (await TrainerPlayer.create(test, 'one')).lease()
    const page = await openPage(t, test)
    await page.getByText('1 trainer', { exact: true }).waitFor()
    await (await TrainerPlayer.create(test, 'two')).lease()
    await page.reload()
    await page.getByText('2 trainers', { exact: true }).waitFor()
    assert.equal(await page.getByText('0 of 0 devices online').count(), 1)
  })
})
