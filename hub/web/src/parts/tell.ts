/** Notifications: what happened, and for an error its cause and cure. */
import { notifications } from '@mantine/notifications'
import { ApiError } from '../api.ts'
import i18n, { inWords } from '../i18n.ts'

export function tellError(error: unknown): void {
  const { title, message } = reasonOf(error)
  notifications.show({ color: 'red', title: title ?? i18n.t('That did not work'), message, autoClose: 8000 })
}

/** What is shown stays and is no longer what the hub has: said once, however many questions fail. A hub that is away is told by its page. */
export function tellStale(error: unknown): void {
  if (error instanceof ApiError && (error.code === 'UNREACHABLE' || error.status === 401)) return
  const { message } = reasonOf(error)
  notifications.show({ id: 'stale', color: 'orange', title: i18n.t('What you see may be old'), message, autoClose: 8000 })
}

/** @returns no title where the message says it all */
export function reasonOf(error: unknown): { title: string | null; message: string } {
  return error instanceof ApiError && error.code === 'UNREACHABLE'
    ? { title: i18n.t('The hub does not answer'), message: i18n.t('Is it running? The page tries again by itself.') }
    : { title: null, message: messageOf(error) }
}

function messageOf(error: unknown): string {
  if (!(error instanceof ApiError)) return error instanceof Error ? error.message : String(error)
  if (error.said) return inWords(error.said)
  // What only programs meet as a rule is English: its code says what it means, the message where.
  return i18n.language === 'en' || !i18n.exists(error.code) ? error.message : `${i18n.t(error.code)} (${error.message})`
}

export function tell(message: string): void {
  notifications.show({ color: 'teal', message, autoClose: 3000 })
}
