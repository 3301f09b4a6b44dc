/** English is the key, so that a text is read where it stands; 中文 is looked up. What the hub says has keys of its own. */
import i18n from 'i18next'
import { initReactI18next } from 'react-i18next'
import { recognised, type Said, sentences } from '../../../protocol/sentences.ts'
import { chinese } from './chinese.ts'
import { chineseCodes, chineseSentences } from './chinese-sentences.ts'
import { english } from './english.ts'

const stored = localStorage.getItem('muninn.language')

i18n
  .use(initReactI18next)
  .init({
    lng: stored ?? (navigator.language.startsWith('zh') ? 'zh' : 'en'),
    fallbackLng: false,
    keySeparator: false,
    nsSeparator: false,
    interpolation: { escapeValue: false },
    resources: {
      zh: { translation: { ...chinese, ...chineseSentences, ...chineseCodes } },
      en: { translation: { ...english, ...sentences } },
    },
  })
  .catch(console.error)
i18n.on('languageChanged', (language) => {
  localStorage.setItem('muninn.language', language)
  document.documentElement.lang = language
})

/** What the hub said, in the language of the page. */
export function inWords(words: readonly Said[] | null | undefined): string {
  return (words ?? [])
    .map(({ key, values }) => (key === 'quote' ? toldWords(String(values.text)) : told({ key, values })))
    .join(i18n.language === 'zh' ? '' : ' ')
}

/** What a device or a trainer told as English text: in the language of the page where it is known, as it came otherwise. */
export function toldWords(text: string): string {
  const said = recognised(text)
  return said ? told(said) : text
}

/** A sentence; what a device or trainer filled in may be words of its own. */
function told({ key, values }: Said): string {
  const inner = Object.entries(values).filter(([name]) => name === 'cause' || name === 'device')
  return i18n.t(key, { ...values, ...Object.fromEntries(inner.map(([name, value]) => [name, toldWords(String(value))])) })
}

/** Who did it. People's names have no white space; the hub's own have, and are words. */
export const whom = (name: string): string => (name.includes(' ') ? i18n.t(name) : name)

/** Names that `muninn up` gives by itself (cli/up-setup.ts): they are words, until people give their own. */
const given: ReadonlySet<string> = new Set(['This machine', 'here', 'trainer of this machine'])

/** A device, a site or a token, as people or `muninn up` called it. */
export const called = (name: string): string => (given.has(name) ? i18n.t(name) : name)

export default i18n
