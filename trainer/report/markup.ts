/** Markup that escapes whatever comes from outside: class names, file names and notes are text, never tags. */

/** A piece that is markup already. */
export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toString(): string {
    return this.text
  }
}

export type Piece = Markup | string | number | null | readonly Piece[]

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function escaped(piece: Piece): string {
  if (piece === null) return ''
  if (piece instanceof Markup) return piece.text
  if (typeof piece === 'string' || typeof piece === 'number') return String(piece).replace(/[&<>"']/g, (sign) => entities[sign]!)
  return piece.map(escaped).join('')
}

/** A template whose values are escaped, unless they were made by a template themselves. Attribute values stand in double quotes. */
export function markup(strings: TemplateStringsArray, ...values: readonly Piece[]): Markup {
  return new Markup(strings.reduce((text, part, i) => text + escaped(values[i - 1] ?? null) + part))
}
