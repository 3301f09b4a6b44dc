/** What the hub tells is read on its pages in whole sentences, in the language that a person chose. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Settings } from '../../protocol/http/fleet.ts'
import { Run } from '../../protocol/http/runs.ts'
import { inEnglish, say } from '../../protocol/sentences.ts'
import { noBrowser, openPage } from '../support/browser.ts'
import { deployedModel } from '../support/deployed-model.ts'
import { startTestHub } from '../support/hub.ts'
import { putLabelled } from '../support/labelled-sample.ts'
import { TrainerPlayer } from '../support/trainer-player.ts'

describe('the words of the page', { skip: noBrowser, timeout: 300_000 }, () => {
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

  it('are 中文 for whoever wants it: notes, verdicts, logs and refusals, too', async (t) => {
    const test = await startTestHub(t)
    const settings = await test.ask(Settings, 'GET', '/api/settings')
    const classes = [{ name: 'car', color: '#00ff00' }]
    await test.ask(Settings, 'PUT', '/api/settings', { ...settings, classes, labelsPerRound: 4 })
    const page = await openPage(t, test, 'zh')
    await page.getByText('正在等待摄像头的难例。').waitFor()
    await putLabelled(test.hub, { name: 'a' })
    await page.getByText('还需要 3 个训练用标注。').waitFor()

    await putLabelled(test.hub, { name: 'b', split: 'held-out' })
    const { id } = await test.ask(Run, 'POST', '/api/runs', {})
    const trainer = await TrainerPlayer.create(test, 'one')
    const lease = (await trainer.lease())!
    const budget = say('log.budget', { steps: 900, time: '9.0', fit: 300, minutes: 3 })
    await trainer.heartbeat(lease, 3, [inEnglish(budget), 'what a driver says'])
    await trainer.finish(lease, deployedModel(), { mAP50: 0, before: 0 })
    await page.goto(`/training/${id}`)
    await page.getByText('首个模型：在留出图片上 mAP50 为 0.000，但至少要求 0.100。请多标注一些，或延长训练。').first().waitFor()
    await page.getByText(/第 1 次尝试，训练器 one（cpu）。/).waitFor()
    await page.getByText(/900 步需 9.0 分钟；3 分钟内可训练 300 步/).waitFor()
    await page.getByText(/what a driver says/).waitFor()
    await page.getByText(/步 · 0.1 min · test · 训练设备：cpu（2 线程）（此处最快）/).waitFor()
    assert.equal(await page.getByText(/hub: |gate says/).count(), 0)

    await page.context().clearCookies()
    await page.goto('/')
    await page.getByLabel('名称').fill('nobody')
    await page.getByLabel('密码').fill('guess')
    await page.getByRole('button', { name: '登录' }).click()
    await page.getByText('名称或密码错误。').waitFor()
  })
})
