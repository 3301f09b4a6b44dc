/** Turns outside data into a typed value, or refuses it telling every fault at once. */
import type { Static, TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { MuninnError } from './errors.ts'

/**
 * Checks `value` against `schema` and fills in its defaults.
 * @param what how the data is called in the error message ("sample", "agent.yaml", ...)
 * @throws MuninnError INVALID_INPUT naming each fault and where it is
 */
export function parse<T extends TSchema>(schema: T, value: unknown, what: string): Static<T> {
  const filled = Value.Default(schema, Value.Clone(value))
  if (Value.Check(schema, filled)) return filled
  const faults = Value.Errors(schema, filled)
    .filter((fault) => fault.message !== 'schema is false')
    .slice(0, 8)
    .map((fault) => {
      const extra = 'additionalProperties' in fault.params ? ` (${String(fault.params.additionalProperties)})` : ''
      return `${fault.instancePath || '/'} ${fault.message}${extra}`
    })
  throw new MuninnError('INVALID_INPUT', `${what}: ${faults.join('; ')}`)
}

/** As `parse`, for JSON text. */
export function parseJson<T extends TSchema>(schema: T, text: string, what: string): Static<T> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new MuninnError('INVALID_INPUT', `${what}: not JSON (${cause instanceof Error ? cause.message : String(cause)})`, {
      cause,
    })
  }
  return parse(schema, value, what)
}
