/** Notifications: what happened, and for an error its cause and cure. */
import { notifications } from '@mantine/notifications'
import { ApiError } from '../api.ts'
import i18n from '../i18n.ts'

export function tellError(error: unknown): void {
  const unreachable = error instanceof ApiError && error.code === 'UNREACHABLE'
  notifications.show({
    color: 'red',
    title: unreachable ? i18n.t('The hub does not answer') : i18n.t('That did not work'),
    message: unreachable
      ? i18n.t('Is it running? The page tries again by itself.')
      : error instanceof Error
        ? error.message
        : String(error),
    autoClose: 8000,
  })
}

export function tell(message: string): void {
  notifications.show({ color: 'teal', message, autoClose: 3000 })
}
