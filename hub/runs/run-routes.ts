/** Training runs as people see them. */
import { Type } from 'typebox'
import { Logs, Metrics, NewRun, Run } from '../../protocol/http/runs.ts'
import type { App } from '../app.ts'
import { nameOf } from '../auth/access.ts'
import type { HubParts } from '../hub.ts'

const ById = Type.Object({ id: Type.Integer() })
const After = Type.Object({ after: Type.Integer({ default: -1 }) })

export function runRoutes(app: App, { access, runs, rounds, knex, blobs }: HubParts): void {
  const see = access.authenticate('viewer')
  const manage = access.authenticate('manager')

  app.get('/api/runs', { onRequest: see, schema: { response: { 200: Type.Array(Run) } } }, async () => await runs.list())

  app.post('/api/runs', { onRequest: manage, schema: { body: NewRun, response: { 200: Run } } }, async (request) => {
    return await rounds.start(async (also) => await runs.create(request.body, nameOf(request), also, knex))
  })

  app.get('/api/runs/:id', { onRequest: see, schema: { params: ById, response: { 200: Run } } }, async (request) => {
    return await runs.get(request.params.id)
  })

  app.get('/api/runs/:id/report.html', { onRequest: see, schema: { params: ById } }, async (request, reply) => {
    const page = await runs.page(request.params.id)
    // A trainer made this page: it may show itself and its own pictures, run nothing, reach nothing, and counts as of no origin.
    reply.headers({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'",
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'private, no-cache',
    })
    return reply.send(await blobs.stream(page))
  })

  app.post('/api/runs/:id/cancel', { onRequest: manage, schema: { params: ById, response: { 200: Run } } }, async (request) => {
    return await runs.cancel(request.params.id, nameOf(request))
  })

  app.get(
    '/api/runs/:id/metrics',
    { onRequest: see, schema: { params: ById, querystring: After, response: { 200: Metrics } } },
    async (request) => await runs.metrics(request.params.id, request.query.after),
  )

  app.get(
    '/api/runs/:id/logs',
    { onRequest: see, schema: { params: ById, querystring: After, response: { 200: Logs } } },
    async (request) => await runs.logs(request.params.id, request.query.after),
  )
}
