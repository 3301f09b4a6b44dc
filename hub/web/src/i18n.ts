/** English is the key, so that a text is read where it stands; 中文 is looked up. */
import i18n from 'i18next'
import { initReactI18next } from 'react-i18next'
import { chinese } from './chinese.ts'
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
    resources: { zh: { translation: chinese }, en: { translation: english } },
  })
  .catch(console.error)
i18n.on('languageChanged', (language) => {
  localStorage.setItem('muninn.language', language)
  document.documentElement.lang = language
})

export default i18n
