/** One device: its cameras as they see right now, what it runs, how it does. */
import { BarChart } from '@mantine/charts'
import { Alert, Badge, Box, Button, Card, Group, SimpleGrid, Skeleton, Stack, Text } from '@mantine/core'
import { modals } from '@mantine/modals'
import { IconTrash } from '@tabler/icons-react'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { call, type Device, type PreviewList, useApi } from '../../api.ts'
import { useFormat } from '../../format.ts'
import { toldWords } from '../../i18n.ts'
import { BoxedImage } from '../../parts/boxed-image.tsx'
import { Facts } from '../../parts/facts.tsx'
import { Missing } from '../../parts/missing.tsx'

/** How the states of a camera look. */
export const cameraColors = { live: 'teal', connecting: 'yellow', lost: 'red', ended: 'gray' } as const

export function DeviceDetail({
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
    // What has failed is said, until somebody or a change of the device asks again.
    refetchInterval: ({ state }) => (state.status === 'error' && !state.data ? false : 1000),
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
    ...(deployment
      ? ([[t('Deployment'), [t(deployment.state), toldWords(deployment.reason)].filter(Boolean).join(' · ')]] as [
          string,
          string,
        ][])
      : []),
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
                  {toldWords(camera.cause)}
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
                camera.state === 'live' &&
                device.online &&
                (previews.data ? <Skeleton h={220} /> : <Missing of={{ [t('Live pictures')]: previews }} h={220} />)
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
      <Facts rows={rows} />
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
