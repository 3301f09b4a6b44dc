/** Accounts and sign-in. */
import { type Static, Type } from 'typebox'
import { Time } from '../primitives.ts'

const strict = { additionalProperties: false }

/** Each role may do all that the ones before it may. */
export const roles = ['viewer', 'operator', 'manager', 'admin'] as const
export const Role = Type.Enum([...roles])
export type Role = Static<typeof Role>

export const User = Type.Object(
  { id: Type.Integer(), name: Type.String(), role: Role, createdAt: Time, disabled: Type.Boolean() },
  strict,
)
export type User = Static<typeof User>

/** POST /api/session: with the one-time token of the link that the hub prints, or with a name and password. Sets a cookie. */
export const SignIn = Type.Union([
  Type.Object({ token: Type.String({ minLength: 1, maxLength: 256 }) }, strict),
  Type.Object(
    { name: Type.String({ minLength: 1, maxLength: 64 }), password: Type.String({ minLength: 1, maxLength: 256 }) },
    strict,
  ),
])
/** GET /api/session, and the answer to POST. */
export const Session = Type.Object({ user: User, demo: Type.Boolean() }, strict)
export type Session = Static<typeof Session>

/** POST /api/users */
export const NewUser = Type.Object(
  { name: Type.String({ pattern: '^[^\\s]{1,64}$' }), password: Type.String({ minLength: 8, maxLength: 256 }), role: Role },
  strict,
)
/** PATCH /api/users/:id */
export const UserChange = Type.Partial(
  Type.Object({ password: Type.String({ minLength: 8, maxLength: 256 }), role: Role, disabled: Type.Boolean() }, strict),
)

/** POST /api/tokens: a bearer token for a program. `trainer` may lease runs; the other roles as for people. The token is shown once. */
export const NewToken = Type.Object(
  { name: Type.String({ minLength: 1, maxLength: 64 }), role: Type.Union([Role, Type.Literal('trainer')]) },
  strict,
)
export const Token = Type.Object(
  { id: Type.Integer(), name: Type.String(), role: Type.String(), token: Type.Optional(Type.String()), createdAt: Time },
  strict,
)
export type Token = Static<typeof Token>
