/** Devices and their cameras: what runs where, and what they see right now. */

import { BarChart } from '@mantine/charts'
import {
  Alert,
  Badge,
  Box,
  Button,
  Card,
  Code,
  CopyButton,
  Drawer,
  Group,
  Modal,
  Select,
  SimpleGrid,
  Skeleton,
  Stack,
  Table,
  Text,
  TextInput,
  Tooltip,
} from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDebouncedValue, useDisclosure } from '@mantine/hooks'
import { modals } from '@mantine/modals'
import { IconDownload, IconPlus, IconSearch, IconTrash } from '@tabler/icons-react'
import { keepPreviousData, useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { call, type Device, type Enrolment, type Fleet as FleetPage, type PreviewList, useApi } from '../api.ts'
import { short, useFormat } from '../format.ts'
import { BoxedImage } from '../parts/boxed-image.tsx'
import { Empty, PageHead } from '../parts/page-head.tsx'

const cameraColors = { live: 'teal', connecting: 'yellow', lost: 'red', ended: 'gray' } as const

export default function Fleet() {
  const { t } = useTranslation()
  const format = useFormat()
  const [filter, setFilter] = useState({ search: '', sort: 'id', online: '' })
  const [search] = useDebouncedValue(filter.search.trim(), 250)
  const query = new URLSearchParams({
    sort: filter.sort,
    ...(search && { search }),
    ...(filter.online && { online: filter.online }),
  }).toString()
  const pages = useInfiniteQuery({
    queryKey: ['/api/devices', query],
    queryFn: ({ pageParam }) =>
      call<FleetPage>('GET', `/api/devices?${query}${pageParam ? `&cursor=${encodeURIComponent(pageParam)}` : ''}`),
    initialPageParam: '',
    getNextPageParam: (last) => last.next,
    placeholderData: keepPreviousData,
  })
  const devices = pages.data?.pages.flatMap((page) => page.devices)
  const total = pages.data?.pages[0]?.total ?? 0
  const models = useApi('/api/models')
  const [adding, { open, close }] = useDisclosure()
  const [chosen, setChosen] = useState<string | null>(null)
  const nameOf = (sha256: string | null | undefined) => {
    const found = models.data?.find((each) => each.sha256 === sha256)
    return found ? `${found.manifest.name} v${found.manifest.version}` : short(sha256)
  }
  const device = devices?.find(({ id }) => id === chosen)
  return (
    <>
      <PageHead title={t('Fleet')} about={t('Devices beside the cameras, what they run, and what they see.')}>
        <Button leftSection={<IconPlus size={16} />} onClick={open}>
          {t('Add a device')}
        </Button>
      </PageHead>
      <Group mb="md" gap="xs">
        <TextInput
          placeholder={t('Find by name or site')}
          aria-label={t('Find by name or site')}
          leftSection={<IconSearch size={16} />}
          value={filter.search}
          onChange={({ currentTarget: { value } }) => setFilter((now) => ({ ...now, search: value }))}
          w={240}
        />
        <Select
          aria-label={t('State')}
          placeholder={t('any state')}
          data={['true', 'false'].map((value) => ({ value, label: value === 'true' ? t('online') : t('offline') }))}
          value={filter.online || null}
          onChange={(value) => setFilter((now) => ({ ...now, online: value ?? '' }))}
          clearable
          w={150}
        />
        <Select
          aria-label={t('Order')}
          data={[
            { value: 'id', label: t('by name') },
            { value: 'site', label: t('by site') },
            { value: 'last-seen', label: t('last seen first') },
          ]}
          value={filter.sort}
          onChange={(value) => setFilter((now) => ({ ...now, sort: value ?? 'id' }))}
          allowDeselect={false}
          w={170}
        />
        <Text size="sm" c="dimmed">
          {t('{{count}} devices', { count: total })}
        </Text>
      </Group>
      {!devices ? (
        <Skeleton h={240} />
      ) : devices.length === 0 && (search || filter.online) ? (
        <Empty title={t('No device fits')}>{t('Search for another part of its name or site.')}</Empty>
      ) : devices.length === 0 ? (
        <Empty title={t('No device yet')}>
          {t('Add one: you get an agent.yaml to put on it, with its password and this hub’s key.')}
        </Empty>
      ) : (
        <Table.ScrollContainer minWidth={820}>
          <Table highlightOnHover verticalSpacing="sm">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t('Device')}</Table.Th>
                <Table.Th>{t('State')}</Table.Th>
                <Table.Th>{t('Cameras')}</Table.Th>
                <Table.Th>{t('Runs')}</Table.Th>
                <Table.Th>{t('Frames a second')}</Table.Th>
                <Table.Th>{t('Sent')}</Table.Th>
                <Table.Th>{t('Last seen')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {devices.map((each) => (
                <Table.Tr key={each.id} onClick={() => setChosen(each.id)} style={{ cursor: 'pointer' }}>
                  <Table.Td>
                    <Text fw={600} size="sm">
                      {each.id}
                    </Text>
                    <Text size="xs" c="dimmed">
                      {[each.name, each.site].filter(Boolean).join(' · ')}
                    </Text>
                  </Table.Td>
                  <Table.Td>
                    <Badge color={each.online ? 'teal' : 'gray'} variant="light">
                      {each.online ? t('online') : t('offline')}
                    </Badge>
                  </Table.Td>
                  <Table.Td>
                    <Group gap={4}>
                      {each.status?.cameras.map((camera) => (
                        <Tooltip key={camera.id} label={camera.cause ?? camera.source}>
                          <Badge size="sm" variant="dot" tt="none" color={each.online ? cameraColors[camera.state] : 'gray'}>
                            {camera.id}
                          </Badge>
                        </Tooltip>
                      ))}
                    </Group>
                  </Table.Td>
                  <Table.Td>
                    <Text size="sm">{each.status?.model ? nameOf(each.status.model) : t('no model (cold start)')}</Text>
                    {each.deployment && each.deployment.state !== 'confirmed' && (
                      <Tooltip label={each.deployment.reason || t(each.deployment.state)}>
                        <Badge
                          size="xs"
                          variant="light"
                          color={['refused', 'rolled-back'].includes(each.deployment.state) ? 'red' : 'indigo'}
                        >
                          {t(each.deployment.state)} {Math.round(each.deployment.progress * 100)} %
                        </Badge>
                      </Tooltip>
                    )}
                  </Table.Td>
                  <Table.Td>
                    {each.telemetry
                      ? format.number(
                          each.telemetry.cameras.reduce((sum, { framesPerSecond }) => sum + framesPerSecond, 0),
                          1,
                        )
                      : '—'}
                  </Table.Td>
                  <Table.Td>{format.number(each.samples)}</Table.Td>
                  <Table.Td>{each.lastSeen === null ? t('never') : format.ago(each.lastSeen)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {pages.hasNextPage && (
        <Group justify="center" mt="md">
          <Button variant="light" onClick={() => pages.fetchNextPage()} loading={pages.isFetchingNextPage}>
            {t('More')}
          </Button>
        </Group>
      )}
      <Drawer opened={device !== undefined} onClose={() => setChosen(null)} position="right" size="xl" title={device?.id}>
        {device && <DeviceDetail device={device} nameOf={nameOf} onGone={() => setChosen(null)} />}
      </Drawer>
      <Modal opened={adding} onClose={close} title={t('Add a device')} size="lg">
        <AddDevice />
      </Modal>
    </>
  )
}

function DeviceDetail({
  device,
  nameOf,
  onGone,
}: {
  device: Device
  nameOf: (sha256: string | null | undefined) => string
  onGone: () => void
}) {
  const { t } = useTranslation()
  const format = useFormat()
  const queries = useQueryClient()
  const settings = useApi('/api/settings')
  const { id, status, telemetry, deployment, clockSkew } = device
  // Asking also tells the device that somebody watches; it stops sending by itself soon after.
  const previews = useQuery({
    queryKey: ['/api/devices', id, 'previews'],
    queryFn: () => call<PreviewList>('GET', `/api/devices/${id}/previews`),
    refetchInterval: 1000,
    enabled: device.online,
  })
  const remove = useMutation({
    mutationFn: () => call('DELETE', `/api/devices/${id}`),
    onSuccess: () => {
      queries.invalidateQueries({ queryKey: ['/api/devices'] }).catch(() => {})
      onGone()
    },
  })
  const colorOf = (label: string) => settings.data?.classes.find(({ name }) => name === label)?.color ?? '#4dabf7'
  const rows: [string, string][] = [
    [t('Runs'), status?.model ? `${nameOf(status.model)} (${t('slot')} ${status.slot})` : t('no model (cold start)')],
    [t('Should run'), nameOf(device.desired)],
    ...(deployment ? ([[t('Deployment'), `${t(deployment.state)} · ${deployment.reason}`]] as [string, string][]) : []),
    [t('Version'), status?.version ?? '—'],
    [t('Clock'), clockSkew === null ? '—' : t('{{seconds}} s off', { seconds: format.number(clockSkew / 1000, 1) })],
    ...(telemetry
      ? ([
          [t('Up for'), format.duration(telemetry.uptimeSeconds)],
          [t('Memory'), format.bytes(telemetry.rssBytes)],
          [
            t('Waiting to be sent'),
            `${telemetry.outbox.samples} (${format.bytes(telemetry.outbox.bytes)}), ${telemetry.outbox.evicted} ${t('given up for want of room')}`,
          ],
        ] as [string, string][])
      : []),
  ]
  const confirm = () =>
    modals.openConfirmModal({
      title: t('Remove {{id}}?', { id }),
      children: <Text size="sm">{t('It can no longer connect. Its frames and labels stay.')}</Text>,
      labels: { confirm: t('Remove'), cancel: t('Cancel') },
      confirmProps: { color: 'red' },
      onConfirm: () => remove.mutate(),
    })
  return (
    <Stack>
      {!device.online && <Alert color="gray">{t('It is offline. What it should run is kept for it.')}</Alert>}
      <SimpleGrid cols={1}>
        {status?.cameras.map((camera) => {
          const preview = previews.data?.previews.find((each) => each.camera === camera.id)
          const counts = telemetry?.cameras.find((each) => each.id === camera.id)
          return (
            <Card key={camera.id} withBorder p="sm">
              <Group justify="space-between" mb="xs">
                <Text fw={600} size="sm">
                  {camera.name}
                </Text>
                <Badge size="sm" variant="light" color={cameraColors[camera.state]}>
                  {t(camera.state)}
                </Badge>
              </Group>
              {camera.cause && (
                <Text size="xs" c="red" mb="xs">
                  {camera.cause}
                </Text>
              )}
              {preview ? (
                <LivePicture
                  device={id}
                  camera={camera.id}
                  at={preview.at}
                  width={preview.width}
                  height={preview.height}
                  boxes={preview.detections.map(({ box, label, score }) => ({ box, label, score, color: colorOf(label) }))}
                />
              ) : (
                // A camera that is lost has no picture to wait for.
                camera.state === 'live' && device.online && <Skeleton h={220} />
              )}
              <Text size="xs" c="dimmed" mt={6}>
                {camera.source}
                {camera.width > 0 && ` · ${camera.width} × ${camera.height}`}
                {counts &&
                  camera.state === 'live' &&
                  ` · ${format.number(counts.framesPerSecond, 1)} ${t('frames a second')} · ${format.number(counts.inferenceMilliseconds, 0)} ms`}
              </Text>
              {counts?.scoreHistogram.some((each) => each > 0) && (
                <>
                  <Text size="xs" c="dimmed" mt="sm">
                    {t('Detections by score since the agent started (from 0.2)')}
                  </Text>
                  <BarChart
                    h={110}
                    data={counts.scoreHistogram.map((count, i) => ({ score: (i / 10).toFixed(1), count })).slice(2)}
                    dataKey="score"
                    series={[{ name: 'count', color: 'indigo.5' }]}
                    yAxisProps={{ width: 46 }}
                  />
                </>
              )}
            </Card>
          )
        })}
      </SimpleGrid>
      <Table withRowBorders={false} verticalSpacing={3}>
        <Table.Tbody>
          {rows.map(([name, value]) => (
            <Table.Tr key={name}>
              <Table.Td c="dimmed" w={170}>
                {name}
              </Table.Td>
              <Table.Td>{value}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Group justify="flex-end">
        <Button color="red" variant="subtle" size="xs" leftSection={<IconTrash size={15} />} onClick={confirm}>
          {t('Remove this device')}
        </Button>
      </Group>
    </Stack>
  )
}

/** The picture and its boxes change together: the new picture is loaded before it is shown. */
function LivePicture({
  device,
  camera,
  at,
  ...picture
}: {
  device: string
  camera: string
  at: number
  width: number
  height: number
  boxes: React.ComponentProps<typeof BoxedImage>['boxes']
}) {
  const src = `/api/devices/${device}/previews/${camera}?at=${at}`
  const [shown, setShown] = useState<{ src: string; boxes: typeof picture.boxes } | null>(null)
  // biome-ignore lint/correctness/useExhaustiveDependencies: the boxes belong to the picture of this address
  useEffect(() => {
    const next = new Image()
    next.onload = () => setShown({ src, boxes: picture.boxes })
    next.src = src
  }, [src])
  return (
    // A camera on its side must not push the other cameras out of sight.
    <Box mx="auto" maw={`calc(62vh * ${picture.width / picture.height})`}>
      <BoxedImage
        src={shown?.src ?? src}
        width={picture.width}
        height={picture.height}
        boxes={shown?.boxes ?? picture.boxes}
        labels
      />
    </Box>
  )
}

function AddDevice() {
  const { t } = useTranslation()
  const queries = useQueryClient()
  const form = useForm({
    initialValues: { id: '', name: '', site: '' },
    validate: { id: (value) => (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(value) ? null : t('Letters, digits, - _ and . only')) },
  })
  const add = useMutation({
    mutationFn: (values: typeof form.values) => call<Enrolment>('POST', '/api/devices', values),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['/api/devices'] }),
  })
  if (add.data) {
    const { config } = add.data
    return (
      <Stack>
        <Text size="sm">
          {t(
            'Put this file on the device as agent.yaml, name its cameras in it, and start: npx muninn agent --config agent.yaml',
          )}
        </Text>
        <Code block>{config}</Code>
        <Alert color="yellow">{t('The password in it is shown this one time.')}</Alert>
        <Group justify="flex-end">
          <CopyButton value={config}>
            {({ copied, copy }) => (
              <Button variant="light" onClick={copy}>
                {copied ? t('Copied') : t('Copy')}
              </Button>
            )}
          </CopyButton>
          <Button
            component="a"
            href={`data:text/yaml;charset=utf-8,${encodeURIComponent(config)}`}
            download="agent.yaml"
            leftSection={<IconDownload size={16} />}
          >
            agent.yaml
          </Button>
        </Group>
      </Stack>
    )
  }
  return (
    <form onSubmit={form.onSubmit((values) => add.mutate(values))}>
      <Stack>
        <TextInput
          label={t('Name in the network')}
          description={t('Short and unique, such as crossing-7')}
          required
          data-autofocus
          {...form.getInputProps('id')}
        />
        <TextInput label={t('What people call it')} {...form.getInputProps('name')} />
        <TextInput label={t('Site')} {...form.getInputProps('site')} />
        <Button type="submit" loading={add.isPending}>
          {t('Add')}
        </Button>
      </Stack>
    </form>
  )
}
