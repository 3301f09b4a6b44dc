/** What came in: frames with their boxes, what was said of each, and the dataset versions made of them. */
import {
  Badge,
  Button,
  Card,
  Divider,
  Drawer,
  Group,
  Select,
  type SelectProps,
  SimpleGrid,
  Skeleton,
  Stack,
  Table,
  Tabs,
  Text,
  Timeline,
  UnstyledButton,
} from '@mantine/core'
import { IconCamera, IconPolygon } from '@tabler/icons-react'
import { keepPreviousData, useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, useSearchParams } from 'react-router'
import { call, type DatasetVersion, type HistoryEntry, type Page, type SampleView, useApi, useDeviceIds } from '../api.ts'
import { short, useFormat } from '../format.ts'
import { whom } from '../i18n.ts'
import { BoxedImage, type DrawnBox } from '../parts/boxed-image.tsx'
import { Facts } from '../parts/facts.tsx'
import { Missing } from '../parts/missing.tsx'
import { Empty, PageHead } from '../parts/page-head.tsx'
import { tell } from '../parts/tell.ts'

const reasons = ['low-confidence', 'track-gap', 'motion-without-detection', 'novelty', 'audit', 'cold-start', 'manual']
const states = ['open', 'leased', 'accepted', 'rejected']

function useColors() {
  const settings = useApi('/api/settings')
  return (label: string) => settings.data?.classes.find(({ name }) => name === label)?.color ?? '#868e96'
}

/** People's boxes where there are any, else the model's that are worth showing, dashed. */
function boxesOf(sample: SampleView, colorOf: (label: string) => string): DrawnBox[] {
  if (sample.annotations) return sample.annotations.map(({ box, label }) => ({ box, label, color: colorOf(label) }))
  return sample.detections
    .filter(({ score }) => score >= 0.3)
    .map(({ box, label, score }) => ({ box, label, score, color: colorOf(label), dashed: true }))
}

export default function Data() {
  const { t } = useTranslation()
  return (
    <>
      <PageHead
        title={t('Data')}
        about={t('Frames that came in, what people said of them, and the dataset versions made from it.')}
      />
      <Tabs defaultValue="samples" keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="samples">{t('Frames')}</Tabs.Tab>
          <Tabs.Tab value="datasets">{t('Dataset versions')}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="samples">
          <Samples />
        </Tabs.Panel>
        <Tabs.Panel value="datasets">
          <Datasets />
        </Tabs.Panel>
      </Tabs>
    </>
  )
}

