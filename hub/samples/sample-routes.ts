/** Samples: lists, one, its history, its picture. */
import { Type } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import { HistoryEntry, SamplePage, SampleQuery, SampleView } from '../../protocol/http/labelling.ts'
import { Sha256 } from '../../protocol/primitives.ts'
import type { App } from '../app.ts'
import type { HubParts } from '../hub.ts'
import { narrowed } from './picture.ts'
import { viewSample } from './sample-view.ts'

const ById = Type.Object({ id: Sha256 })
const Width = Type.Object({ width: Type.Optional(Type.Integer({ minimum: 16, maximum: 4096 })) })
/** Few sizes, so that a browser's cache helps. */
const widths = [160, 320, 640, 1280, 1920, 4096]

export function sampleRoutes(app: App, { access, samples, tasks, blobs, config }: HubParts): void {
  const onRequest = access.authenticate('viewer')

  app.get('/api/samples', { onRequest, schema: { querystring: SampleQuery, response: { 200: SamplePage } } }, async (request) => {
    const { rows, next, total } = await samples.page(request.query)
    return { samples: rows.map(viewSample), next, total }
  })

  app.get('/api/samples/:id', { onRequest, schema: { params: ById, response: { 200: SampleView } } }, async (request) => {
    const row = await samples.find(request.params.id)
    if (!row) throw new MuninnError('NOT_FOUND', `there is no sample ${request.params.id}`)
    return viewSample(row)
  })

  app.get(
    '/api/samples/:id/history',
    { onRequest, schema: { params: ById, response: { 200: Type.Array(HistoryEntry) } } },
    async (request) => {
      return await tasks.history(request.params.id)
    },
  )

  app.get('/api/samples/:id/image', { onRequest, schema: { params: ById, querystring: Width } }, async (request, reply) => {
    const { id } = request.params
    if (!(await samples.known([id])).has(id)) throw new MuninnError('NOT_FOUND', `there is no sample ${id}`)
    const { width } = request.query
    // Content never changes under its own hash.
    reply.headers({
      'content-type': 'image/jpeg',
      'cache-control': 'private, max-age=31536000, immutable',
      'x-content-type-options': 'nosniff',
    })
    if (width === undefined) return reply.send(await blobs.stream(id))
    return reply.send(await narrowed(await blobs.get(id), widths.find((each) => each >= width) ?? width, config.maxPixels))
  })
}
