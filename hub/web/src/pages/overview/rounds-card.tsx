/** What each round cost in labels and brought in precision. */
import { BarChart, LineChart } from '@mantine/charts'
import { Badge, Box, Card, SimpleGrid, Table, Text } from '@mantine/core'
import { useTranslation } from 'react-i18next'
import type { Overview } from '../../api.ts'
import { useFormat } from '../../format.ts'
import { Empty } from '../../parts/page-head.tsx'

export function RoundsCard({ rounds }: { rounds: Overview['rounds'] }) {
  const { t } = useTranslation()
  const format = useFormat()
  const judged = rounds.filter(({ mAP50After }) => mAP50After !== null)
  const points = judged.map(({ number, mAP50Before, mAP50After, labels }) => ({
    round: `${number}`,
    before: mAP50Before,
    after: mAP50After,
    labels,
  }))
  const colors: Record<string, string> = { done: 'teal', stopped: 'gray', waiting: 'yellow' }
  return (
    <Card withBorder>
      <Text fw={600} mb="sm">
        {t('Rounds')}
      </Text>
      {rounds.length === 0 ? (
        <Empty title={t('The first round begins with the first hard frame')}>
          {t('Each round shows what it cost in labels and what it brought in precision.')}
        </Empty>
      ) : (
        <>
          {points.length > 0 && (
            <SimpleGrid cols={{ base: 1, sm: 2 }} mb="md">
              <Box>
                <Text size="xs" c="dimmed" mb={4}>
                  {t('mAP50 on held-out frames, before and after')}
                </Text>
                <LineChart
                  h={170}
                  data={points}
                  dataKey="round"
                  yAxisProps={{ domain: [0, 1], width: 34 }}
                  series={[
                    { name: 'before', label: t('champion'), color: 'gray.5' },
                    { name: 'after', label: t('challenger'), color: 'indigo.5' },
                  ]}
                  withLegend
                  connectNulls
                />
              </Box>
              <Box>
                <Text size="xs" c="dimmed" mb={4}>
                  {t('Labels spent')}
                </Text>
                <BarChart
                  h={170}
                  data={points}
                  dataKey="round"
                  yAxisProps={{ width: 34 }}
                  series={[{ name: 'labels', label: t('labels'), color: 'teal.5' }]}
                  maxBarWidth={40}
                />
              </Box>
            </SimpleGrid>
          )}
          <Table.ScrollContainer minWidth={560}>
            <Table verticalSpacing={6}>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t('Round')}</Table.Th>
                  <Table.Th>{t('State')}</Table.Th>
                  <Table.Th>{t('Labels')}</Table.Th>
                  <Table.Th>mAP50</Table.Th>
                  <Table.Th>{t('Minutes')}</Table.Th>
                  <Table.Th>{t('Begun')}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {rounds
                  .toReversed()
                  .slice(0, 8)
                  .map((each) => (
                    <Table.Tr key={each.number}>
                      <Table.Td>{each.number}</Table.Td>
                      <Table.Td>
                        <Badge variant="light" color={colors[each.state] ?? 'indigo'}>
                          {t(each.state)}
                        </Badge>
                      </Table.Td>
                      <Table.Td>{each.labels}</Table.Td>
                      <Table.Td>
                        {each.mAP50After === null
                          ? '—'
                          : `${each.mAP50Before === null ? '—' : format.number(each.mAP50Before, 3)} → ${format.number(each.mAP50After, 3)}`}
                      </Table.Td>
                      <Table.Td>{each.minutes === null ? '—' : format.number(each.minutes, 1)}</Table.Td>
                      <Table.Td>{format.clock(each.startedAt)}</Table.Td>
                    </Table.Tr>
                  ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
        </>
      )}
    </Card>
  )
}