function Samples() {
  const { t } = useTranslation()
  const format = useFormat()
  const [search, setSearch] = useSearchParams()
  const [filter, setFilter] = useState<Record<string, string>>({})
  const settings = useApi('/api/settings')
  const [typed, setTyped] = useState('')
  const devices = useDeviceIds(typed)
  const colorOf = useColors()
  const query = new URLSearchParams({ ...filter, limit: '48' }).toString()
  const pages = useInfiniteQuery({
    queryKey: ['/api/samples', query],
    queryFn: ({ pageParam }) =>
      call<Page>('GET', `/api/samples?${query}${pageParam ? `&cursor=${encodeURIComponent(pageParam)}` : ''}`),
    initialPageParam: '',
    getNextPageParam: (last) => last.next,
    placeholderData: keepPreviousData,
  })
  const samples = pages.data?.pages.flatMap((page) => page.samples) ?? []
  const total = pages.data?.pages[0]?.total
  const pick = (name: string, data: readonly string[], translate = true, more: Partial<SelectProps> = {}) => (
    <Select
      key={name}
      placeholder={t(`any ${name}`)}
      data={data.map((value) => ({ value, label: translate ? t(value) : value }))}
      value={filter[name] ?? null}
      onChange={(value) => setFilter(({ [name]: _, ...rest }) => (value ? { ...rest, [name]: value } : rest))}
      {...more}
      clearable
      w={168}
      size="sm"
      aria-label={t(`any ${name}`)}
    />
  )
  return (
    <>
      <Group mb="md" gap="xs">
        {pick('device', devices.data ?? [], false, { searchable: true, onSearchChange: setTyped })}
        {pick('reason', reasons)}
        {pick('state', states)}
        {pick('split', ['train', 'held-out'])}
        {pick('label', settings.data?.classes.map(({ name }) => name) ?? [], false)}
        <Text size="sm" c="dimmed">
          {total !== undefined && t('{{count}} frames', { count: total, formatted: format.number(total) })}
        </Text>
      </Group>
      <Missing of={{ [t('Frames')]: pages, [t('Devices')]: devices, [t('Classes')]: settings }} />
      {pages.isError && !pages.data ? null : pages.isPending ? (
        <SimpleGrid cols={{ base: 2, md: 3, xl: 4 }}>
          {[1, 2, 3, 4, 5, 6, 7, 8].map((i) => (
            <Skeleton key={i} h={170} />
          ))}
        </SimpleGrid>
      ) : samples.length === 0 ? (
        <Empty title={t('No frame fits')}>{t('Take a filter away, or wait: frames appear here as devices send them.')}</Empty>
      ) : (
        <SimpleGrid cols={{ base: 2, md: 3, xl: 4 }} spacing="sm">
          {samples.map((sample) => (
            <UnstyledButton key={sample.id} onClick={() => setSearch({ sample: sample.id })}>
              <Card withBorder p={6}>
                <BoxedImage
                  sample={sample.id}
                  width={sample.width}
                  height={sample.height}
                  boxes={boxesOf(sample, colorOf)}
                  thumbnail={400}
                />
                <Group justify="space-between" mt={6} gap={4} wrap="nowrap">
                  <Text size="xs" c="dimmed" truncate>
                    {sample.camera} · {format.clock(sample.capturedAt)}
                  </Text>
                  <Group gap={4} wrap="nowrap">
                    {sample.split === 'held-out' && (
                      <Badge size="xs" color="grape" variant="light">
                        {t('held-out')}
                      </Badge>
                    )}
                    <StateBadge state={sample.taskState} />
                  </Group>
                </Group>
              </Card>
            </UnstyledButton>
          ))}
        </SimpleGrid>
      )}
      {pages.hasNextPage && (
        <Group justify="center" mt="md">
          <Button variant="light" loading={pages.isFetchingNextPage} onClick={() => pages.fetchNextPage()}>
            {t('More')}
          </Button>
        </Group>
      )}
      <Drawer opened={search.get('sample') !== null} onClose={() => setSearch({})} position="right" size="xl" title={t('Frame')}>
        {search.get('sample') && <SampleDetail id={search.get('sample')!} />}
      </Drawer>
    </>
  )
}

function StateBadge({ state }: { state: SampleView['taskState'] }) {
  const { t } = useTranslation()
  const colors = { open: 'yellow', leased: 'blue', accepted: 'teal', rejected: 'red' } as const
  return state ? (
    <Badge size="xs" variant="light" color={colors[state]}>
      {t(state)}
    </Badge>
  ) : null
}

function SampleDetail({ id }: { id: string }) {
  const { t } = useTranslation()
  const format = useFormat()
  const colorOf = useColors()
  const sample = useQuery({ queryKey: ['/api/samples', id], queryFn: () => call<SampleView>('GET', `/api/samples/${id}`) })
  const history = useQuery({
    queryKey: ['/api/samples', id, 'history'],
    queryFn: () => call<HistoryEntry[]>('GET', `/api/samples/${id}/history`),
  })
  if (!sample.data) return <Missing of={{ [t('Frame')]: sample }} h={400} />
  const { width, height, device, camera, capturedAt, receivedAt, model, score, split, cluster, bytes, taskState } = sample.data
  const rows: [string, string][] = [
    [t('Camera'), `${device} / ${camera}`],
    [t('Captured'), format.time(capturedAt)],
    [t('Received'), format.time(receivedAt)],
    [t('Picture'), `${width} × ${height}, ${format.bytes(bytes)}`],
    [t('Model that looked'), short(model)],
    [t('Worth of a label'), format.percent(score)],
    [t('Part'), `${t(split)} · ${t('cluster')} ${cluster}`],
  ]
  return (
    <Stack>
      <BoxedImage sample={id} width={width} height={height} boxes={boxesOf(sample.data, colorOf)} labels />
      <Group justify="space-between">
        <Group gap={4}>
          {sample.data.reasons.map((reason) => (
            <Badge key={reason} variant="light">
              {t(reason)}
            </Badge>
          ))}
          <StateBadge state={taskState} />
        </Group>
        {taskState === 'open' && (
          <Button component={Link} to={`/label?sample=${id}`} size="xs" leftSection={<IconPolygon size={16} />}>
            {t('Label this one')}
          </Button>
        )}
      </Group>
      <Facts rows={rows} />
      <Divider label={t('History')} labelPosition="left" />
      {!history.data ? (
        <Missing of={{ [t('History')]: history }} h={60} />
      ) : history.data.length > 0 ? (
        <Timeline bulletSize={14} lineWidth={2}>
          {history.data.map((entry) => (
            <Timeline.Item key={`${entry.at} ${entry.by}`} title={`${t(entry.verdict)} · ${entry.by}`}>
              <Text size="xs" c="dimmed">
                {format.time(entry.at)} · {t('{{count}} boxes', { count: entry.annotations.length })}
                {entry.milliseconds > 0 && ` · ${format.duration(entry.milliseconds / 1000)}`}
              </Text>
            </Timeline.Item>
          ))}
        </Timeline>
      ) : (
        <Text size="sm" c="dimmed">
          {t('Nobody has looked at it yet.')}
        </Text>
      )}
    </Stack>
  )
}

