/** The trainer's side of the API: bearer token with the role `trainer`, lease in the header `muninn-lease`. */
import { Type } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import { Run } from '../../protocol/http/runs.ts'
import { FailRun, FinishRun, Heartbeat, HeartbeatAnswer, LeaseRun, RunLease } from '../../protocol/http/trainers.ts'
import { FileReference } from '../../protocol/manifest.ts'
import type { App } from '../app.ts'
import type { HubParts } from '../hub.ts'
import { streamOf } from '../stream-body.ts'

const ById = Type.Object({ id: Type.Integer() })
const AtStep = Type.Object({ step: Type.Integer({ minimum: 0 }) })
const octets = 'application/octet-stream'

/** The manifest's own limit. */
const maxModelBytes = 512 * 1024 * 1024
const maxCheckpointBytes = 2 * 1024 * 1024 * 1024
const maxSelfTestBytes = 64 * 1024 * 1024
/** A report names many boxes; as a page it holds pictures. */
const maxReportBytes = 32 * 1024 * 1024

export function trainerRoutes(app: App, { access, desk, blobs }: HubParts): void {
  const onRequest = access.authenticate('trainer')

  app.post(
    '/api/trainer/lease',
    { onRequest, schema: { body: LeaseRun, response: { 200: RunLease, 204: Type.Null() } } },
    async (request, reply) => {
      const lease = await desk.lease(request.body)
      return lease ?? reply.status(204).send(null)
    },
  )

  app.post(
    '/api/trainer/runs/:id/heartbeat',
    { onRequest, bodyLimit: maxReportBytes, schema: { params: ById, body: Heartbeat, response: { 200: HeartbeatAnswer } } },
    async (request) => await desk.heartbeat(request.params.id, leaseOf(request.headers), request.body),
  )

  app.put(
    '/api/trainer/runs/:id/checkpoint',
    {
      onRequest,
      bodyLimit: maxCheckpointBytes,
      schema: { params: ById, querystring: AtStep, response: { 200: FileReference } },
    },
    async (request) => {
      const file = await blobs.putStream(streamOf(request.body), maxCheckpointBytes)
      await desk.checkpoint(request.params.id, leaseOf(request.headers), file, request.query.step)
      return file
    },
  )

  app.get('/api/trainer/runs/:id/checkpoint', { onRequest, schema: { params: ById } }, async (request, reply) => {
    const { sha256, step } = await desk.lastCheckpoint(request.params.id, leaseOf(request.headers))
    const headers = { 'content-type': octets, 'content-length': String(await blobs.size(sha256)), 'muninn-step': String(step) }
    return reply.headers(headers).send(await blobs.stream(sha256))
  })

  for (const kind of ['model', 'training-file'] as const)
    app.put(
      `/api/trainer/runs/:id/${kind}`,
      { onRequest, bodyLimit: maxModelBytes, schema: { params: ById, response: { 200: FileReference } } },
      async (request) => {
        const file = await blobs.putStream(streamOf(request.body), maxModelBytes)
        return await desk.upload(request.params.id, leaseOf(request.headers), kind, file)
      },
    )

  app.put(
    '/api/trainer/runs/:id/self-test',
    { onRequest, bodyLimit: maxSelfTestBytes, schema: { params: ById, response: { 200: FileReference } } },
    async (request) => {
      const file = await blobs.putStream(streamOf(request.body), maxSelfTestBytes)
      return await desk.upload(request.params.id, leaseOf(request.headers), 'self-test', file)
    },
  )

  app.put(
    '/api/trainer/runs/:id/report',
    { onRequest, bodyLimit: maxReportBytes, schema: { params: ById, response: { 200: FileReference } } },
    async (request) => {
      const file = await blobs.putStream(streamOf(request.body), maxReportBytes)
      return await desk.upload(request.params.id, leaseOf(request.headers), 'report', file)
    },
  )

  app.post(
    '/api/trainer/runs/:id/finish',
    { onRequest, bodyLimit: maxReportBytes, schema: { params: ById, body: FinishRun, response: { 200: Run } } },
    async (request) => await desk.finish(request.params.id, leaseOf(request.headers), request.body),
  )

  app.post(
    '/api/trainer/runs/:id/fail',
    { onRequest, schema: { params: ById, body: FailRun, response: { 200: Run } } },
    async (request) => await desk.fail(request.params.id, leaseOf(request.headers), request.body),
  )
}

function leaseOf(headers: Record<string, unknown>): string {
  const lease = headers['muninn-lease']
  if (typeof lease !== 'string' || lease === '') throw new MuninnError('INVALID_INPUT', 'the header `muninn-lease` is missing')
  return lease
}
