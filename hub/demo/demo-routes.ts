/** GET and POST /api/demo, where the hub runs the demo street. */
import { MuninnError } from '../../protocol/errors.ts'
import { Demo } from '../../protocol/http/labelling.ts'
import type { App } from '../app.ts'
import type { HubParts } from '../hub.ts'

export function demoRoutes(app: App, { access, demo, config, events }: HubParts): void {
  const onlyInDemo = () => {
    if (!config.demo) throw new MuninnError('NOT_FOUND', 'this hub does not run the demo')
  }

  app.get('/api/demo', { onRequest: access.authenticate('viewer'), schema: { response: { 200: Demo } } }, async () => {
    onlyInDemo()
    return await demo.get()
  })

  app.post(
    '/api/demo',
    { onRequest: access.authenticate('operator'), schema: { body: Demo, response: { 200: Demo } } },
    async (request) => {
      onlyInDemo()
      await demo.put(request.body)
      events.emit({ kind: 'settings' })
      return request.body
    },
  )
}
