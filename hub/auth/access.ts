/** Who asks, and whether they may: bearer tokens here, session cookies through `sessionOf`. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { MuninnError } from '../../protocol/errors.ts'
import { type Role, roles } from '../../protocol/http/session.ts'
import { say } from '../../protocol/sentences.ts'

export interface Identity {
  readonly name: string
  readonly role: Role | 'trainer'
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the `authenticate` hook of a route. */
    identity: Identity | null
  }
}

interface Parts {
  /** Full rights for the program that started the hub; nobody else ever sees it. */
  readonly bootstrapToken: string | undefined
  /** The owner of a bearer token, by its SHA-256. */
  readonly tokenOwner: (hash: string) => Promise<Identity | null>
  /** The person whose session cookie the request carries. */
  readonly sessionOf: (request: FastifyRequest) => Promise<Identity | null>
}

export const sessionCookie = 'muninn_session'

export const hashToken = (token: string) => createHash('sha256').update(token).digest('hex')

export class Access {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async identify(request: FastifyRequest): Promise<Identity | null> {
    const bearer = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
    if (bearer === undefined) return await this.#parts.sessionOf(request)
    const hash = hashToken(bearer)
    const { bootstrapToken } = this.#parts
    if (bootstrapToken && timingSafeEqual(Buffer.from(hash), Buffer.from(hashToken(bootstrapToken))))
      return { name: 'muninn up', role: 'admin' }
    return await this.#parts.tokenOwner(hash)
  }

  /** A hook for routes: people of at least the given role (a person's roles include those below), or the programs named. */
  authenticate(...allowed: readonly (Role | 'trainer')[]): (request: FastifyRequest) => Promise<void> {
    return async (request) => {
      const identity = await this.identify(request)
      if (!identity) throw notSignedIn(request)
      if (!allowed.some((role) => mayActAs(identity.role, role)))
        throw new MuninnError('NOT_ALLOWED', say('error.needs-role', { ...identity, needed: allowed.join(', ') }))
      request.identity = identity
    }
  }
}

/** Whoever brings a cookie was signed in before. */
export const notSignedIn = ({ cookies }: FastifyRequest) =>
  new MuninnError('NOT_SIGNED_IN', say(cookies[sessionCookie] ? 'error.session-over' : 'error.sign-in'))

function mayActAs(has: Role | 'trainer', needed: Role | 'trainer'): boolean {
  if (has === 'trainer' || needed === 'trainer') return has === needed
  return roles.indexOf(has) >= roles.indexOf(needed)
}

/** The name of whoever asks; only in routes behind `authenticate`. */
export function nameOf(request: FastifyRequest): string {
  if (!request.identity) throw new MuninnError('NOT_SIGNED_IN', say('error.sign-in'))
  return request.identity.name
}
