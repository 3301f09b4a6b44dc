/** Sentences for people as columns keep them: JSON text, and nothing at all where nothing is said. */
import { parseJson } from '../../protocol/parse.ts'
import { Words } from '../../protocol/sentences.ts'

export const storeWords = (words: Words): string => (words.length === 0 ? '' : JSON.stringify(words))
export const readWords = (text: string): Words => (text === '' ? [] : parseJson(Words, text, 'stored words'))
