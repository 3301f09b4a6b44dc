/** What kinds of errors a run's model makes, which class it takes for which, and whether its scores mean probabilities. */
import { BarChart } from '@mantine/charts'
import { Card, Progress, ScrollArea, SimpleGrid, Table, Text } from '@mantine/core'
import { useTranslation } from 'react-i18next'
import type { Run } from '../api.ts'
import { useFormat } from '../format.ts'

type Analysis = NonNullable<NonNullable<Run['report']>['analysis']>

const kinds = [
  ['Cls', 'right place, wrong class'],
  ['Loc', 'right class, poor box'],
  ['Both', 'wrong class and poor box'],
  ['Dupe', 'found a second time'],
  ['Bkg', 'nothing is there'],
  ['Miss', 'not found at all'],
] as const

/** More would be no table to look at; the full report sums the others up. */
const mostConfused = 20

export function RunAnalysis({ analysis, labels }: { analysis: Analysis; labels: readonly string[] }) {
  return (
    <SimpleGrid cols={{ base: 1, lg: 2 }}>
      <Errors errors={analysis.errors} />
      <Calibration calibration={analysis.calibration} />
      {labels.length <= mostConfused && <Confusion confusion={analysis.confusion} labels={labels} />}
    </SimpleGrid>
  )
}

function Errors({ errors }: { errors: Analysis['errors'] }) {
  const { t } = useTranslation()
  const format = useFormat()
  const most = Math.max(0.01, ...kinds.map(([kind]) => errors.kinds[kind].dAP))
  return (
    <Card withBorder>
      <Text fw={600}>{t('Where the errors are')}</Text>
      <Text size="xs" c="dimmed" mb="xs">
        {t('What mending each kind of error alone would add to AP50 (TIDE)')}
      </Text>
      <Table verticalSpacing={4}>
        <Table.Tbody>
          {kinds.map(([kind, meaning]) => (
            <Table.Tr key={kind}>
              <Table.Td>
                <Text size="sm">{t(meaning)}</Text>
                <Text size="xs" c="dimmed">
                  {kind} · {format.number(errors.kinds[kind].count)}
                </Text>
              </Table.Td>
              <Table.Td w="40%">
                <Progress value={(errors.kinds[kind].dAP / most) * 100} color="indigo.5" aria-label={t(meaning)} />
              </Table.Td>
              <Table.Td ta="right">{format.number(errors.kinds[kind].dAP, 3)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Card>
  )
}

function Calibration({ calibration: { ECE, bins } }: { calibration: Analysis['calibration'] }) {
  const { t } = useTranslation()
  const format = useFormat()
  const data = bins.map(({ low, high, count, precision }) => ({
    score: `${low.toFixed(1)}–${high.toFixed(1)}`,
    precision: count > 0 ? precision : null,
    ideal: (low + high) / 2,
  }))
  return (
    <Card withBorder>
      <Text fw={600}>{t('Does a score mean a probability?')}</Text>
      <Text size="xs" c="dimmed" mb="xs">
        {t('Expected calibration error')} {format.number(ECE, 3)}
      </Text>
      <BarChart
        h={250}
        data={data}
        dataKey="score"
        withLegend
        series={[
          { name: 'precision', label: t('share that is right'), color: 'indigo.5' },
          { name: 'ideal', label: t('what the score says'), color: 'gray.4' },
        ]}
        valueFormatter={(value) => format.number(value, 2)}
        yAxisProps={{ domain: [0, 1], width: 40 }}
      />
    </Card>
  )
}

function Confusion({ confusion, labels }: { confusion: Analysis['confusion']; labels: readonly string[] }) {
  const { t } = useTranslation()
  const names = [...labels, t('background')]
  return (
    <Card withBorder style={{ gridColumn: '1 / -1' }}>
      <Text fw={600}>{t('Which class is taken for which')}</Text>
      <Text size="xs" c="dimmed" mb="xs">
        {t('Rows are the truth, columns what the challenger says; shades are shares of the row.')}
      </Text>
      <ScrollArea>
        <Table w="auto" withRowBorders={false}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th />
              {names.map((name) => (
                <Table.Th key={name} ta="center">
                  {name}
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {confusion.map((row, truth) => {
              const total = row.reduce((sum, count) => sum + count, 0)
              return (
                <Table.Tr key={names[truth]}>
                  <Table.Th ta="right">{names[truth]}</Table.Th>
                  {row.map((count, said) => {
                    const share = total > 0 ? Math.round((count / total) * 75) : 0
                    return (
                      <Table.Td
                        key={names[said]}
                        ta="center"
                        fw={truth === said ? 700 : 400}
                        style={{ background: `color-mix(in srgb, var(--mantine-color-indigo-5) ${share}%, transparent)` }}
                      >
                        {truth === labels.length && said === truth ? '' : count || '·'}
                      </Table.Td>
                    )
                  })}
                </Table.Tr>
              )
            })}
          </Table.Tbody>
        </Table>
      </ScrollArea>
    </Card>
  )
}
