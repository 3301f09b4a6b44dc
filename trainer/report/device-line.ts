/** What a training ran on, and why there: the sentences of its log as one line that the page says in either language. */
import type { Said } from '../../protocol/sentences.ts'
import { type Markup, markup, type Piece } from './markup.ts'
import { say } from './words.ts'

export const deviceLine = (told: readonly Said[]): Markup =>
  markup`${told.map((said, i): Piece => [i === 0 ? null : ' · ', partOf(said)])}`

function partOf({ key, values: { device = '', milliseconds = '', cause = '' } }: Said): Piece {
  switch (key) {
    case 'log.device-quickest':
      return [device, ' (', say('the quickest here'), ')']
    case 'log.device-only':
      return [device, ' (', say('nothing else can here'), ')']
    case 'log.device-measured':
      return [device, ': ', milliseconds, ' ', say('milliseconds a picture')]
    case 'log.device-not':
      return [say('not'), ' ', device, ': ', cause]
    default:
      return [device, ' (', say('as asked for'), ')']
  }
}
