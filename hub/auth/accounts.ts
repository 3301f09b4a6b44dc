/** People: the one-time link that the hub prints, names and passwords, sessions. */
import { randomBytes } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import type { NewUser, SignIn, User, UserChange } from '../../protocol/http/session.ts'
import { say } from '../../protocol/sentences.ts'
import { hashToken, type Identity, sessionCookie } from './access.ts'
import { checkPassword, hashPassword } from './passwords.ts'
import type { UserRepository, UserRow } from './user-repository.ts'

export const sessionSeconds = 30 * 86_400
/** Whoever has the link runs the hub. */
const linkUser = 'admin'
/** Checked when there is no such name, so that names cannot be found out by how long an answer takes. */
const nobodysHash = hashPassword(randomBytes(16).toString('hex'))

export class Accounts {
  readonly #users: UserRepository
  readonly #now: () => number
  #linkHash: string | undefined

  constructor({ users, now }: { users: UserRepository; now: () => number }) {
    this.#users = users
    this.#now = now
  }

  /** A new link token; the one before is worth nothing any more, and this one is worth one sign-in. */
  newLinkToken(): string {
    const token = randomBytes(24).toString('base64url')
    this.#linkHash = hashToken(token)
    return token
  }

  /** @returns the user and the cookie's value. @throws MuninnError NOT_SIGNED_IN */
  async signIn(given: Static<typeof SignIn>): Promise<{ user: User; cookie: string }> {
    const row = 'token' in given ? await this.#byLink(given.token) : await this.#byPassword(given.name, given.password)
    const cookie = randomBytes(32).toString('base64url')
    const now = this.#now()
    await this.#users.beginSession({
      id: hashToken(cookie),
      user_id: row.id,
      created_at: now,
      expires_at: now + sessionSeconds * 1000,
    })
    return { user: view(row), cookie }
  }

  async #byLink(token: string): Promise<UserRow> {
    if (this.#linkHash === undefined || hashToken(token) !== this.#linkHash)
      throw new MuninnError('NOT_SIGNED_IN', say('error.link-used'))
    this.#linkHash = undefined
    const created = await this.#users.insert({ name: linkUser, role: 'admin', password_hash: null, created_at: this.#now() })
    const row = created ?? (await this.#users.findByName(linkUser))
    if (!row) throw new MuninnError('INTERNAL', 'the first account could not be made')
    // Whoever can read the hub's output may always come back in.
    if (row.disabled || row.role !== 'admin') await this.#users.change(row.id, { disabled: false, role: 'admin' })
    return { ...row, disabled: false, role: 'admin' }
  }

  async #byPassword(name: string, password: string): Promise<UserRow> {
    const row = await this.#users.findByName(name)
    const right = await checkPassword(password, row?.password_hash ?? (await nobodysHash))
    if (!right || !row || row.disabled || row.password_hash === null)
      throw new MuninnError('NOT_SIGNED_IN', say('error.wrong-password'))
    return row
  }

  async signOut(cookie: string): Promise<void> {
    await this.#users.endSession(hashToken(cookie))
  }

  /** Who the session cookie of a request belongs to. A page of another site cannot use it to change anything. */
  async sessionOf(request: FastifyRequest): Promise<(Identity & { user: User }) | null> {
    const cookie = request.cookies[sessionCookie]
    if (!cookie) return null
    const { origin, host } = request.headers
    if (request.method !== 'GET' && origin !== undefined && hostOf(origin) !== host)
      throw new MuninnError('NOT_ALLOWED', `a page of ${origin} may not act here`)
    const row = await this.#users.sessionUser(hashToken(cookie), this.#now())
    return row ? { name: row.name, role: row.role, user: view(row) } : null
  }

  async list(): Promise<User[]> {
    return (await this.#users.list()).map(view)
  }

  /** @throws MuninnError VERSION_CONFLICT when the name is taken */
  async add({ name, password, role }: Static<typeof NewUser>): Promise<User> {
    const row = await this.#users.insert({ name, role, password_hash: await hashPassword(password), created_at: this.#now() })
    if (!row) throw new MuninnError('VERSION_CONFLICT', say('error.user-exists', { name }))
    return view(row)
  }

  /** A new password or a lost right ends that person's sessions. @throws MuninnError NOT_FOUND, NOT_READY for the last admin */
  async change(id: number, { password, role, disabled }: Static<typeof UserChange>): Promise<User> {
    const row = await this.#users.find(id)
    if (!row) throw new MuninnError('NOT_FOUND', `there is no user ${id}`)
    const loses = (role !== undefined && role !== 'admin') || disabled === true
    if (row.role === 'admin' && !row.disabled && loses && (await this.#users.countAdmins()) === 1)
      throw new MuninnError('NOT_READY', say('error.last-admin', { name: row.name }))
    const change = {
      ...(role === undefined ? {} : { role }),
      ...(disabled === undefined ? {} : { disabled }),
      ...(password === undefined ? {} : { password_hash: await hashPassword(password) }),
    }
    if (Object.keys(change).length > 0) await this.#users.change(id, change)
    if (disabled || password !== undefined) await this.#users.endSessionsOf(id)
    return view({ ...row, ...change })
  }
}

const view = ({ id, name, role, created_at, disabled }: UserRow): User => ({ id, name, role, createdAt: created_at, disabled })

function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null
}
