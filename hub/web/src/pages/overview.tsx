/** The loop at a glance: what turns, where it stands, what it brought. */
import { BarChart, LineChart } from '@mantine/charts'
import {
  Alert,
  Badge,
  Box,
  Button,
  Card,
  Grid,
  Group,
  Paper,
  Progress,
  SegmentedControl,
  SimpleGrid,
  Skeleton,
  Stack,
  Table,
  Text,
  ThemeIcon,
} from '@mantine/core'
import {
  IconArrowRight,
  IconBrain,
  IconChartLine,
  IconDeviceCctv,
  IconPolygon,
  IconScale,
  IconTruckDelivery,
} from '@tabler/icons-react'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { Fragment, type ReactNode } from 'react'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import { say } from '../../../../protocol/sentences.ts'
import { call, imageOf, type Overview, useApi } from '../api.ts'
import { useFormat } from '../format.ts'
import { inWords } from '../i18n.ts'
import { Empty, PageHead } from '../parts/page-head.tsx'

type Round = Overview['rounds'][number]

const stages = ['mining', 'labelling', 'training', 'gate', 'rollout'] as const
type Stage = (typeof stages)[number]

const stageOf = (round: Round | undefined): Stage | null => {
  if (!round) return null
  if (round.state === 'waiting') return 'rollout'
  return stages.find((each) => each === round.state) ?? null
}

export default function OverviewPage() {
  const { t } = useTranslation()
  const overview = useApi('/api/overview')
  const runs = useApi('/api/runs')
  if (!overview.data) return <Skeleton h={420} />
  const { queue, samples, devices, champion, challenger, rounds, demo, settings } = overview.data
  const ordered = rounds.toSorted((a, b) => a.number - b.number)
  const round = ordered.at(-1)
  const active = stageOf(round)
  const run = runs.data?.find(({ id }) => id === overview.data.run)
  const progress = run?.progress
  const name = (model: typeof champion) => (model ? `${model.name} v${model.version}` : t('none yet'))
  return (
    <>
      <PageHead
        title={t('Overview')}
        about={t('Frames that a detector was unsure of come in, people label them, the detector learns, and goes out again.')}
      />
      {overview.data.disk.full && (
        <Alert mb="lg" color="red" title={t('No room')}>
          {inWords([say('error.disk-full')])}
        </Alert>
      )}
      <Card withBorder mb="lg" p="lg">
        <Group gap={6} wrap="nowrap" align="stretch" style={{ overflowX: 'auto' }}>
          <Step
            icon={<IconDeviceCctv size={22} />}
            to="/fleet"
            active={active === 'mining'}
            title={t('Mine')}
            value={String(samples.lastHour)}
            about={t('frames in the last hour')}
            extra={t('{{online}} of {{count}} devices online', { online: devices.online, count: devices.total })}
          />
          <Arrow />
          <Step
            icon={<IconPolygon size={22} />}
            to="/label"
            active={active === 'labelling'}
            title={t('Label')}
            value={`${queue.sinceSnapshot} / ${queue.needed}`}
            about={t('labels for this round')}
            extra={t('{{count}} waiting', { count: queue.open + queue.leased })}
            share={queue.sinceSnapshot / Math.max(1, queue.needed)}
          />
          <Arrow />
          <Step
            icon={<IconChartLine size={22} />}
            to={run ? `/training/${run.id}` : '/training'}
            active={active === 'training'}
            title={t('Train')}
            value={
              progress && run?.state === 'running'
                ? `${Math.round((progress.step / Math.max(1, progress.steps)) * 100)} %`
                : (run?.state && t(run.state)) || '—'
            }
            about={progress && run?.state === 'running' ? t(progress.phase) : t('last run')}
            extra={
              overview.data.trainers > 0
                ? t('{{count}} trainers', { count: overview.data.trainers })
                : t('no trainer is connected')
            }
            share={progress && run?.state === 'running' ? progress.step / Math.max(1, progress.steps) : undefined}
          />
          <Arrow />
          <Step
            icon={<IconScale size={22} />}
            to="/models"
            active={active === 'gate'}
            title={t('Prove')}
            value={round?.gate ? (round.gate.passed ? t('passed') : t('held back')) : '—'}
            about={t('challenger against champion')}
            extra={challenger ? name(challenger) : ''}
          />
          <Arrow />
          <Step
            icon={<IconTruckDelivery size={22} />}
            to="/models"
            active={active === 'rollout'}
            title={t('Roll out')}
            value={name(champion)}
            about={t('champion')}
            extra={settings.autoDeploy ? t('by itself') : t('by a manager')}
          />
        </Group>
        {round?.state === 'waiting' && (
          <Alert mt="md" color="teal" icon={<IconBrain size={18} />} title={t('A better model waits for you')}>
            <Group justify="space-between">
              <Text size="sm">{inWords(round.gate?.reasons.slice(0, 1))}</Text>
              <Button component={Link} to="/models" size="xs">
                {t('Look at it and deploy')}
              </Button>
            </Group>
          </Alert>
        )}
        {round && round.note.length > 0 && (
          <Text mt="sm" size="sm" c="dimmed">
            {t('Round {{number}}', { number: round.number })}: {inWords(round.note)}
          </Text>
        )}
      </Card>
      <Grid>
        <Grid.Col span={{ base: 12, lg: 8 }}>
          <Stack>
            <RoundsCard rounds={ordered} />
            <Card withBorder>
              <Text fw={600} mb="sm">
                {t('Latest hard frames')}
              </Text>
              {samples.latest.length === 0 ? (
                <Empty title={t('No frame has come yet')}>
                  {t(
                    'As soon as a detector is unsure of something, the frame appears here. A device without a model sends by motion, novelty and chance.',
                  )}
                </Empty>
              ) : (
                <SimpleGrid cols={{ base: 3, md: 4, xl: 6 }} spacing="xs">
                  {samples.latest.slice(0, 12).map((id) => (
                    <Link key={id} to={`/data?sample=${id}`}>
                      <img
                        src={imageOf(id, 240)}
                        alt=""
                        loading="lazy"
                        style={{ width: '100%', aspectRatio: '4 / 3', objectFit: 'cover', borderRadius: 6, display: 'block' }}
                      />
                    </Link>
                  ))}
                </SimpleGrid>
              )}
            </Card>
          </Stack>
        </Grid.Col>
        <Grid.Col span={{ base: 12, lg: 4 }}>
          <Stack>
            {demo && <DemoCard mode={demo.selfLabel} />}
            <Facts overview={overview.data} />
          </Stack>
        </Grid.Col>
      </Grid>
    </>
  )
}

