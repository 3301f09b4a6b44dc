/** *Train now*: what the dialog offers to start from, and that the run is the one that was asked for. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Page } from 'playwright-core'
import { Settings } from '../../protocol/http/fleet.ts'
import { ModelVersion } from '../../protocol/http/models.ts'
import { Run } from '../../protocol/http/runs.ts'
import { noBrowser, openPage } from '../support/browser.ts'
import { deployedModel } from '../support/deployed-model.ts'
import { startTestHub, type TestHub } from '../support/hub.ts'
import { putLabelled } from '../support/labelled-sample.ts'

const shipped = 'the street detector that comes with Muninn'

/** A model brought from outside. */
async function bring(test: TestHub, name: string, champion: boolean, score: number): Promise<ModelVersion> {
  const meta = { name, classes: ['car'], input: { width: 32, height: 32, resize: 'letterbox' }, thresholds: { car: 0.35 } }
  const query = encodeURIComponent(JSON.stringify({ ...meta, architecture: 'test', champion }))
  return await test.ask(ModelVersion, 'POST', `/api/models?meta=${query}`, deployedModel({ score }))
}

async function openDialog(page: Page): Promise<void> {
  await page.goto('/training')
  await page.getByRole('button', { name: 'Train now' }).click()
  await page.getByLabel('Start from').waitFor()
}

/** Starts what the dialog shows and gives the run that its page is then about. */
async function started(test: TestHub, page: Page): Promise<Run> {
  await page.getByRole('button', { name: 'Start', exact: true }).click()
  await page.waitForURL(/\/training\/\d+$/)
  return await test.ask(Run, 'GET', `/api/runs/${page.url().split('/').at(-1)}`)
}

/** What is offered, in its order; the list is left as it was found. */
async function offers(page: Page): Promise<string[]> {
  await page.getByLabel('Start from').click()
  const names = await page.getByRole('option').allInnerTexts()
  await page.keyboard.press('Escape')
  return names
}

async function choose(page: Page, name: string): Promise<void> {
  await page.getByLabel('Start from').click()
  await page.getByRole('option', { name }).click()
}

const closed = async (test: TestHub, { id }: Run) => await test.ask(Run, 'POST', `/api/runs/${id}/cancel`)

describe('the dialog Train now', { skip: noBrowser, timeout: 300_000 }, () => {
  it('starts from the street detector where there is no champion', async (t) => {
    const test = await startTestHub(t)
    await putLabelled(test.hub, { name: 'a' })
    const page = await openPage(t, test)
    await openDialog(page)
    assert.equal(await page.getByLabel('Start from').innerText(), shipped)
    assert.deepEqual(await offers(page), [shipped])
    assert.equal((await started(test, page)).base, null)
  })

  it('starts from the champion, or from what is chosen instead, with the minutes that are set', async (t) => {
    const test = await startTestHub(t)
    const settings = await test.ask(Settings, 'GET', '/api/settings')
    await test.ask(Settings, 'PUT', '/api/settings', { ...settings, training: { ...settings.training, minutes: 7, seed: 3 } })
    const champion = await bring(test, 'crossing', true, 0.9)
    const other = await bring(test, 'yard', false, 0.8)
    await putLabelled(test.hub, { name: 'a' })
    const page = await openPage(t, test)
    const theChampion = 'the champion, crossing v1'

    await openDialog(page)
    assert.equal(await page.getByLabel('Start from').innerText(), theChampion)
    assert.deepEqual(await offers(page), [theChampion, shipped, 'yard v2 · candidate'])
    const first = await started(test, page)
    assert.deepEqual([first.base, first.champion], [champion.sha256, champion.sha256])
    assert.deepEqual([first.settings.minutes, first.settings.seed], [7, 3])
    await closed(test, first)

    await openDialog(page)
    await choose(page, shipped)
    const second = await started(test, page)
    assert.deepEqual([second.base, second.champion], [null, champion.sha256])
    await closed(test, second)

    // To choose what is chosen already takes nothing back.
    await openDialog(page)
    await choose(page, 'yard')
    await choose(page, 'yard')
    assert.equal((await started(test, page)).base, other.sha256)
  })
})
