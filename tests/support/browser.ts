/** Debian's Chromium for tests of the pages; where none is installed those tests say so and are skipped. */
import { existsSync } from 'node:fs'
import { type Browser, chromium, type Page } from 'playwright-core'
import type { TestHub } from './hub.ts'

const path = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((each) => existsSync(each))
/** Why such tests are left out here; false: they are not. */
export const noBrowser = path === undefined ? 'no Chromium is installed' : false

interface Closing {
  after(close: () => Promise<void>): void
}

/** A browser that is closed when the test ends. */
export async function startBrowser(t: Closing): Promise<Browser> {
  const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking']
  const browser = await chromium.launch({ executablePath: path!, args })
  t.after(() => browser.close())
  return browser
}

/** A page of a test's hub, signed in by link. @param baseURL where the page finds the hub, if not at the hub itself */
export async function openPage(
  t: Closing,
  { hub }: TestHub,
  language: 'en' | 'zh' = 'en',
  baseURL: string = hub.app.listeningOrigin,
): Promise<Page> {
  const browser = await startBrowser(t)
  const page = await browser.newPage({
    viewport: { width: 1400, height: 900 },
    locale: language === 'zh' ? 'zh-CN' : 'en-GB',
    baseURL,
  })
  await page.goto(`/?token=${hub.accounts.newLinkToken()}`)
  await page.locator('nav').waitFor()
  return page
}
