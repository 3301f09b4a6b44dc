/** Devices and their cameras: what runs where, and what they see right now. */
import { Badge, Button, Drawer, Group, Modal, Select, Table, Text, TextInput, Tooltip } from '@mantine/core'
import { useDebouncedValue, useDisclosure } from '@mantine/hooks'
import { IconPlus, IconSearch } from '@tabler/icons-react'
import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { call, type Fleet as FleetPage, useApi } from '../api.ts'
import { short, useFormat } from '../format.ts'
import { called, toldWords } from '../i18n.ts'
import { Missing } from '../parts/missing.tsx'
import { Empty, PageHead } from '../parts/page-head.tsx'
import { AddDevice } from './fleet/add-device.tsx'
import { cameraColors, DeviceDetail } from './fleet/device-detail.tsx'

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
  const total = pages.data?.pages[0]?.total
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
          {total !== undefined && t('{{count}} devices', { count: total })}
        </Text>
      </Group>
      {!devices ? (
        <Missing of={{ [t('Devices')]: pages }} h={240} />
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
                      {[each.name, each.site].filter(Boolean).map(called).join(' · ')}
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
                        <Tooltip key={camera.id} label={camera.cause ? toldWords(camera.cause) : camera.source}>
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
                      <Tooltip label={toldWords(each.deployment.reason) || t(each.deployment.state)}>
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
