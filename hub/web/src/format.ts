/** Numbers and times as people in front of this screen read them. */
import { useTranslation } from 'react-i18next'

export function useFormat() {
  const { i18n } = useTranslation()
  const locale = i18n.language
  return {
    time: (at: number) => new Intl.DateTimeFormat(locale, { dateStyle: 'short', timeStyle: 'medium' }).format(at),
    clock: (at: number) => new Intl.DateTimeFormat(locale, { timeStyle: 'medium' }).format(at),
    ago: (at: number) => ago(at, locale),
    number: (value: number, digits = 0) =>
      // What rounds to nothing has no sign.
      new Intl.NumberFormat(locale, {
        maximumFractionDigits: digits,
        minimumFractionDigits: digits,
        signDisplay: 'negative',
      }).format(value),
    percent: (value: number) => new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 1 }).format(value),
    bytes: (value: number) => {
      const units = ['B', 'kB', 'MB', 'GB', 'TB']
      let unit = 0
      let rest = value
      for (; rest >= 1000 && unit < units.length - 1; unit++) rest /= 1000
      return `${new Intl.NumberFormat(locale, { maximumFractionDigits: unit === 0 ? 0 : 1 }).format(rest)} ${units[unit]}`
    },
    duration: (seconds: number) => {
      if (seconds < 90) return `${Math.round(seconds)} s`
      if (seconds < 5400) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
      return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`
    },
  }
}

function ago(at: number, locale: string): string {
  const seconds = Math.round((at - Date.now()) / 1000)
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' })
  if (Math.abs(seconds) < 60) return relative.format(seconds, 'second')
  if (Math.abs(seconds) < 3600) return relative.format(Math.round(seconds / 60), 'minute')
  if (Math.abs(seconds) < 86_400) return relative.format(Math.round(seconds / 3600), 'hour')
  return relative.format(Math.round(seconds / 86_400), 'day')
}

export const short = (sha256: string | null | undefined) => (sha256 ? sha256.slice(0, 8) : '—')
