/** Dataset versions, and the files that their records name. */
import { Type } from 'typebox'
import { DatasetRecord, DatasetVersion } from '../../protocol/http/datasets.ts'
import { Sha256 } from '../../protocol/primitives.ts'
import type { App } from '../app.ts'
import { nameOf } from '../auth/access.ts'
import type { HubParts } from '../hub.ts'

const ById = Type.Object({ id: Type.Integer() })

export function datasetRoutes(app: App, { access, datasets, blobs }: HubParts): void {
  const see = access.authenticate('viewer', 'trainer')

  app.get('/api/datasets', { onRequest: see, schema: { response: { 200: Type.Array(DatasetVersion) } } }, async () => {
    return await datasets.list()
  })

  app.post(
    '/api/datasets',
    { onRequest: access.authenticate('manager'), schema: { response: { 200: DatasetVersion } } },
    async (request) => {
      return await datasets.snapshot(nameOf(request))
    },
  )

  app.get(
    '/api/datasets/:id',
    { onRequest: see, schema: { params: ById, response: { 200: DatasetVersion } } },
    async (request) => {
      return await datasets.get(request.params.id)
    },
  )

  app.get(
    '/api/datasets/:id/records',
    { onRequest: see, schema: { params: ById, response: { 200: Type.Array(DatasetRecord) } } },
    async (request) => await datasets.records(request.params.id),
  )

  app.get(
    '/api/blobs/:sha256',
    { onRequest: access.authenticate('operator', 'trainer'), schema: { params: Type.Object({ sha256: Sha256 }) } },
    async (request, reply) => {
      const { sha256 } = request.params
      const size = await blobs.size(sha256)
      // Content never changes under its own hash.
      return reply
        .headers({
          'content-type': 'application/octet-stream',
          'content-length': String(size),
          'cache-control': 'private, max-age=31536000, immutable',
          'x-content-type-options': 'nosniff',
        })
        .send(await blobs.stream(sha256))
    },
  )
}