function Step({
  icon,
  title,
  value,
  about,
  extra,
  active,
  to,
  share,
}: {
  icon: ReactNode
  title: string
  value: string
  about: string
  extra: string
  active: boolean
  to: string
  share?: number
}) {
  return (
    <Paper
      component={Link}
      to={to}
      p="sm"
      withBorder
      style={{
        flex: '1 1 0',
        minWidth: 132,
        textDecoration: 'none',
        color: 'inherit',
        borderColor: active ? 'var(--mantine-primary-color-filled)' : undefined,
        borderWidth: active ? 2 : 1,
      }}
    >
      <Group gap="xs" mb={6} wrap="nowrap">
        <ThemeIcon variant={active ? 'filled' : 'light'} size="lg">
          {icon}
        </ThemeIcon>
        <Text fw={600}>{title}</Text>
      </Group>
      <Text fw={700} size="lg" truncate title={value}>
        {value}
      </Text>
      <Text size="xs" c="dimmed">
        {about}
      </Text>
      {share !== undefined && <Progress value={Math.min(100, share * 100)} size="xs" mt={6} animated={active} />}
      <Text size="xs" c="dimmed" mt={4}>
        {extra}
      </Text>
    </Paper>
  )
}

const Arrow = () => (
  <Box style={{ alignSelf: 'center', flex: 'none' }} c="dimmed">
    <IconArrowRight size={18} />
  </Box>
)

function RoundsCard({ rounds }: { rounds: readonly Round[] }) {
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

function DemoCard({ mode }: { mode: 'off' | 'person' | 'at-once' }) {
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

function Facts({ overview: { samples, devices, champion, queue } }: { overview: Overview }) {
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
