/** Lets the demo answer its own queue. */
import { Card, SegmentedControl, Text } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useTranslation } from 'react-i18next'
import { call } from '../../api.ts'

export function DemoCard({ mode }: { mode: 'off' | 'person' | 'at-once' }) {
  const { t } = useTranslation()
  const queries = useQueryClient()
  const set = useMutation({
    mutationFn: (selfLabel: string) => call('POST', '/api/demo', { selfLabel }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['/api/overview'] }),
  })
  return (
    <Card withBorder>
      <Text fw={600}>{t('Demo')}</Text>
      <Text size="sm" c="dimmed" mb="sm">
        {t(
          'The camera is a street that Muninn draws, so the truth is known. It can answer the queue for you, or label yourself under Label.',
        )}
      </Text>
      <Text size="sm" mb={6}>
        {t('Let the demo label itself')}
      </Text>
      <SegmentedControl
        fullWidth
        size="xs"
        value={mode}
        onChange={(value) => set.mutate(value)}
        data={[
          { value: 'off', label: t('off') },
          { value: 'person', label: t("at a person's pace") },
          { value: 'at-once', label: t('at once') },
        ]}
      />
    </Card>
  )
}
