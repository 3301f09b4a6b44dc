/** Request bodies that are files. */
import { Readable } from 'node:stream'
import { MuninnError } from '../protocol/errors.ts'

/** The body of an octet-stream request. @throws MuninnError INVALID_INPUT for any other kind of body */
export function streamOf(body: unknown): Readable {
  if (body instanceof Readable) return body
  throw new MuninnError('INVALID_INPUT', 'send the file itself, as application/octet-stream')
}
