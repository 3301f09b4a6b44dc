/** Model versions: look, fetch, bring in from outside. One goes into production only through a rollout. */
import { Type } from 'typebox'
import { ImportModel, ModelVersion } from '../../protocol/http/models.ts'
import { parseJson } from '../../protocol/parse.ts'
import { Sha256 } from '../../protocol/primitives.ts'
import type { App } from '../app.ts'
import type { HubParts } from '../hub.ts'
import { streamOf } from '../stream-body.ts'

const BySha256 = Type.Object({ sha256: Sha256 })
/** Its fields come as JSON text, as the body is the file. */
const Meta = Type.Object({ meta: Type.String({ maxLength: 100_000 }) })
/** The manifest's own limit. */
const maxModelBytes = 512 * 1024 * 1024

export function modelRoutes(app: App, { access, registry, blobs, desired, now }: HubParts): void {
  const see = access.authenticate('viewer', 'trainer')

  app.get(
    '/api/models',
    { onRequest: see, schema: { response: { 200: Type.Array(ModelVersion) } } },
    async () => await registry.list(),
  )

  app.post(
    '/api/models',
    {
      onRequest: access.authenticate('manager'),
      bodyLimit: maxModelBytes,
      schema: { querystring: Meta, response: { 200: ModelVersion } },
    },
    async (request) => {
      const meta = parseJson(ImportModel, request.query.meta, 'meta')
      const { sha256 } = await blobs.putStream(streamOf(request.body), maxModelBytes)
      const model = await registry.import(sha256, meta, now())
      if (model.role === 'champion') await desired.publish()
      return model
    },
  )

  app.get(
    '/api/models/:sha256',
    { onRequest: see, schema: { params: BySha256, response: { 200: ModelVersion } } },
    async (request) => {
      return await registry.get(request.params.sha256)
    },
  )

  app.get('/api/models/:sha256/file', { onRequest: see, schema: { params: BySha256 } }, async (request, reply) => {
    const { manifest } = await registry.get(request.params.sha256)
    const name = `${manifest.name.replace(/[^\w.-]+/g, '-')}-v${manifest.version}.onnx`
    return reply
      .headers({
        'content-type': 'application/octet-stream',
        'content-length': String(manifest.file.bytes),
        'content-disposition': `attachment; filename="${name}"`,
      })
      .send(await blobs.stream(manifest.file.sha256))
  })

  app.get('/api/models/:sha256/training-file', { onRequest: see, schema: { params: BySha256 } }, async (request, reply) => {
    const { manifest, trainingFile } = await registry.get(request.params.sha256)
    const sha256 = trainingFile ?? manifest.file.sha256
    const name = `${manifest.name.replace(/[^\w.-]+/g, '-')}-v${manifest.version}-float.onnx`
    return reply
      .headers({
        'content-type': 'application/octet-stream',
        'content-length': String(await blobs.size(sha256)),
        'content-disposition': `attachment; filename="${name}"`,
      })
      .send(await blobs.stream(sha256))
  })
}
