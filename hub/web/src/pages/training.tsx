/** Training runs: which there are, how far they are; start one by hand. */
import { Badge, Button, Group, Modal, NumberInput, Progress, Select, Skeleton, Stack, Table, Text } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDisclosure } from '@mantine/hooks'
import { IconPlayerPlay } from '@tabler/icons-react'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useTranslation } from 'react-i18next'
import { useNavigate } from 'react-router'
import { call, type Run, useApi } from '../api.ts'
import { useFormat } from '../format.ts'
import { inWords } from '../i18n.ts'
import { Empty, PageHead } from '../parts/page-head.tsx'

export const runColors: Readonly<Record<Run['state'], string>> = {
  queued: 'gray',
  running: 'indigo',
  finished: 'teal',
  failed: 'red',
  cancelled: 'orange',
}

export default function Training() {
  const { t } = useTranslation()
  const format = useFormat()
  const navigate = useNavigate()
  const runs = useApi('/api/runs')
  const [opened, { open, close }] = useDisclosure()
  return (
    <>
      <PageHead
        title={t('Training')}
        about={t('Each run turns a dataset version into a model and proves it against the champion.')}
      >
        <Button leftSection={<IconPlayerPlay size={16} />} onClick={open}>
          {t('Train now')}
        </Button>
      </PageHead>
      {!runs.data ? (
        <Skeleton h={240} />
      ) : runs.data.length === 0 ? (
        <Empty title={t('No run yet')}>
          {t('One starts by itself when enough frames are labelled (Settings says how many), or by the button above.')}
        </Empty>
      ) : (
        <Table.ScrollContainer minWidth={760}>
          <Table highlightOnHover verticalSpacing="sm">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>#</Table.Th>
                <Table.Th>{t('State')}</Table.Th>
                <Table.Th w={220}>{t('Progress')}</Table.Th>
                <Table.Th>{t('Pictures')}</Table.Th>
                <Table.Th>mAP50</Table.Th>
                <Table.Th>{t('Gate')}</Table.Th>
                <Table.Th>{t('Begun')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {runs.data
                .toSorted((a, b) => b.id - a.id)
                .map((run) => (
                  <Table.Tr key={run.id} onClick={() => navigate(`/training/${run.id}`)} style={{ cursor: 'pointer' }}>
                    <Table.Td>{run.id}</Table.Td>
                    <Table.Td>
                      <Badge color={runColors[run.state]} variant="light">
                        {t(run.state)}
                      </Badge>
                    </Table.Td>
                    <Table.Td>
                      <RunProgress run={run} />
                    </Table.Td>
                    <Table.Td>
                      {run.dataset.train} + {run.dataset.heldOut}
                    </Table.Td>
                    <Table.Td>
                      {run.report
                        ? `${run.report.champion ? `${format.number(run.report.champion.mAP50.value, 3)} → ` : ''}${format.number(run.report.challenger.mAP50.value, 3)}`
                        : '—'}
                    </Table.Td>
                    <Table.Td>
                      {run.gate ? (
                        <Badge color={run.gate.passed ? 'teal' : 'gray'} variant="light">
                          {run.gate.passed ? t('passed') : t('held back')}
                        </Badge>
                      ) : (
                        '—'
                      )}
                    </Table.Td>
                    <Table.Td>{format.time(run.createdAt)}</Table.Td>
                  </Table.Tr>
                ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      <Modal opened={opened} onClose={close} title={t('Train now')}>
        <NewRun onDone={(id) => navigate(`/training/${id}`)} />
      </Modal>
    </>
  )
}

export function RunProgress({ run }: { run: Run }) {
  const { t } = useTranslation()
  const format = useFormat()
  if (run.state !== 'running' || !run.progress)
    return run.error ? (
      <Text size="xs" c="red" lineClamp={2}>
        {inWords(run.error)}
      </Text>
    ) : null
  const { phase, step, steps, etaSeconds } = run.progress
  return (
    <Stack gap={4}>
      <Progress value={(step / Math.max(1, steps)) * 100} animated size="sm" />
      <Text size="xs" c="dimmed">
        {t(phase)} {step} / {steps}
        {etaSeconds !== null && ` · ${t('{{time}} left', { time: format.duration(etaSeconds) })}`}
      </Text>
    </Stack>
  )
}

function NewRun({ onDone }: { onDone: (id: number) => void }) {
  const { t } = useTranslation()
  const queries = useQueryClient()
  const datasets = useApi('/api/datasets')
  const models = useApi('/api/models')
  const settings = useApi('/api/settings')
  const form = useForm({
    initialValues: {
      dataset: 'now',
      base: 'champion',
      minutes: settings.data?.training.minutes ?? 30,
      inputSize: settings.data?.training.inputSize ?? 320,
      seed: 1,
    },
  })
  const hasChampion = (models.data ?? []).some(({ role }) => role === 'champion')
  const start = useMutation({
    mutationFn: ({ dataset, base, minutes, inputSize, seed }: typeof form.values) =>
      call<Run>('POST', '/api/runs', {
        ...(dataset !== 'now' && { dataset: Number(dataset) }),
        ...(base !== 'champion' && { base: base === 'shipped' ? null : base }),
        settings: { minutes, inputSize, seed },
      }),
    onSuccess: ({ id }) => {
      queries.invalidateQueries({ queryKey: ['/api/runs'] }).catch(() => {})
      onDone(id)
    },
  })
  return (
    <form onSubmit={form.onSubmit((values) => start.mutate(values))}>
      <Stack>
        <Select
          label={t('Dataset version')}
          data={[
            { value: 'now', label: t('a snapshot taken now') },
            ...(datasets.data ?? []).map(({ id, train, heldOut }) => ({
              value: String(id),
              label: `${id} (${train} + ${heldOut})`,
            })),
          ]}
          {...form.getInputProps('dataset')}
        />
        <Select
          label={t('Start from')}
          data={[
            // Without a champion the hub starts from the street detector by itself.
            ...(hasChampion ? [{ value: 'champion', label: t('the champion') }] : []),
            { value: hasChampion ? 'shipped' : 'champion', label: t('the street detector that comes with Muninn') },
            ...(models.data ?? []).map(({ sha256, manifest }) => ({
              value: sha256,
              label: `${manifest.name} v${manifest.version}`,
            })),
          ]}
          {...form.getInputProps('base')}
        />
        <Group grow align="flex-end">
          <NumberInput label={t('Minutes at most')} min={0.1} {...form.getInputProps('minutes')} />
          <NumberInput label={t('Input size')} step={32} min={64} max={1280} {...form.getInputProps('inputSize')} />
          <NumberInput label={t('Seed')} min={0} {...form.getInputProps('seed')} />
        </Group>
        <Button type="submit" loading={start.isPending}>
          {t('Start')}
        </Button>
      </Stack>
    </form>
  )
}
