/** The one table of errors that people and programs see: code -> HTTP status and what it means. The README lists it; a test raises each. */
import { inEnglish, type Said, type Words } from './sentences.ts'

export const errors = {
  INVALID_INPUT: {
    status: 400,
    meaning: 'The request, message or file does not have the expected form; the message names the field.',
  },
  NOT_SIGNED_IN: {
    status: 401,
    meaning: 'No valid session or token. Sign in again, or use the link that the hub printed at start.',
  },
  NOT_ALLOWED: { status: 403, meaning: 'This account has no right to do that; an admin can change its role.' },
  NOT_FOUND: { status: 404, meaning: 'There is no such thing, or it was removed.' },
  LEASE_LOST: {
    status: 409,
    meaning: 'The lease on this task or run ran out or belongs to someone else; nothing was overwritten.',
  },
  VERSION_CONFLICT: { status: 409, meaning: 'Someone changed this in the meantime; reload and try again.' },
  NOT_READY: { status: 409, meaning: 'The step before this one is not done yet; the message says which.' },
  TOO_LARGE: {
    status: 413,
    meaning: 'The body, picture or file, or what a training keeps in memory, is larger than the limit that the message names.',
  },
  BAD_PICTURE: { status: 422, meaning: 'The picture cannot be decoded, or has more pixels than allowed.' },
  BAD_MODEL: {
    status: 422,
    meaning: 'The ONNX file is not in the deployed-model form (uint8 image in; boxes, scores, embedding out).',
  },
  BAD_SIGNATURE: { status: 422, meaning: 'A manifest is not signed by the key this device trusts.' },
  BAD_HASH: { status: 422, meaning: 'The bytes do not have the SHA-256 that was promised.' },
  NO_TOPIC_RIGHT: { status: 403, meaning: 'A device may only publish under up/{itself}/ and read down/{itself}/ and models/.' },
  TOO_MANY_REQUESTS: { status: 429, meaning: 'Too many tries in a short time; wait and try again.' },
  INTERNAL: { status: 500, meaning: 'A fault of the server; the log has the details under the request id.' },
  UNAVAILABLE: {
    status: 503,
    meaning: 'A part the server needs (broker, database, disk) is not there right now; it tries again by itself.',
  },
} as const satisfies Record<string, { status: number; meaning: string }>

export type ErrorCode = keyof typeof errors

/** An error with a code of the table above. `message` names the cause and, where there is one, the cure. */
export class MuninnError extends Error {
  readonly code: ErrorCode
  readonly status: number
  /** The message as sentences that a page can say in its reader's language; what only programs meet is English alone. */
  readonly said: Words | undefined

  constructor(code: ErrorCode, message: string | Said | Words, options?: { cause?: unknown }) {
    super(typeof message === 'string' ? message : inEnglish(message), options)
    this.name = 'MuninnError'
    this.code = code
    this.status = errors[code].status
    this.said = typeof message === 'string' ? undefined : [message].flat()
  }
}
