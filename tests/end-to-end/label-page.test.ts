/** The label page in a real browser against a real hub: what a person draws, names, leaves and takes back is what the hub keeps. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { Page } from 'playwright-core'
import { Enrolment, Settings } from '../../protocol/http/fleet.ts'
import { QueueCounts, SamplePage } from '../../protocol/http/labelling.ts'
import { User } from '../../protocol/http/session.ts'
import { noBrowser, startBrowser } from '../support/browser.ts'
import { DevicePlayer } from '../support/device-player.ts'
import { makeSample } from '../support/sample.ts'
import { type HubProcess, startHub, waitFor } from '../support/system.ts'

/** A hub that three frames without any box have come to, and the page as its admin sees it. */
async function started(t: TestContext): Promise<{ hub: HubProcess; page: Page; faults: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'muninn-label-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const hub = await startHub(folder)
  t.after(() => hub.child.stop())
  const device = await DevicePlayer.connect(
    await hub.api.send('POST', '/api/devices', { id: 'crossing-7', name: '', site: '' }, Enrolment),
  )
  t.after(() => device.stop())
  for (const number of [1, 2, 3]) {
    const sample = await makeSample(number, { detections: [], reasons: ['cold-start'] })
    await device.sendSample(sample)
    assert.equal(await device.answerTo(sample.id), true)
  }
  const page = await (await startBrowser(t)).newPage({ viewport: { width: 1400, height: 860 } })
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  await page.goto(hub.signInUrl)
  await page.getByText('Latest hard frames').waitFor()
  return { hub, page, faults }
}

async function open(page: Page): Promise<void> {
  await page.getByRole('link', { name: /Label/ }).first().click()
  await page.getByText(/Boxes \(\d+\)/).waitFor()
  await page.getByTestId('canvas').waitFor()
}

/** Draws a box over a part of the canvas, by shares of its width and height. */
async function draw(page: Page, from: readonly [number, number], to: readonly [number, number]): Promise<void> {
  const room = (await page.getByTestId('canvas').boundingBox())!
  const at = ([x, y]: readonly [number, number]) => [room.x + room.width * x, room.y + room.height * y] as const
  await page.mouse.move(...at(from))
  await page.mouse.down()
  await page.mouse.move(...at([(from[0] + to[0]) / 2, (from[1] + to[1]) / 2]), { steps: 3 })
  await page.mouse.move(...at(to), { steps: 3 })
  await page.mouse.up()
}

/** As a quick hand in front of a slow page: pressed, moved and let go before anything of it was drawn. */
async function drawAtOnce(page: Page, from: readonly [number, number], to: readonly [number, number]): Promise<void> {
  const room = (await page.getByTestId('canvas').boundingBox())!
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: 12 })
  const send = (type: 'mouseMoved' | 'mousePressed' | 'mouseReleased', [x, y]: readonly [number, number], buttons: number) =>
    devtools.send('Input.dispatchMouseEvent', {
      ...{ type, x: room.x + room.width * x, y: room.y + room.height * y },
      ...{ button: 'left', buttons, clickCount: 1 },
    })
  await Promise.all([send('mousePressed', from, 1), send('mouseMoved', to, 1), send('mouseReleased', to, 0)])
  await devtools.detach()
}

/** Names a class in the dialog that has opened. */
async function nameClass(page: Page, name: string): Promise<void> {
  await page.getByLabel('Find a class by name').fill(name)
  await page.keyboard.press('Enter')
  await page.getByLabel('Find a class by name').waitFor({ state: 'hidden' })
}

/** Keeps the answer to the next request for tasks back for a while; what it gives resolves once the page has it. */
async function delayNextLease(page: Page): Promise<{ arrived: Promise<void> }> {
  let arrive = () => {}
  const arrived = new Promise<void>((resolve) => {
    arrive = resolve
  })
  await page.route(
    '**/api/tasks/lease',
    async (route) => {
      const response = await route.fetch()
      await new Promise((resolve) => setTimeout(resolve, 2000))
      await route.fulfill({ response })
      arrive()
    },
    { times: 1 },
  )
  return { arrived }
}

const accepted = (hub: HubProcess, total: number) =>
  waitFor(hub.api, '/api/samples?state=accepted&limit=9', SamplePage, ({ samples }) => samples.length === total, 30)

