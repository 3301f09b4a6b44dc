/** Every route asks who is there: this table names the least role for each, and a route that is not in it fails the test. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Type } from 'typebox'
import { type Role, roles, Token } from '../../protocol/http/session.ts'
import { parse } from '../../protocol/parse.ts'
import { startTestHub } from '../support/hub.ts'

type Who = Role | 'trainer' | 'anyone'

const rights: Readonly<Record<string, Who | readonly Who[]>> = {
  'GET /healthz': 'anyone',
  'GET /readyz': 'anyone',
  'GET /metrics': 'anyone',
  // Signing in and out, and asking who one is.
  'POST /api/session': 'anyone',
  'GET /api/session': 'anyone',
  'DELETE /api/session': 'anyone',
  'GET /api/users': 'admin',
  'POST /api/users': 'admin',
  'PATCH /api/users/{id}': 'admin',
  'GET /api/tokens': 'admin',
  'POST /api/tokens': 'admin',
  'DELETE /api/tokens/{id}': 'admin',
  'GET /api/events': 'viewer',
  'GET /api/demo': 'viewer',
  'POST /api/demo': 'operator',
  'GET /api/settings': 'viewer',
  'PUT /api/settings': 'manager',
  'GET /api/samples': 'viewer',
  'GET /api/samples/{id}': 'viewer',
  'GET /api/samples/{id}/history': 'viewer',
  'GET /api/samples/{id}/image': 'viewer',
  'GET /api/tasks/counts': 'viewer',
  'POST /api/tasks/lease': 'operator',
  'GET /api/tasks/{id}': 'viewer',
  'POST /api/tasks/{id}/submit': 'operator',
  'POST /api/tasks/{id}/reopen': 'operator',
  'POST /api/tasks/{id}/release': 'operator',
  'GET /api/datasets': ['viewer', 'trainer'],
  'POST /api/datasets': 'manager',
  'GET /api/datasets/{id}': ['viewer', 'trainer'],
  'GET /api/datasets/{id}/records': ['viewer', 'trainer'],
  'GET /api/blobs/{sha256}': ['operator', 'trainer'],
  'GET /api/runs': 'viewer',
  'POST /api/runs': 'manager',
  'GET /api/runs/{id}': 'viewer',
  'POST /api/runs/{id}/cancel': 'manager',
  'GET /api/runs/{id}/metrics': 'viewer',
  'GET /api/runs/{id}/logs': 'viewer',
  'GET /api/runs/{id}/report.html': 'viewer',
  'POST /api/trainer/lease': 'trainer',
  'POST /api/trainer/runs/{id}/heartbeat': 'trainer',
  'PUT /api/trainer/runs/{id}/checkpoint': 'trainer',
  'GET /api/trainer/runs/{id}/checkpoint': 'trainer',
  'PUT /api/trainer/runs/{id}/model': 'trainer',
  'PUT /api/trainer/runs/{id}/self-test': 'trainer',
  'PUT /api/trainer/runs/{id}/report': 'trainer',
  'PUT /api/trainer/runs/{id}/training-file': 'trainer',
  'POST /api/trainer/runs/{id}/finish': 'trainer',
  'POST /api/trainer/runs/{id}/fail': 'trainer',
  'GET /api/models': ['viewer', 'trainer'],
  'POST /api/models': 'manager',
  'GET /api/models/{sha256}': ['viewer', 'trainer'],
  'GET /api/models/{sha256}/file': ['viewer', 'trainer'],
  'GET /api/models/{sha256}/training-file': ['viewer', 'trainer'],
  'GET /api/rollouts': 'viewer',
  'POST /api/rollouts': 'manager',
  'GET /api/rollouts/{id}': 'viewer',
  'POST /api/rollouts/{id}/act': 'manager',
  'GET /api/devices': 'viewer',
  'POST /api/devices': 'admin',
  'GET /api/devices/{id}': 'viewer',
  'DELETE /api/devices/{id}': 'admin',
  'POST /api/devices/{id}/rotate': 'admin',
  'GET /api/devices/{id}/previews': 'viewer',
  'GET /api/devices/{id}/previews/{camera}': 'viewer',
  'GET /api/overview': 'viewer',
}

const OpenApi = Type.Object({ paths: Type.Record(Type.String(), Type.Record(Type.String(), Type.Unknown())) })
type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

const may = (has: Role | 'trainer', needed: Who): boolean =>
  needed === 'anyone' ||
  has === needed ||
  (has !== 'trainer' && needed !== 'trainer' && roles.indexOf(has) >= roles.indexOf(needed))

describe('rights', () => {
  it('of every route that the API documents are those of the table, for nobody and for each role', async (t) => {
    const test = await startTestHub(t, { demo: true })
    const { paths } = parse(OpenApi, (await test.request('GET', '/docs/json')).body, 'OpenAPI')
    const documented = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    assert.deepEqual(documented.sort(), Object.keys(rights).sort())

    const everyone = [...roles, 'trainer'] as const
    const tokens = new Map<Role | 'trainer', string>()
    for (const role of everyone) {
      const { token } = await test.ask(Token, 'POST', '/api/tokens', { name: role, role })
      tokens.set(role, token!)
    }
    for (const [route, needed] of Object.entries(rights)) {
      const [method, path] = route.split(' ') as [Method, string]
      // A stream of events that is allowed never ends.
      const allowed = route === 'GET /api/events' ? [] : [needed].flat()
      const url = path
        .replace('{sha256}', 'a'.repeat(64))
        .replace('/samples/{id}', `/samples/${'a'.repeat(64)}`)
        .replace(/\{\w+\}/g, '999')
      const ask = async (authorization: string) => (await test.request(method, url, undefined, { authorization })).status
      const open = needed === 'anyone'
      if (!open) assert.equal(await ask('Bearer nobody'), 401, `${route} for nobody`)
      for (const role of everyone) {
        const right = [needed].flat().some((each) => may(role, each))
        if (right && allowed.length === 0) continue
        const status = await ask(`Bearer ${tokens.get(role)}`)
        if (right && !open) assert.ok(status !== 401 && status !== 403, `${route} for ${role}: ${status}`)
        if (!right) assert.equal(status, 403, `${route} for ${role}`)
      }
    }
  })
})
