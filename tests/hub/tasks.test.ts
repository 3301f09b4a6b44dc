import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Type } from 'typebox'
import { sessionSeconds } from '../../hub/auth/accounts.ts'
import { Enrolment, Settings } from '../../protocol/http/fleet.ts'
import { HistoryEntry, LeasedTasks, SampleView, Task } from '../../protocol/http/labelling.ts'
import { User } from '../../protocol/http/session.ts'
import { inEnglish, say } from '../../protocol/sentences.ts'
import { DevicePlayer } from '../support/device-player.ts'
import { startTestHub, type TestHub } from '../support/hub.ts'
import { makeSample } from '../support/sample.ts'

interface Closing {
  after(close: () => Promise<void>): void
}
type Headers = Record<string, string>

async function withTasks(t: Closing, count: number): Promise<TestHub> {
  const test = await startTestHub(t)
  const settings = await test.ask(Settings, 'GET', '/api/settings')
  await test.ask(Settings, 'PUT', '/api/settings', {
    ...settings,
    classes: [{ name: 'car', color: '#ff0000' }],
    autoTrain: false,
  })
  const device = await DevicePlayer.connect(await test.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-1' }))
  for (let i = 0; i < count; i++) {
    const sample = await makeSample(i, {
      score: i / 100,
      detections: [{ box: [4, 4, 40, 40], label: 'car', score: i % 2 ? 0.9 : 0.1 }],
    })
    await device.sendSample(sample)
    assert.equal(await device.answerTo(sample.id), true)
  }
  await device.stop()
  return test
}

const metricsOf = async (test: TestHub) => String((await test.request('GET', '/metrics')).body)

/** Cookie headers of a person with this role. */
async function signIn(test: TestHub, name: string, role: string): Promise<Headers> {
  await test.ask(User, 'POST', '/api/users', { name, password: 'a long password', role })
  const answer = await test.hub.app.inject({
    method: 'POST',
    url: '/api/session',
    payload: { name, password: 'a long password' },
  })
  assert.equal(answer.statusCode, 200)
  const cookie = String(answer.headers['set-cookie'])
  assert.match(cookie, /HttpOnly.*SameSite=Strict/i)
  return { cookie: cookie.split(';')[0]!, authorization: '' }
}

const lease = async (test: TestHub, who: Headers, count: number) =>
  (await test.ask(LeasedTasks, 'POST', '/api/tasks/lease', { count }, who)).tasks
const accept = (test: TestHub, who: Headers, { id, version }: Task, label = 'car') =>
  test.request(
    'POST',
    `/api/tasks/${id}/submit`,
    { version, verdict: 'accepted', annotations: [{ box: [1, 1, 30, 30], label, source: 'person' }] },
    who,
  )

describe('labelling queue', () => {
  it('gives two people different pictures, the most valuable first, and each their own again', async (t) => {
    const test = await withTasks(t, 8)
    const [ann, bob] = [await signIn(test, 'ann', 'operator'), await signIn(test, 'bob', 'operator')]
    const [anns, bobs] = await Promise.all([lease(test, ann, 4), lease(test, bob, 4)])
    const ids = [...anns, ...bobs].map(({ id }) => id)
    assert.equal(new Set(ids).size, 8)
    assert.deepEqual((await lease(test, ann, 4)).map(({ id }) => id).sort(), anns.map(({ id }) => id).sort())
    assert.deepEqual(await lease(test, await signIn(test, 'eve', 'operator'), 4), [])
  })

  it('starts from the model’s boxes above the threshold', async (t) => {
    const test = await withTasks(t, 2)
    const tasks = await lease(test, {}, 2)
    assert.deepEqual(tasks.map(({ boxes }) => boxes.length).sort(), [0, 1])
  })

  it('gives a picture to someone else when its lease ran out, and overwrites nothing after', async (t) => {
    const test = await withTasks(t, 1)
    const [ann, bob] = [await signIn(test, 'ann', 'operator'), await signIn(test, 'bob', 'operator')]
    const [anns] = await lease(test, ann, 1)
    test.clock.ahead += 601_000
    const [bobs] = await lease(test, bob, 1)
    assert.equal(bobs!.id, anns!.id)
    assert.equal((await accept(test, ann, anns!)).status, 409)
    assert.equal((await accept(test, bob, bobs!)).status, 200)
    assert.equal((await accept(test, ann, anns!)).status, 409)
    const history = await test.ask(Type.Array(HistoryEntry), 'GET', `/api/samples/${anns!.sample.id}/history`)
    assert.deepEqual(
      history.map(({ by }) => by),
      ['bob'],
    )
  })

  it('takes work that comes late as long as nobody else has begun it', async (t) => {
    const test = await withTasks(t, 1)
    const [task] = await lease(test, {}, 1)
    test.clock.ahead += 601_000
    assert.equal((await accept(test, {}, task!)).status, 200)
  })

  it('takes the same verdict twice as one', async (t) => {
    const test = await withTasks(t, 1)
    const [task] = await lease(test, {}, 1)
    assert.equal((await accept(test, {}, task!)).status, 200)
    assert.equal((await accept(test, {}, task!)).status, 200)
    const history = await test.ask(Type.Array(HistoryEntry), 'GET', `/api/samples/${task!.sample.id}/history`)
    assert.equal(history.length, 1)
  })

  it('opens a decided picture again, starting from what was said, and keeps the history', async (t) => {
    const test = await withTasks(t, 1)
    const [task] = await lease(test, {}, 1)
    await accept(test, {}, task!)
    const again = await test.ask(Task, 'POST', `/api/tasks/${task!.id}/reopen`)
    assert.deepEqual(again.boxes, [{ box: [1, 1, 30, 30], label: 'car', source: 'person', score: null }])
    await test.ask(Task, 'POST', `/api/tasks/${task!.id}/submit`, {
      version: again.version,
      verdict: 'rejected',
      annotations: [],
    })
    const history = await test.ask(Type.Array(HistoryEntry), 'GET', `/api/samples/${task!.sample.id}/history`)
    assert.deepEqual(
      history.map(({ verdict }) => verdict),
      ['accepted', 'reopened', 'rejected'],
    )
    assert.equal((await test.ask(SampleView, 'GET', `/api/samples/${task!.sample.id}`)).annotations, null)
  })

  it('refuses classes that the project does not have, naming them, and empty boxes', async (t) => {
    const test = await withTasks(t, 1)
    const [task] = await lease(test, {}, 1)
    const answer = await accept(test, {}, task!, 'unicorn')
    assert.equal(answer.status, 400)
    assert.match(JSON.stringify(answer.body), /unicorn/)
    const annotations = [{ box: [500, 500, 600, 600], label: 'car', source: 'person' }]
    const outside = await test.request('POST', `/api/tasks/${task!.id}/submit`, {
      version: task!.version,
      verdict: 'accepted',
      annotations,
    })
    assert.equal(outside.status, 400)
  })

  it('lets viewers look and not label', async (t) => {
    const test = await withTasks(t, 1)
    const viewer = await signIn(test, 'vera', 'viewer')
    assert.equal((await test.request('GET', '/api/samples', undefined, viewer)).status, 200)
    assert.equal((await test.request('POST', '/api/tasks/lease', { count: 1 }, viewer)).status, 403)
  })
})

describe('signing in', () => {
  it('works once by link', async (t) => {
    const { hub } = await startTestHub(t)
    const token = hub.accounts.newLinkToken()
    const post = () => hub.app.inject({ method: 'POST', url: '/api/session', payload: { token } })
    assert.equal((await post()).statusCode, 200)
    assert.equal((await post()).statusCode, 401)
  })

  it('is refused by a link that was used, or that a later start made worth nothing: told, counted, and all else goes on', async (t) => {
    const test = await startTestHub(t)
    const post = async (hub: TestHub['hub'], token: string) => {
      const answer = await hub.app.inject({ method: 'POST', url: '/api/session', payload: { token } })
      return [answer.statusCode, answer.json().code, answer.json().message]
    }
    const used = test.hub.accounts.newLinkToken()
    const bob = await signIn(test, 'bob', 'operator')
    assert.equal((await post(test.hub, used))[0], 200)
    const refused = [401, 'NOT_SIGNED_IN', inEnglish(say('error.link-used'))]
    assert.deepEqual(await post(test.hub, used), refused)
    const unused = test.hub.accounts.newLinkToken()
    const again = await test.restart()
    assert.deepEqual(await post(again.hub, unused), refused)
    assert.match(await metricsOf(again), /^muninn_refused_requests_total\{code="NOT_SIGNED_IN"\} 1$/m)
    assert.equal((await again.request('GET', '/api/samples', undefined, bob)).status, 200)
    assert.equal((await post(again.hub, again.hub.accounts.newLinkToken()))[0], 200)
  })

  it('is over when the session has expired: told, counted, and others stay signed in', async (t) => {
    const test = await startTestHub(t)
    const bob = await signIn(test, 'bob', 'operator')
    test.clock.ahead += (sessionSeconds - 60) * 1000
    assert.equal((await test.request('GET', '/api/samples', undefined, bob)).status, 200)
    const ann = await signIn(test, 'ann', 'operator')
    test.clock.ahead += 120_000
    for (const [method, url] of [
      ['GET', '/api/samples'],
      ['GET', '/api/session'],
      ['POST', '/api/tasks/lease'],
    ] as const) {
      const { status, body } = await test.request(method, url, method === 'POST' ? {} : undefined, bob)
      const said = [say('error.session-over')]
      assert.deepEqual([status, body], [401, { code: 'NOT_SIGNED_IN', message: inEnglish(said), said }], url)
    }
    assert.match(await metricsOf(test), /^muninn_refused_requests_total\{code="NOT_SIGNED_IN"\} 3$/m)
    assert.equal((await test.request('GET', '/api/samples', undefined, ann)).status, 200)
  })

  it('is refused with a wrong password, and slowed down after some tries', async (t) => {
    const test = await startTestHub(t)
    await test.ask(User, 'POST', '/api/users', { name: 'ann', password: 'a long password', role: 'operator' })
    const statuses = []
    for (let i = 0; i < 12; i++)
      statuses.push(
        (await test.hub.app.inject({ method: 'POST', url: '/api/session', payload: { name: 'ann', password: 'guess' } }))
          .statusCode,
      )
    assert.deepEqual([statuses[0], statuses.at(-1)], [401, 429])
  })

  it('does not let a page of another site act', async (t) => {
    const test = await startTestHub(t)
    const admin = await signIn(test, 'ann', 'admin')
    assert.equal(
      (await test.request('POST', '/api/datasets', undefined, { ...admin, origin: 'https://evil.example' })).status,
      403,
    )
  })

  it('keeps one admin', async (t) => {
    const test = await startTestHub(t)
    const ann = await test.ask(User, 'POST', '/api/users', { name: 'ann', password: 'a long password', role: 'admin' })
    assert.equal((await test.request('PATCH', `/api/users/${ann.id}`, { role: 'viewer' })).status, 409)
  })

  it('ends when the account is disabled', async (t) => {
    const test = await startTestHub(t)
    const bob = await signIn(test, 'bob', 'operator')
    const [user] = await test.ask(Type.Array(User), 'GET', '/api/users')
    await test.ask(User, 'PATCH', `/api/users/${user!.id}`, { disabled: true })
    assert.equal((await test.request('GET', '/api/samples', undefined, bob)).status, 401)
  })
})