describe('the label page', { skip: noBrowser }, () => {
  it('asks for a class when the first box is drawn, adds it, and keeps what was drawn through a reload', {
    timeout: 120_000,
  }, async (t) => {
    const { hub, page, faults } = await started(t)
    await open(page)
    await draw(page, [0.4, 0.4], [0.6, 0.6])
    await nameClass(page, 'hydrant')
    await page.getByText('Boxes (1)').waitFor()
    assert.deepEqual(
      (await hub.api.get('/api/settings', Settings)).classes.map(({ name }) => name),
      ['hydrant'],
    )

    // The next box takes the class at hand; both are there after a reload, answered by nobody yet.
    await draw(page, [0.2, 0.2], [0.3, 0.3])
    await page.getByText('Boxes (2)').waitFor()
    await page.reload()
    await page.getByText('Boxes (2)').waitFor()
    assert.equal((await hub.api.get('/api/samples?state=accepted&limit=9', SamplePage)).total, 0)

    await page.keyboard.press('Enter')
    const { samples } = await accepted(hub, 1)
    assert.deepEqual(
      samples[0]!.annotations!.map(({ label, source }) => [label, source]),
      [
        ['hydrant', 'person'],
        ['hydrant', 'person'],
      ],
    )
    assert.deepEqual(faults, [])
  })

  it('takes an answer back, and copies the boxes of the picture before', { timeout: 120_000 }, async (t) => {
    const { hub, page, faults } = await started(t)
    await open(page)
    await page.keyboard.press('c')
    await nameClass(page, 'sign')
    await draw(page, [0.4, 0.4], [0.6, 0.6])
    await page.getByText('Boxes (1)').waitFor()
    const { arrived } = await delayNextLease(page)
    await page.keyboard.press('Enter')
    await accepted(hub, 1)

    // The list of tasks that the answer asked for comes late: it must not take the picture away that was taken back meanwhile.
    await page.keyboard.press('b')
    await accepted(hub, 0)
    await arrived
    await page.getByText('Boxes (1)').waitFor()
    await page.keyboard.press('Enter')
    await accepted(hub, 1)
    await page.getByText('Boxes (0)').waitFor()
    await page.keyboard.press('v')
    await page.getByText('Boxes (1)').waitFor()
    await page.keyboard.press('Enter')
    const { samples } = await accepted(hub, 2)
    assert.deepEqual(samples[0]!.annotations![0]!.box, samples[1]!.annotations![0]!.box)

    await page.keyboard.press('x')
    await waitFor(hub.api, '/api/tasks/counts', QueueCounts, ({ open, leased }) => open + leased === 0, 30)
    await page.getByText('Nothing waits for you').waitFor()
    assert.deepEqual(faults, [])
  })

  it('keeps every box of a hand that is quicker than the page', { timeout: 120_000 }, async (t) => {
    const { page, faults } = await started(t)
    await open(page)
    await page.keyboard.press('c')
    await nameClass(page, 'sign')
    for (const [i, y] of [0.2, 0.4, 0.6, 0.8].entries()) {
      await drawAtOnce(page, [0.4, y], [0.5, y + 0.1])
      await page.getByText(`Boxes (${i + 1})`).waitFor()
    }
    assert.deepEqual(faults, [])
  })

  it('sends an operator to a manager for a class, for settings are not theirs', { timeout: 120_000 }, async (t) => {
    const { hub, page, faults } = await started(t)
    await hub.api.send('POST', '/api/users', { name: 'ona', password: 'eight-letters', role: 'operator' }, User)
    await page.context().clearCookies()
    await page.goto(hub.url)
    await page.getByLabel('Name').fill('ona')
    await page.locator('input[type=password]').fill('eight-letters')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await open(page)
    await draw(page, [0.4, 0.4], [0.6, 0.6])
    await page.getByText('No classes yet: a manager adds them under Settings.').waitFor()
    await page.getByLabel('Find a class by name').fill('hydrant')
    await page.keyboard.press('Enter')
    await page.keyboard.press('Escape')
    await page.getByText('Boxes (0)').waitFor()
    assert.deepEqual((await hub.api.get('/api/settings', Settings)).classes, [])
    assert.deepEqual(faults, [])
  })
})
