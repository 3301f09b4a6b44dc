/** Fields of a decoded protobuf message, read one by one: what is missing or of another kind gives nothing. */
import { MuninnError } from '../../protocol/errors.ts'

export type Raw = Record<string, unknown>

export const bad = (words: string, cause?: unknown) => new MuninnError('BAD_MODEL', `ONNX: ${words}`, { cause })
export const list = (value: unknown): Raw[] => (Array.isArray(value) ? value : [])
export const text = (value: unknown): string => (typeof value === 'string' ? value : '')
export const bytes = (value: unknown): Uint8Array => (value instanceof Uint8Array ? value : new Uint8Array(0))
/** int64 as a number. Exporters write the largest int64 for "to the end" (Slice): it stays the largest there is. */
export const integer = (value: unknown): number => {
  const number = Number(value ?? 0)
  if (!Number.isInteger(number)) throw bad(`${String(value)} is no whole number`)
  return Math.min(Math.max(number, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER)
}
