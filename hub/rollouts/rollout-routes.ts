/** Rollouts: start, look, pause, resume, roll back. */
import { Type } from 'typebox'
import { NewRollout, Rollout, RolloutAction, RolloutSummary } from '../../protocol/http/fleet.ts'
import type { App } from '../app.ts'
import { nameOf } from '../auth/access.ts'
import type { HubParts } from '../hub.ts'

const ById = Type.Object({ id: Type.Integer() })

export function rolloutRoutes(app: App, { access, rollouts }: HubParts): void {
  const see = access.authenticate('viewer')
  const manage = access.authenticate('manager')

  app.get(
    '/api/rollouts',
    { onRequest: see, schema: { response: { 200: Type.Array(RolloutSummary) } } },
    async () => await rollouts.list(),
  )

  app.post('/api/rollouts', { onRequest: manage, schema: { body: NewRollout, response: { 200: Rollout } } }, async (request) => {
    return await rollouts.create(request.body, nameOf(request))
  })

  app.get('/api/rollouts/:id', { onRequest: see, schema: { params: ById, response: { 200: Rollout } } }, async (request) => {
    return await rollouts.get(request.params.id)
  })

  app.post(
    '/api/rollouts/:id/act',
    { onRequest: manage, schema: { params: ById, body: RolloutAction, response: { 200: Rollout } } },
    async (request) => await rollouts.act(request.params.id, request.body, nameOf(request)),
  )
}
