/** Training runs: which there are, how far they are; start one by hand. */
import { Badge, Button, Modal, Progress, Stack, Table, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { IconPlayerPlay } from '@tabler/icons-react'
import { useTranslation } from 'react-i18next'
import { useNavigate } from 'react-router'
import { type Run, useApi } from '../api.ts'
import { useFormat } from '../format.ts'
import { inWords } from '../i18n.ts'
import { Missing } from '../parts/missing.tsx'
import { Empty, PageHead } from '../parts/page-head.tsx'
import { NewRun } from './training/new-run.tsx'

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
        <Missing of={{ [t('Training runs')]: runs }} h={240} />
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
                    <Table.Td style={{ whiteSpace: 'nowrap' }}>
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
