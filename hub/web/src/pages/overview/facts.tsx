/** Counts as they are now. */
import { Card, Group, Stack, Text } from '@mantine/core'
import { Fragment } from 'react'
import { useTranslation } from 'react-i18next'
import type { Overview } from '../../api.ts'
import { useFormat } from '../../format.ts'

export function Facts({ overview: { samples, devices, champion, queue } }: { overview: Overview }) {
  const { t } = useTranslation()
  const format = useFormat()
  const rows: [string, string][] = [
    [t('Frames kept'), `${format.number(samples.total)} (${format.bytes(samples.bytes)})`],
    [t('Labelled'), format.number(queue.accepted)],
    [t('Rejected'), format.number(queue.rejected)],
    [t('Cameras live'), `${devices.camerasLive} / ${devices.cameras}`],
    [t('Champion'), champion ? `${champion.name} v${champion.version}` : t('none yet')],
    [t('mAP50 when it was proved'), champion?.mAP50 == null ? '—' : format.number(champion.mAP50, 3)],
  ]
  return (
    <Card withBorder>
      <Text fw={600} mb="xs">
        {t('Now')}
      </Text>
      <Stack gap={6}>
        {rows.map(([name, value]) => (
          <Fragment key={name}>
            <Group justify="space-between" wrap="nowrap">
              <Text size="sm" c="dimmed">
                {name}
              </Text>
              <Text size="sm" fw={500} ta="right">
                {value}
              </Text>
            </Group>
          </Fragment>
        ))}
      </Stack>
    </Card>
  )
}
