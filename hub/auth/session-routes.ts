/** Signing in and out, and the accounts of people. */
import { Type } from 'typebox'
import { NewUser, Session, SignIn, User, UserChange } from '../../protocol/http/session.ts'
import type { App } from '../app.ts'
import type { HubParts } from '../hub.ts'
import { notSignedIn, sessionCookie } from './access.ts'
import { sessionSeconds } from './accounts.ts'

const ById = Type.Object({ id: Type.Integer() })
/** Slow enough for guessing, quick enough for a person's typing errors. */
const signInLimit = { max: 10, timeWindow: 60_000 }

export function sessionRoutes(app: App, { access, accounts, config }: HubParts): void {
  app.post(
    '/api/session',
    { config: { rateLimit: signInLimit }, schema: { body: SignIn, response: { 200: Session } } },
    async (request, reply) => {
      const { user, cookie } = await accounts.signIn(request.body)
      reply.setCookie(sessionCookie, cookie, {
        path: '/',
        httpOnly: true,
        sameSite: 'strict',
        secure: request.protocol === 'https',
        maxAge: sessionSeconds,
      })
      return { user, demo: config.demo }
    },
  )

  app.get('/api/session', { schema: { response: { 200: Session } } }, async (request) => {
    const session = await accounts.sessionOf(request)
    if (!session) throw notSignedIn(request)
    return { user: session.user, demo: config.demo }
  })

  app.delete('/api/session', async (request, reply) => {
    const cookie = request.cookies[sessionCookie]
    if (cookie) await accounts.signOut(cookie)
    return reply.clearCookie(sessionCookie, { path: '/' }).status(204).send()
  })

  const onRequest = access.authenticate('admin')
  app.get('/api/users', { onRequest, schema: { response: { 200: Type.Array(User) } } }, async () => await accounts.list())
  app.post(
    '/api/users',
    { onRequest, schema: { body: NewUser, response: { 200: User } } },
    async (request) => await accounts.add(request.body),
  )
  app.patch(
    '/api/users/:id',
    { onRequest, schema: { params: ById, body: UserChange, response: { 200: User } } },
    async (request) => {
      return await accounts.change(request.params.id, request.body)
    },
  )
}
