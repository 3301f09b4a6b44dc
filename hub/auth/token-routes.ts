/** Bearer tokens for programs: shown once, kept as a hash. */
import { randomBytes } from 'node:crypto'
import { Type } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import { NewToken, Token } from '../../protocol/http/session.ts'
import type { App } from '../app.ts'
import type { HubParts } from '../hub.ts'
import { hashToken } from './access.ts'

const ById = Type.Object({ id: Type.Integer() })

export function tokenRoutes(app: App, { access, tokens, now }: HubParts): void {
  const onRequest = access.authenticate('admin')

  app.get('/api/tokens', { onRequest, schema: { response: { 200: Type.Array(Token) } } }, async () => {
    return (await tokens.list()).map(({ id, name, role, created_at }) => ({ id, name, role, createdAt: created_at }))
  })

  app.post('/api/tokens', { onRequest, schema: { body: NewToken, response: { 200: Token } } }, async (request) => {
    const { name, role } = request.body
    const token = `muninn_${randomBytes(32).toString('base64url')}`
    const { id, created_at } = await tokens.insert({ name, role, hash: hashToken(token), created_at: now() })
    return { id, name, role, token, createdAt: created_at }
  })

  app.delete('/api/tokens/:id', { onRequest, schema: { params: ById } }, async (request, reply) => {
    if (!(await tokens.delete(request.params.id))) throw new MuninnError('NOT_FOUND', `there is no token ${request.params.id}`)
    return reply.status(204).send()
  })
}
