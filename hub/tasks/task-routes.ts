/** The labelling queue. */
import { Type } from 'typebox'
import { LeasedTasks, LeaseTasks, QueueCounts, Submit, Task } from '../../protocol/http/labelling.ts'
import type { App } from '../app.ts'
import { nameOf } from '../auth/access.ts'
import type { HubParts } from '../hub.ts'

const ById = Type.Object({ id: Type.Integer() })

export function taskRoutes(app: App, { access, tasks, overview, rounds, now }: HubParts): void {
  const onRequest = access.authenticate('operator')

  app.get(
    '/api/tasks/counts',
    { onRequest: access.authenticate('viewer'), schema: { response: { 200: QueueCounts } } },
    async () => {
      return { ...(await overview.tasks(now())), ...(await rounds.progress()) }
    },
  )

  app.post('/api/tasks/lease', { onRequest, schema: { body: LeaseTasks, response: { 200: LeasedTasks } } }, async (request) => {
    return await tasks.lease(request.body, nameOf(request))
  })

  app.get(
    '/api/tasks/:id',
    { onRequest: access.authenticate('viewer'), schema: { params: ById, response: { 200: Task } } },
    async (request) => {
      return await tasks.get(request.params.id)
    },
  )

  app.post(
    '/api/tasks/:id/submit',
    { onRequest, schema: { params: ById, body: Submit, response: { 200: Task } } },
    async (request) => {
      return await tasks.submit(request.params.id, request.body, nameOf(request))
    },
  )

  app.post('/api/tasks/:id/reopen', { onRequest, schema: { params: ById, response: { 200: Task } } }, async (request) => {
    return await tasks.reopen(request.params.id, nameOf(request))
  })

  app.post('/api/tasks/:id/release', { onRequest, schema: { params: ById, response: { 200: Task } } }, async (request) => {
    return await tasks.release(request.params.id, nameOf(request))
  })
}
