import { Alert, Button, Card, Grid, Group, SimpleGrid, Stack, Text } from '@mantine/core'
import { IconBrain, IconChartLine, IconDeviceCctv, IconPolygon, IconScale, IconTruckDelivery } from '@tabler/icons-react'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import { say } from '../../../../protocol/sentences.ts'
import { imageOf, type Overview, useApi } from '../api.ts'
import { inWords } from '../i18n.ts'
import { Missing } from '../parts/missing.tsx'
import { Empty, PageHead } from '../parts/page-head.tsx'
import { DemoCard } from './overview/demo-card.tsx'
import { Facts } from './overview/facts.tsx'
import { RoundsCard } from './overview/rounds-card.tsx'
import { Arrow, Step } from './overview/step.tsx'

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
  if (!overview.data) return <Missing of={{ [t('Overview')]: overview }} h={420} />
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
      <Missing of={{ [t('Training runs')]: runs }} />
      <Card withBorder my="lg" p="lg">
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
