/** GET and PUT /api/settings. */
import { MuninnError } from '../../protocol/errors.ts'
import { Settings } from '../../protocol/http/fleet.ts'
import { say } from '../../protocol/sentences.ts'
import type { App } from '../app.ts'
import type { HubParts } from '../hub.ts'
import { withTimes } from './class-times.ts'

export function settingsRoutes(app: App, { access, settings, desired, events, now }: HubParts): void {
  app.get('/api/settings', { onRequest: access.authenticate('viewer'), schema: { response: { 200: Settings } } }, async () => {
    return await settings.get()
  })

  app.put(
    '/api/settings',
    { onRequest: access.authenticate('manager'), schema: { body: Settings, response: { 200: Settings } } },
    async (request) => {
      const names = request.body.classes.map(({ name }) => name)
      const twice = names.find((name, index) => names.indexOf(name) !== index)
      if (twice !== undefined) throw new MuninnError('INVALID_INPUT', say('error.class-twice', { label: twice }))
      const { from, to } = request.body.mining.lowConfidence
      if (from > to) throw new MuninnError('INVALID_INPUT', say('error.band-upside-down'))
      const classes = withTimes(request.body.classes, (await settings.get()).classes, now())
      const stored = { ...request.body, classes }
      await settings.put(stored)
      // Devices mine by what was just changed.
      await desired.publish()
      events.emit({ kind: 'settings' })
      return stored
    },
  )
}
