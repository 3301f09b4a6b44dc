/** The training recipe and the moment of a class, set in the page by a person and kept by the hub. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Settings } from '../../protocol/http/fleet.ts'
import { Run } from '../../protocol/http/runs.ts'
import { noBrowser, openPage } from '../support/browser.ts'
import { startTestHub } from '../support/hub.ts'
import { putLabelled } from '../support/labelled-sample.ts'

describe('settings in the page', { skip: noBrowser, timeout: 300_000 }, () => {
  it('show the whole name of a class on a phone, too', async (t) => {
    const test = await startTestHub(t)
    const settings = await test.ask(Settings, 'GET', '/api/settings')
    const classes = [{ name: 'extinguisher_box', color: '#ff0000' }]
    await test.ask(Settings, 'PUT', '/api/settings', { ...settings, classes })
    const page = await openPage(t, test)
    await page.setViewportSize({ width: 390, height: 844 })
    await page.goto('/settings')
    const name = page.getByLabel('name', { exact: true })
    assert.equal(await name.inputValue(), 'extinguisher_box')
    const [whole, seen] = await name.evaluate((field) => [field.scrollWidth, field.clientWidth])
    assert.ok(whole! <= seen!, `${whole} px of which ${seen} are seen`)
    assert.equal(await name.getAttribute('title'), 'extinguisher_box')
  })

  it('give a training its recipe, which its run shows', async (t) => {
    const test = await startTestHub(t)
    const page = await openPage(t, test)
    await page.goto('/settings')
    await page.getByLabel('Paste objects into other pictures').fill('30')
    await page.getByLabel('Cut short a training').fill('4')
    await page.getByLabel('Choose settings by trials first').first().click()
    await page.getByRole('option', { name: '20 %' }).click()
    await page.getByLabel('Learn from pictures without labels').fill('50')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved').waitFor()
    const { training } = await test.ask(Settings, 'GET', '/api/settings')
    assert.deepEqual(training.recipe, { copyPaste: 0.3, patience: 4 })
    assert.deepEqual([training.choose, training.unlabelled, training.teacher], [0.2, 50, null])

    // What is put back to the default is not written down.
    await page.getByLabel('Paste objects into other pictures').fill('0')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('button', { name: 'Save' }).waitFor({ state: 'detached' })
    assert.deepEqual((await test.ask(Settings, 'GET', '/api/settings')).training.recipe, { patience: 4 })

    await putLabelled(test.hub, { name: 'a' })
    const { id } = await test.ask(Run, 'POST', '/api/runs', { settings: { recipe: { multiScale: 0.25, patience: 4 } } })
    await page.goto(`/training/${id}`)
    const card = page.getByRole('row')
    await card.filter({ hasText: 'Change the size of the input' }).getByText('25 %').waitFor()
    await card.filter({ hasText: 'Cut short a training' }).getByText('4', { exact: true }).waitFor()
    await card.filter({ hasText: 'Learn from pictures without labels' }).getByText('at most 50').waitFor()
  })

  it('say since when there is a class, and that earlier pictures were looked through for it', async (t) => {
    const test = await startTestHub(t)
    const settings = await test.ask(Settings, 'GET', '/api/settings')
    await test.ask(Settings, 'PUT', '/api/settings', { ...settings, classes: [{ name: 'car', color: '#00ff00' }] })
    const page = await openPage(t, test)
    await page.goto('/settings')
    await page.getByRole('button', { name: 'Add a class' }).click()
    await page.getByLabel('name').last().fill('bus')
    const save = page.getByRole('button', { name: 'Save' })
    await save.click()
    await page.getByText(/Added .*: pictures labelled before say nothing of it\./).waitFor()
    const since = async () => (await test.ask(Settings, 'GET', '/api/settings')).classes.map((each) => each.since)
    const [car, bus] = await since()
    assert.equal(car, undefined)
    assert.ok(bus! > 0)
    await page.getByRole('button', { name: 'They were looked through for it, too' }).click()
    await save.click()
    await page.getByRole('button', { name: 'Save' }).waitFor({ state: 'detached' })
    assert.deepEqual(await since(), [undefined, 0])
    assert.equal(await page.getByText(/pictures labelled before say nothing/).count(), 0)
  })
})
