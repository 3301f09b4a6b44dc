/** What stands where an answer of the hub is not there: a skeleton while it is under way; when it failed, what is missing, why, and a way to ask again. */
import { Alert, Button, Group, Skeleton, Stack, Text } from '@mantine/core'
import { IconRefresh } from '@tabler/icons-react'
import { useTranslation } from 'react-i18next'
import { reasonOf } from './tell.ts'

/** A query, as far as this looks at it. */
interface Asked {
  readonly data: unknown
  readonly isError: boolean
  readonly error: unknown
  readonly refetch: () => Promise<unknown>
}

/**
 * Nothing where all is there.
 * @param of queries by what people call their answers
 * @param h height of the skeleton; left out: nothing is shown before one has failed
 */
export function Missing({ of, h }: { of: Readonly<Record<string, Asked>>; h?: number }) {
  const missing = Object.entries(of).filter(([, { data }]) => data === undefined)
  const failed = missing.filter(([, { isError }]) => isError)
  const [first] = failed
  if (!first) return missing.length > 0 && h !== undefined ? <Skeleton h={h} /> : null
  return (
    <Failed
      what={failed.map(([name]) => name)}
      error={first[1].error}
      retry={() => {
        for (const [, { refetch }] of failed) refetch().catch(() => {})
      }}
    />
  )
}

export function Failed({ what, error, retry }: { what: readonly string[]; error: unknown; retry: () => void }) {
  const { t, i18n } = useTranslation()
  const { title, message } = reasonOf(error)
  return (
    <Alert color="red" title={t('Could not be loaded: {{what}}', { what: new Intl.ListFormat(i18n.language).format(what) })}>
      <Stack gap="xs">
        {title && <Text size="sm">{title}</Text>}
        <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
          {message}
        </Text>
        <Group>
          <Button size="xs" variant="default" leftSection={<IconRefresh size={15} />} onClick={retry}>
            {t('Try again')}
          </Button>
        </Group>
      </Stack>
    </Alert>
  )
}
