import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { migrate } from '../../hub/database/database.ts'
import { migrationSource } from '../../hub/database/migrations/index.ts'
import { Overview } from '../../protocol/http/fleet.ts'
import { Run } from '../../protocol/http/runs.ts'
import { few, inEnglish, quote, recognised, say, sentences } from '../../protocol/sentences.ts'
import { startTestHub } from '../support/hub.ts'
import { putLabelled } from '../support/labelled-sample.ts'

describe('sentences', () => {
  it('have a form for one', () => {
    assert.equal(inEnglish(say('round.needs-labels', { count: 1 })), 'Needs 1 more label to train on.')
    assert.equal(inEnglish(say('round.needs-labels', { count: 2 })), 'Needs 2 more labels to train on.')
  })

  it('show the key of one that a later hub made, and what was quoted as it is', () => {
    assert.equal(inEnglish([{ key: 'round.later', values: {} }, ...quote('{{count}} %')]), 'round.later {{count}} %')
  })

  it('name the first of a long list and count the others', () => {
    assert.equal(few(['a', 'b', 'c', 'd', 'e', 'f', 'g']), 'a, b, c, d, e + 2')
  })

  it('are known again in what a device or a trainer told as text', () => {
    for (const [key, form] of Object.entries(sentences)) {
      if (!/^(camera|update|training|log|int8)\./.test(key)) continue
      const one = key.endsWith('_one')
      const said = {
        key: key.replace(/_one$/, ''),
        values: Object.fromEntries(
          [...form.matchAll(/\{\{(\w+)\}\}/g)].map(([, name], i) => [name!, name === 'count' ? (one ? 1 : 12) : `v;${i}(x)`]),
        ),
      }
      if (one) said.values.count = 1
      assert.deepEqual(recognised(inEnglish([said])), said, key)
    }
    assert.equal(recognised('rtsp://gate/1: something else'), null)
    assert.equal(recognised('{{cause}}'), null)
  })

  it('are all said in 中文 with the same values', () => {
    const path = fileURLToPath(new URL('../../../hub/web/src/chinese-sentences.ts', import.meta.url))
    const text = readFileSync(path, 'utf8')
    const blanks = (of: string) => (of.match(/\{\{\w+\}\}/g) ?? []).sort()
    for (const [key, english] of Object.entries(sentences)) {
      if (key.endsWith('_one')) continue
      const chinese = new RegExp(`^  '?${key.replace('.', '\\.')}'?:\\s+'(.*)',$`, 'm').exec(text)?.[1]
      assert.ok(chinese, `${key} is not said in 中文`)
      assert.deepEqual(blanks(chinese), blanks(english), key)
    }
  })
})

describe('what the hub tells', () => {
  it('comes as sentences with values, refusals too', async (t) => {
    const test = await startTestHub(t)
    const refused = await test.request('POST', '/api/runs', {})
    assert.deepEqual(refused.body, {
      code: 'NOT_READY',
      message: 'No picture is labelled yet; accept some on the Label page first.',
      said: [say('error.nothing-labelled')],
    })
    test.hub.loop.stir()
    for (;;) {
      const [round] = (await test.ask(Overview, 'GET', '/api/overview')).rounds
      if (round && round.note.length > 0) {
        assert.deepEqual(round.note, [say('round.mining')])
        return
      }
    }
  })

  it('keeps what an earlier hub said as a quotation', async (t) => {
    const test = await startTestHub(t)
    await test.hub.loop.stop()
    await putLabelled(test.hub, { name: 'a' })
    await putLabelled(test.hub, { name: 'b', split: 'held-out' })
    const { id } = await test.ask(Run, 'POST', '/api/runs', {})
    const { knex } = test.hub
    // As it was before sentences.
    await knex.migrate.down({ migrationSource, tableName: 'migrations', name: '0006-words' })
    await knex('runs').update({
      state: 'failed',
      error: 'trainer t went silent',
      gate: '{"passed":false,"reasons":["worse"],"at":1}',
    })
    await knex('rounds').update({ note: 'Needs 3 more labels.' })
    await migrate(knex)
    const run = await test.ask(Run, 'GET', `/api/runs/${id}`)
    assert.deepEqual([run.error, run.gate?.reasons], [quote('trainer t went silent'), quote('worse')])
    const [round] = (await test.ask(Overview, 'GET', '/api/overview')).rounds
    assert.deepEqual(round?.note, quote('Needs 3 more labels.'))
  })
})
