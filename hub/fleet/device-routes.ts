/** Devices: enrol, look, watch their cameras, new password, remove. */
import { Type } from 'typebox'
import { Device, DevicePage, DeviceQuery, Enrolment, NewDevice, Previews } from '../../protocol/http/fleet.ts'
import { Id } from '../../protocol/primitives.ts'
import type { App } from '../app.ts'
import type { HubParts } from '../hub.ts'

const ById = Type.Object({ id: Id })
const ByCamera = Type.Object({ id: Id, camera: Id })

export function deviceRoutes(app: App, { access, fleet }: HubParts): void {
  const see = access.authenticate('viewer')
  const administer = access.authenticate('admin')

  app.get(
    '/api/devices',
    { onRequest: see, schema: { querystring: DeviceQuery, response: { 200: DevicePage } } },
    async (request) => {
      return await fleet.page(request.query)
    },
  )

  app.post(
    '/api/devices',
    { onRequest: administer, schema: { body: NewDevice, response: { 200: Enrolment } } },
    async (request) => {
      return await fleet.enrol(request.body, request.hostname)
    },
  )

  app.get('/api/devices/:id', { onRequest: see, schema: { params: ById, response: { 200: Device } } }, async (request) => {
    return await fleet.get(request.params.id)
  })

  app.delete('/api/devices/:id', { onRequest: administer, schema: { params: ById } }, async (request, reply) => {
    await fleet.remove(request.params.id)
    return reply.status(204).send()
  })

  app.post(
    '/api/devices/:id/rotate',
    { onRequest: administer, schema: { params: ById, response: { 200: Enrolment } } },
    async (request) => {
      return await fleet.rotate(request.params.id, request.hostname)
    },
  )

  app.get(
    '/api/devices/:id/previews',
    { onRequest: see, schema: { params: ById, response: { 200: Previews } } },
    async (request) => {
      const previews = await fleet.watch(request.params.id)
      return {
        previews: previews.map(({ camera, at, width, height, detections }) => ({ camera, at, width, height, detections })),
      }
    },
  )

  app.get('/api/devices/:id/previews/:camera', { onRequest: see, schema: { params: ByCamera } }, async (request, reply) => {
    const { jpeg } = fleet.preview(request.params.id, request.params.camera)
    return reply
      .headers({ 'content-type': 'image/jpeg', 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
      .send(Buffer.from(jpeg.buffer, jpeg.byteOffset, jpeg.byteLength))
  })
}
