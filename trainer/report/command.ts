/** A command as a shell takes it. */

const plain = /^[\w./:@%+=,-]+$/

export const quoted = (text: string): string => (plain.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`)

/** @param flags in order; those that are undefined or false are left out, true stands alone */
export function commandLine(name: string, flags: Readonly<Record<string, string | boolean | undefined>>): string {
  const parts = Object.entries(flags).flatMap(([flag, value]) =>
    value === undefined || value === false ? [] : value === true ? [`--${flag}`] : [`--${flag} ${quoted(value)}`],
  )
  return [`muninn ${name}`, ...parts].join(' ')
}