function Datasets() {
  const { t } = useTranslation()
  const format = useFormat()
  const queries = useQueryClient()
  const datasets = useApi('/api/datasets')
  const snapshot = useMutation({
    mutationFn: () => call<DatasetVersion>('POST', '/api/datasets', {}),
    onSuccess: ({ id }) => {
      tell(t('Dataset version {{id}}', { id }))
      queries.invalidateQueries({ queryKey: ['/api/datasets'] }).catch(() => {})
    },
  })
  return (
    <Stack>
      <Group>
        <Button leftSection={<IconCamera size={16} />} loading={snapshot.isPending} onClick={() => snapshot.mutate()}>
          {t('Snapshot now')}
        </Button>
        <Text size="sm" c="dimmed">
          {t('A version never changes: same pictures and boxes, same digest.')}
        </Text>
      </Group>
      <Missing of={{ [t('Dataset versions')]: datasets }} h={160} />
      {datasets.data?.length === 0 && (
        <Empty title={t('No dataset version yet')}>
          {t('One is made by itself when enough labels are there, or by the button above.')}
        </Empty>
      )}
      {!!datasets.data?.length && (
        <Table.ScrollContainer minWidth={900}>
          <Table highlightOnHover>
            <Table.Thead style={{ whiteSpace: 'nowrap' }}>
              <Table.Tr>
                <Table.Th>#</Table.Th>
                <Table.Th>{t('Digest')}</Table.Th>
                <Table.Th>{t('Made')}</Table.Th>
                <Table.Th>{t('train')}</Table.Th>
                <Table.Th>{t('held-out')}</Table.Th>
                <Table.Th title={t('Labelled, but not learnt from: a held-out picture looks like it.')}>{t('left out')}</Table.Th>
                <Table.Th>{t('Boxes')}</Table.Th>
                <Table.Th>{t('Classes')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {datasets.data
                .toSorted((a, b) => b.id - a.id)
                .map((each) => (
                  <Table.Tr key={each.id}>
                    <Table.Td>{each.id}</Table.Td>
                    <Table.Td ff="monospace">{short(each.digest)}</Table.Td>
                    <Table.Td style={{ whiteSpace: 'nowrap' }}>
                      {format.time(each.createdAt)} · {whom(each.createdBy)}
                    </Table.Td>
                    <Table.Td>{each.train}</Table.Td>
                    <Table.Td>{each.heldOut}</Table.Td>
                    <Table.Td>{each.leftOut.audit + each.leftOut.cluster + each.leftOut.lookalike}</Table.Td>
                    <Table.Td>{each.annotations}</Table.Td>
                    <Table.Td>
                      <Group gap={4}>
                        {Object.entries(each.perClass).map(([label, count]) => (
                          <Badge key={label} variant="light" size="sm" tt="none">
                            {label} {count}
                          </Badge>
                        ))}
                      </Group>
                    </Table.Td>
                  </Table.Tr>
                ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
    </Stack>
  )
}
