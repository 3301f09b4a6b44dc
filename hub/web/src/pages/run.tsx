/** One training run: live curves, its log, and the report with what is still wrong. */
import { LineChart } from '@mantine/charts'
import {
  Alert,
  Anchor,
  Badge,
  Button,
  Card,
  Code,
  Grid,
  Group,
  ScrollArea,
  SegmentedControl,
  SimpleGrid,
  Stack,
  Table,
  Text,
} from '@mantine/core'
import { modals } from '@mantine/modals'
import { IconReport, IconScale, IconX } from '@tabler/icons-react'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useParams } from 'react-router'
import { call, type LogLines, type MetricPoints, type Run, type SampleView } from '../api.ts'
import { short, useFormat } from '../format.ts'
import { inWords, toldWords } from '../i18n.ts'
import { BoxedImage } from '../parts/boxed-image.tsx'
import { Missing } from '../parts/missing.tsx'
import { PageHead } from '../parts/page-head.tsx'
import { QuantizationCard } from '../parts/quantization.tsx'
import { RecipeUsed } from '../parts/recipe.tsx'
import { RunAnalysis } from '../parts/run-analysis.tsx'
import { RunProgress, runColors } from './training.tsx'

type Evaluation = NonNullable<Run['report']>['challenger']

export default function RunPage() {
  const { t } = useTranslation()
  const { id } = useParams()
  const queries = useQueryClient()
  const run = useQuery({ queryKey: ['/api/runs', id], queryFn: () => call<Run>('GET', `/api/runs/${id}`) })
  const live = run.data?.state === 'running'
  const metrics = useQuery({
    queryKey: ['/api/runs', id, 'metrics'],
    queryFn: () => call<MetricPoints>('GET', `/api/runs/${id}/metrics`),
    refetchInterval: live ? 3000 : false,
  })
  const logs = useQuery({
    queryKey: ['/api/runs', id, 'logs'],
    queryFn: () => call<LogLines>('GET', `/api/runs/${id}/logs`),
    refetchInterval: live ? 3000 : false,
  })
  const cancel = useMutation({
    mutationFn: () => call('POST', `/api/runs/${id}/cancel`),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['/api/runs'] }),
  })
  const format = useFormat()
  if (!run.data) return <Missing of={{ [t('Training run')]: run }} h={400} />
  const { state, dataset, gate, report, base, trainer, error, settings, page } = run.data
  const points = metrics.data?.points ?? []
  const curve = (...names: string[]) =>
    points.filter(({ values }) => names.some((name) => name in values)).map(({ step, values }) => ({ step, ...values }))
  const confirmCancel = () =>
    modals.openConfirmModal({
      title: t('Cancel this run?'),
      children: <Text size="sm">{t('What it has learnt so far is thrown away.')}</Text>,
      labels: { confirm: t('Cancel the run'), cancel: t('Keep going') },
      confirmProps: { color: 'red' },
      onConfirm: () => cancel.mutate(),
    })
  return (
    <>
      <PageHead
        title={t('Run {{id}}', { id })}
        about={`${t('Dataset version')} ${dataset.id} · ${dataset.train} + ${dataset.heldOut} ${t('pictures')} · ${t('from')} ${base ? short(base) : t('the street detector')} · ${settings.inputSize} px`}
      >
        <Badge color={runColors[state]} size="lg" variant="light">
          {t(state)}
        </Badge>
        {page && (
          <Button
            component="a"
            href={`/api/runs/${id}/report.html`}
            target="_blank"
            rel="noreferrer"
            variant="light"
            leftSection={<IconReport size={16} />}
          >
            {t('Full report')}
          </Button>
        )}
        {(live || state === 'queued') && (
          <Button color="red" variant="light" leftSection={<IconX size={16} />} onClick={confirmCancel}>
            {t('Cancel')}
          </Button>
        )}
      </PageHead>
      <Stack>
        {error && (
          <Alert color="red" title={t('It failed')}>
            {inWords(error)}
          </Alert>
        )}
        {live && (
          <Card withBorder>
            <RunProgress run={run.data} />
            <Text size="xs" c="dimmed" mt={4}>
              {trainer}
              {run.data.progress?.imagesPerSecond
                ? ` · ${format.number(run.data.progress.imagesPerSecond, 1)} ${t('pictures a second')}`
                : ''}
            </Text>
          </Card>
        )}
        {gate && (
          <Alert
            color={gate.passed ? 'teal' : 'orange'}
            icon={<IconScale size={20} />}
            title={gate.passed ? t('It passed the gate') : t('The gate held it back')}
          >
            <Stack gap={2}>
              {gate.reasons.map((reason) => (
                <Text size="sm" key={inWords([reason])}>
                  {inWords([reason])}
                </Text>
              ))}
              {gate.passed && (
                <Anchor component={Link} to="/models" size="sm">
                  {t('Deploy it under Models')}
                </Anchor>
              )}
            </Stack>
          </Alert>
        )}
        <Missing of={{ [t('Curves')]: metrics }} />
        {metrics.data && (
          <SimpleGrid cols={{ base: 1, lg: 2 }}>
            <Card withBorder>
              <Text fw={600} mb="xs">
                {t('Loss')}
              </Text>
              <LineChart
                h={230}
                data={curve('loss')}
                dataKey="step"
                withDots={false}
                curveType="linear"
                series={[
                  { name: 'loss', label: t('all'), color: 'indigo.5' },
                  { name: 'boxLoss', label: t('boxes'), color: 'teal.5' },
                  { name: 'classLoss', label: t('classes'), color: 'orange.5' },
                ]}
                withLegend
                yAxisProps={{ width: 40 }}
              />
            </Card>
            <Card withBorder>
              <Text fw={600} mb="xs">
                {t('mAP50 while training (a glance at some held-out frames)')}
              </Text>
              <LineChart
                h={230}
                data={curve('mAP50')}
                dataKey="step"
                series={[
                  { name: 'mAP50', color: 'indigo.5' },
                  { name: 'mAP50-95', color: 'cyan.5' },
                ]}
                withLegend
                yAxisProps={{ domain: [0, 1], width: 40 }}
              />
            </Card>
          </SimpleGrid>
        )}
        {report && <Report report={report} />}
        <RecipeUsed settings={settings} />
        {report?.quantization && <QuantizationCard quantization={report.quantization} />}
        <Card withBorder>
          <Text fw={600} mb="xs">
            {t('Log')}
          </Text>
          {logs.data ? (
            <ScrollArea.Autosize mah={260}>
              <Code block style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
                {logs.data.lines
                  .map(({ at, text, said }) => `${format.clock(at)}  ${said ? inWords(said) : toldWords(text)}`)
                  .join('\n') || t('Nothing said yet.')}
              </Code>
            </ScrollArea.Autosize>
          ) : (
            <Missing of={{ [t('Log')]: logs }} h={80} />
          )}
        </Card>
      </Stack>
    </>
  )
}

