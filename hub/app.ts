/** The HTTP side of the hub, built apart from listening so that tests can `inject()`. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import cookie from '@fastify/cookie'
import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController, type RawServerDefault } from 'fastify'
import type { TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { errors, MuninnError } from '../protocol/errors.ts'
import { parse } from '../protocol/parse.ts'
import { say } from '../protocol/sentences.ts'
import { sessionRoutes } from './auth/session-routes.ts'
import { tokenRoutes } from './auth/token-routes.ts'
import { diskFull, isFull } from './blobs/disk-space.ts'
import { letAnswersEnd } from './closing.ts'
import { datasetRoutes } from './datasets/dataset-routes.ts'
import { demoRoutes } from './demo/demo-routes.ts'
import { eventRoutes } from './events/event-routes.ts'
import { deviceRoutes } from './fleet/device-routes.ts'
import type { HubParts } from './hub.ts'
import { overviewRoutes } from './overview/overview-routes.ts'
import { servePage } from './page.ts'
import { modelRoutes } from './registry/model-routes.ts'
import { rolloutRoutes } from './rollouts/rollout-routes.ts'
import { runRoutes } from './runs/run-routes.ts'
import { trainerRoutes } from './runs/trainer-routes.ts'
import { sampleRoutes } from './samples/sample-routes.ts'
import { settingsRoutes } from './settings/settings-routes.ts'
import { taskRoutes } from './tasks/task-routes.ts'

export type App = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>

/** JSON bodies; files come as streams with limits of their own. */
const bodyLimit = 4 * 1024 * 1024

export async function buildApp(parts: HubParts): Promise<App> {
  const app = fastify({
    loggerInstance: parts.log as FastifyBaseLogger,
    bodyLimit,
    forceCloseConnections: true,
    logController: new LogController({ disableRequestLogging: true }),
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.decorateRequest('identity', null)
  app.setValidatorCompiler<TSchema>(({ schema, httpPart }) => (value: unknown) => {
    try {
      // Queries and path parts are text; bodies must have the right types.
      const typed = httpPart === 'body' ? value : Value.Convert(schema, Value.Clone(value))
      return { value: parse(schema, typed, httpPart ?? 'request') }
    } catch (error) {
      return { error: error instanceof Error ? error : new Error(String(error)) }
    }
  })
  // Answers are typed by the compiler; schemas of answers are for the documentation.
  app.setSerializerCompiler(() => (value: unknown) => JSON.stringify(value))
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload))

  app.setErrorHandler((error, request, reply) => {
    const known = toMuninnError(error)
    parts.metrics.requestRefused(known.code)
    if (known.status >= 500) request.log.error({ err: error, url: request.url }, 'request failed')
    const message = known.code === 'INTERNAL' ? `${errors.INTERNAL.meaning} (${request.id})` : known.message
    return reply.status(known.status).send({ code: known.code, message, ...(known.said && { said: known.said }) })
  })

  await app.register(cookie)
  await app.register(rateLimit, {
    global: false,
    errorResponseBuilder: () => new MuninnError('TOO_MANY_REQUESTS', say('error.too-many-tries')),
  })
  await app.register(swagger, { openapi: { info: { title: 'Muninn', description: 'The hub of Muninn.', version: '1' } } })
  await app.register(swaggerUi, { routePrefix: '/docs' })

  app.get('/healthz', async () => ({ ok: true }))
  app.get('/readyz', async () => {
    await parts.knex.raw('select 1')
    if ((await parts.space.look()).full) throw new MuninnError('UNAVAILABLE', say('error.disk-full'))
    if (!parts.broker.connected) throw new MuninnError('UNAVAILABLE', say('error.broker-away'))
    return { ok: true }
  })

  app.get('/metrics', async (_request, reply) =>
    reply.type(parts.metrics.registry.contentType).send(await parts.metrics.registry.metrics()),
  )

  sessionRoutes(app, parts)
  tokenRoutes(app, parts)
  eventRoutes(app, parts)
  demoRoutes(app, parts)
  settingsRoutes(app, parts)
  sampleRoutes(app, parts)
  taskRoutes(app, parts)
  datasetRoutes(app, parts)
  runRoutes(app, parts)
  trainerRoutes(app, parts)
  modelRoutes(app, parts)
  rolloutRoutes(app, parts)
  deviceRoutes(app, parts)
  overviewRoutes(app, parts)

  await servePage(app)
  // Last, so that streams that end only when the hub stops were told to.
  letAnswersEnd(app)
  return app
}

function toMuninnError(error: unknown): MuninnError {
  if (error instanceof MuninnError) return error
  if (isFull(error)) return diskFull(error)
  if (error instanceof Error) {
    if (error.cause instanceof MuninnError) return error.cause
    const status = 'statusCode' in error ? Number(error.statusCode) : 500
    if (status === 413) return new MuninnError('TOO_LARGE', `the body is larger than ${bodyLimit} bytes`)
    if (status >= 400 && status < 500) return new MuninnError('INVALID_INPUT', error.message)
  }
  return new MuninnError('INTERNAL', errors.INTERNAL.meaning, { cause: error })
}
