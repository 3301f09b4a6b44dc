/** When each class was added: what was labelled before that moment was not labelled for it. Pure. */
import type { Settings } from '../../protocol/http/fleet.ts'

type Classes = Settings['classes']

/**
 * The classes as they are stored. The first ones of a project are there from its start. A new name, a renamed class too, is there from now
 * on, for boxes of other names do not count for it. A known one keeps its moment unless another is given.
 */
export function withTimes(wanted: Classes, known: Classes, now: number): Classes {
  return wanted.map(({ since, ...rest }) => {
    const before = known.find(({ name }) => name === rest.name)
    const at = before ? (since ?? before.since) : known.length > 0 ? now : undefined
    return at === undefined ? rest : { ...rest, since: at }
  })
}

/** Names of the classes that were added after a moment. */
export const addedAfter = (classes: Classes, at: number): string[] =>
  classes.filter(({ since }) => since !== undefined && since > at).map(({ name }) => name)