function Report({
  report: { challenger, champion, difference, analysis, trainMinutes, steps, device, trainedOn },
}: {
  report: NonNullable<Run['report']>
}) {
  const { t } = useTranslation()
  const format = useFormat()
  const told = ({ value, low, high }: Evaluation['mAP50']) =>
    `${format.number(value, 3)}  [${format.number(low, 3)}, ${format.number(high, 3)}]`
  const rows: [string, string, string, string][] = (['mAP50', 'mAP50-95'] as const).map((name) => [
    name,
    champion ? told(champion[name]) : '—',
    told(challenger[name]),
    difference ? told(difference[name]) : '—',
  ])
  rows.push([
    t('milliseconds a picture'),
    champion ? format.number(champion.millisecondsPerImage, 1) : '—',
    format.number(challenger.millisecondsPerImage, 1),
    '',
  ])
  return (
    <>
      <Card withBorder>
        <Group justify="space-between" mb="xs">
          <Text fw={600}>{t('On {{count}} held-out pictures, with 95 % intervals', { count: challenger.images })}</Text>
          <Text size="xs" c="dimmed">
            {steps} {t('steps')} · {format.number(trainMinutes, 1)} min ·{' '}
            {trainedOn ? [trainedOn.machine, ...trainedOn.told.map((each) => inWords([each]))].join(' · ') : device}
          </Text>
        </Group>
        <Table.ScrollContainer minWidth={460}>
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th />
                <Table.Th>{t('champion')}</Table.Th>
                <Table.Th>{t('challenger')}</Table.Th>
                <Table.Th>{t('difference, on the same pictures')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {rows.map(([name, before, after, gain]) => (
                <Table.Tr key={name}>
                  <Table.Td>{name}</Table.Td>
                  <Table.Td>{before}</Table.Td>
                  <Table.Td fw={600}>{after}</Table.Td>
                  <Table.Td>{gain}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      </Card>
      <PerClass challenger={challenger} champion={champion} />
      {analysis && <RunAnalysis analysis={analysis} labels={challenger.perClass.map(({ label }) => label)} />}
      <Worst challenger={challenger} />
    </>
  )
}

function PerClass({ challenger, champion }: { challenger: Evaluation; champion: Evaluation | null }) {
  const { t } = useTranslation()
  const format = useFormat()
  const [label, setLabel] = useState(challenger.perClass[0]?.label ?? '')
  const of = (evaluation: Evaluation | null) => evaluation?.perClass.find((each) => each.label === label)?.precision ?? []
  const curves = Array.from({ length: 101 }, (_, i) => ({
    recall: i / 100,
    challenger: of(challenger)[i],
    champion: of(champion)[i],
  }))
  return (
    <Grid>
      <Grid.Col span={{ base: 12, lg: 6 }}>
        <Card withBorder h="100%">
          <Text fw={600} mb="xs">
            {t('By class')}
          </Text>
          <Table.ScrollContainer minWidth={400}>
            <Table>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t('Class')}</Table.Th>
                  <Table.Th>{t('true boxes')}</Table.Th>
                  <Table.Th>AP50 {champion && t('before → after')}</Table.Th>
                  <Table.Th>{t('threshold')}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {challenger.perClass.map((each) => {
                  const before = champion?.perClass.find((other) => other.label === each.label)
                  return (
                    <Table.Tr key={each.label}>
                      <Table.Td>{each.label}</Table.Td>
                      <Table.Td>{each.truths}</Table.Td>
                      <Table.Td style={{ whiteSpace: 'nowrap' }}>
                        {each.truths === 0
                          ? '—'
                          : `${before ? `${format.number(before.AP50, 3)} → ` : ''}${format.number(each.AP50, 3)}`}
                      </Table.Td>
                      <Table.Td>{format.number(each.threshold, 2)}</Table.Td>
                    </Table.Tr>
                  )
                })}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
        </Card>
      </Grid.Col>
      <Grid.Col span={{ base: 12, lg: 6 }}>
        <Card withBorder h="100%">
          <Group justify="space-between" mb="xs">
            <Text fw={600}>{t('Precision over recall')}</Text>
            <ScrollArea maw={380}>
              <SegmentedControl
                size="xs"
                value={label}
                onChange={setLabel}
                data={challenger.perClass.map((each) => each.label)}
              />
            </ScrollArea>
          </Group>
          <LineChart
            h={250}
            data={curves}
            dataKey="recall"
            withDots={false}
            curveType="stepAfter"
            withLegend
            series={[
              { name: 'champion', label: t('champion'), color: 'gray.5' },
              { name: 'challenger', label: t('challenger'), color: 'indigo.5' },
            ]}
            yAxisProps={{ domain: [0, 1], width: 40 }}
          />
        </Card>
      </Grid.Col>
    </Grid>
  )
}

function Worst({ challenger }: { challenger: Evaluation }) {
  const { t } = useTranslation()
  if (challenger.worst.length === 0) return null
  return (
    <Card withBorder>
      <Text fw={600}>{t('Where it is still most wrong')}</Text>
      <Text size="xs" c="dimmed" mb="sm">
        {t('Solid green: the truth. Dashed orange: what the challenger says.')}
      </Text>
      <SimpleGrid cols={{ base: 1, sm: 2, xl: 4 }}>
        {challenger.worst.slice(0, 8).map((each) => (
          <WorstFrame key={each.image} worst={each} />
        ))}
      </SimpleGrid>
    </Card>
  )
}

function WorstFrame({ worst: { image, missed, spurious, detections } }: { worst: Evaluation['worst'][number] }) {
  const { t } = useTranslation()
  const sample = useQuery({ queryKey: ['/api/samples', image], queryFn: () => call<SampleView>('GET', `/api/samples/${image}`) })
  if (!sample.data) return <Missing of={{ [t('Frame')]: sample }} h={160} />
  const truth = (sample.data.annotations ?? []).map(({ box, label }) => ({ box, label, color: '#40c057' }))
  const said = detections.map(({ box, label, score }) => ({ box, label, score, color: '#fd7e14', dashed: true }))
  return (
    <Stack gap={4}>
      <Link to={`/data?sample=${image}`}>
        <BoxedImage
          sample={image}
          width={sample.data.width}
          height={sample.data.height}
          boxes={[...truth, ...said]}
          thumbnail={640}
        />
      </Link>
      <Text size="xs" c="dimmed">
        {t('{{missed}} missed, {{spurious}} made up', { missed, spurious })}
      </Text>
    </Stack>
  )
}
