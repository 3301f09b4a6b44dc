/** What the outbox knows of a sample without reading it: its file's name says all. */
import { MuninnError } from '../../protocol/errors.ts'

export interface Entry {
  /** SHA-256 of the JPEG. */
  readonly id: string
  /** Acquisition score, 0..1, kept to a thousandth. */
  readonly score: number
  readonly audit: boolean
  /** Size of the encoded sample. */
  readonly bytes: number
}

/** `m0734-<id>.cbor` for a mined sample of score 0.734, `a…` for an audit sample. */
export function entryName({ id, score, audit }: Omit<Entry, 'bytes'>): string {
  if (!/^[0-9a-f]{64}$/.test(id)) throw new MuninnError('INVALID_INPUT', `sample id ${JSON.stringify(id)}: not a SHA-256`)
  const thousandths = Math.round(Math.min(Math.max(score, 0), 1) * 1000)
  return `${audit ? 'a' : 'm'}${String(thousandths).padStart(4, '0')}-${id}.cbor`
}

/** Reads a name back; null for a file that is not a sample. */
export function parseEntryName(name: string): Omit<Entry, 'bytes'> | null {
  const match = /^([am])([01]\d{3})-([0-9a-f]{64})\.cbor$/.exec(name)
  return match ? { audit: match[1] === 'a', score: Number(match[2]) / 1000, id: match[3]! } : null
}
