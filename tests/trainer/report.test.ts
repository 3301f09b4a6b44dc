/** The report as a page: whole in itself, harmless whatever things are called, and fit for every screen. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import { say } from '../../protocol/sentences.ts'
import { lineChart, ticks } from '../../trainer/report/charts.ts'
import { condensed } from '../../trainer/report/detection-sections.ts'
import { deviceLine } from '../../trainer/report/device-line.ts'
import { markup } from '../../trainer/report/markup.ts'
import { reportPage } from '../../trainer/report/page.ts'
import { noBrowser, startBrowser } from '../support/browser.ts'
import { reportContent } from '../support/report-content.ts'

const folder = mkdtempSync(join(tmpdir(), 'muninn-report-'))
after(() => rmSync(folder, { recursive: true }))

describe('a report', () => {
  it('has every part, and leaves out what was not measured', async () => {
    const content = await reportContent(join(folder, 'a.jpg'))
    const whole = reportPage(content)
    const parts = [
      'Against the champion',
      'Curves',
      'By class',
      'The 12 COCO numbers',
      'Where the errors are',
      'Confusion',
      'Calibration',
    ]
    const others = ['Worst pictures', 'Float and int8', 'Digest', 'To repeat it', 'Machine']
    for (const part of [...parts, ...others]) assert.ok(whole.includes(`>${part}<`), part)
    const bare = reportPage({
      ...content,
      analysed: null,
      champion: null,
      quantization: null,
      curves: [],
      data: null,
      command: null,
    })
    for (const part of parts) assert.ok(!bare.includes(`>${part}<`), part)
    assert.match(bare, /Nothing was held out/)
  })

  it('says in both languages what was trained on and why there', () => {
    const line = deviceLine([
      say('log.device-quickest', { device: 'cpu (2 threads)' }),
      say('log.device-measured', { device: 'cpu', milliseconds: '20.0' }),
      say('log.device-not', { device: 'webgpu', cause: 'no <card>' }),
    ]).text
    const only = (language: 'en' | 'zh') =>
      line.replace(/<span class="(en|zh)" lang="..">([^<]*)<\/span>/g, (_, of, words) => (of === language ? words : ''))
    assert.equal(
      only('en'),
      'cpu (2 threads) (the quickest here) · cpu: 20.0 milliseconds a picture · not webgpu: no &lt;card&gt;',
    )
    assert.equal(only('zh'), 'cpu (2 threads) (此处最快) · cpu: 20.0 毫秒/张 · 未用 webgpu: no &lt;card&gt;')
  })

  it('lets no name become a tag, and asks for nothing from outside', async () => {
    const page = reportPage(await reportContent(join(folder, 'b.jpg')))
    assert.ok(!/<script/i.test(page), 'no script')
    assert.ok(!page.includes('<img src=x'), 'no picture from a name')
    assert.ok(page.includes('&lt;script&gt;'), 'the name is shown')
    assert.ok(!/https?:/.test(page), 'no address of anything outside')
    assert.ok(page.includes('http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;'), 'nothing may be fetched')
  })

  it('fits on every screen, in the dark, in 中文, with no request', {
    skip: noBrowser,
  }, async (t) => {
    const many = Array.from({ length: 30 }, (_, i) => `class with a rather long name ${i}`)
    const path = join(folder, 'report.html')
    await writeFile(path, reportPage(await reportContent(join(folder, 'c.jpg'), many)))
    const browser = await startBrowser(t)
    const grounds: string[] = []
    for (const [width, colorScheme] of [
      [390, 'light'],
      [1280, 'dark'],
    ] as const) {
      const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme })
      const asked: string[] = []
      page.on('request', (request) => asked.push(request.url()))
      await page.goto(pathToFileURL(path).href)
      assert.deepEqual(
        asked.filter((url) => !url.startsWith('file:') && !url.startsWith('data:')),
        [],
      )
      const wide = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
      assert.equal(wide, 0, `the page sticks out by ${wide} px at ${width}`)
      grounds.push(String(await page.evaluate('getComputedStyle(document.body).backgroundColor')))
      await page.getByText('中文').click({ timeout: 10_000 })
      assert.ok(await page.getByText('混淆矩阵').isVisible())
      assert.ok(!(await page.getByText('Confusion', { exact: true }).isVisible()))
      await page.close()
    }
    assert.notEqual(grounds[0], grounds[1])
  })
})

describe('charts', () => {
  it('have round ticks inside their range', () => {
    assert.deepEqual(ticks(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1])
    assert.deepEqual(ticks(0, 37), [0, 10, 20, 30])
    assert.deepEqual(ticks(3, 3), [3])
    assert.ok(ticks(0, 12_345).length <= 7)
  })

  it('keep their lines inside the frame', () => {
    const axis = { label: 'step', from: 0, to: 10 } as const
    const points = Array.from({ length: 11 }, (_, i) => [i, i] as const)
    const { text } = lineChart({ series: [{ name: 'a', color: 1, points }], x: axis, y: axis, title: 'a' })
    const pairs = (/points="([^"]+)"/.exec(text)?.[1] ?? '').split(' ').map((pair) => pair.split(',').map(Number))
    assert.equal(pairs.length, 11)
    for (const [x, y] of pairs) assert.ok(x! >= 0 && x! <= 440 && y! >= 0 && y! <= 240)
    assert.ok(pairs[0]![1]! > pairs[10]![1]!, 'up is more')
  })

  it('escape text and attributes, and not what a template made', () => {
    assert.equal(
      markup`<b title="${'"<&'}">${['<i>', markup`<i>`, null, 1]}</b>`.text,
      '<b title="&quot;&lt;&amp;">&lt;i&gt;<i>1</b>',
    )
  })

  it('sum the rare classes of a large confusion matrix up, and lose no count', () => {
    const labels = Array.from({ length: 30 }, (_, i) => String(i))
    const matrix = Array.from({ length: 31 }, (_, i) => Array.from({ length: 31 }, (_, j) => (i * j) % 7))
    const sum = (rows: readonly (readonly number[])[]) => rows.flat().reduce((total, each) => total + each, 0)
    const { names, counts } = condensed(labels, matrix, 20)
    assert.deepEqual([names.length, counts.length, names.at(-1)], [20, 21, null])
    assert.equal(sum(counts), sum(matrix))
  })
})
