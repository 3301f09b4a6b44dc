/** Model versions, where they come from, what they were proved to be, and how they go out. */
import {
  Alert,
  Anchor,
  Badge,
  Button,
  Card,
  Group,
  Modal,
  MultiSelect,
  Stack,
  Table,
  Text,
  Textarea,
  Timeline,
  Tooltip,
} from '@mantine/core'
import { useForm } from '@mantine/form'
import { IconDownload, IconRocket } from '@tabler/icons-react'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import { call, type ModelVersion, type Rollout, useApi, useDeviceIds } from '../api.ts'
import { short, useFormat } from '../format.ts'
import { inWords, whom } from '../i18n.ts'
import { Missing } from '../parts/missing.tsx'
import { Empty, PageHead } from '../parts/page-head.tsx'
import { tell } from '../parts/tell.ts'
import { OpenRollout } from './models/open-rollout.tsx'

const roleColors: Readonly<Record<ModelVersion['role'], string>> = {
  champion: 'teal',
  challenger: 'indigo',
  candidate: 'gray',
  retired: 'dark',
}

export default function Models() {
  const { t } = useTranslation()
  const format = useFormat()
  const models = useApi('/api/models')
  const rollouts = useApi('/api/rollouts')
  const [chosen, setChosen] = useState<ModelVersion | null>(null)
  const nameOf = (sha256: string | null) => {
    const found = models.data?.find((each) => each.sha256 === sha256)
    return found ? `${found.manifest.name} v${found.manifest.version}` : short(sha256)
  }
  const ordered = models.data?.toSorted((a, b) => b.manifest.version - a.manifest.version) ?? []
  return (
    <>
      <PageHead
        title={t('Models')}
        about={t('What was gated is the exact file that goes out. A few devices first; back with one press.')}
      />
      <Stack>
        <Missing of={{ [t('Rollouts so far')]: rollouts }} />
        {rollouts.data
          ?.filter(({ state }) => state === 'running' || state === 'paused')
          .map((rollout) => (
            <OpenRollout key={rollout.id} id={rollout.id} nameOf={nameOf} />
          ))}
        {!models.data ? (
          <Missing of={{ [t('Models')]: models }} h={300} />
        ) : ordered.length === 0 ? (
          <Empty title={t('No model yet')}>
            {t("The first one comes from the first training, or bring your own: 'muninn up --model yours.onnx --adapter yolox'.")}
          </Empty>
        ) : (
          <Table.ScrollContainer minWidth={860}>
            <Table highlightOnHover verticalSpacing="sm">
              <Table.Thead style={{ whiteSpace: 'nowrap' }}>
                <Table.Tr>
                  <Table.Th>{t('Model')}</Table.Th>
                  <Table.Th>{t('Role')}</Table.Th>
                  <Table.Th>mAP50</Table.Th>
                  <Table.Th>{t('Comes from')}</Table.Th>
                  <Table.Th>{t('Gate')}</Table.Th>
                  <Table.Th>{t('Devices')}</Table.Th>
                  <Table.Th />
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {ordered.map((model) => {
                  const { sha256, manifest, role, gate, devices, run, createdAt, trainingFile } = model
                  return (
                    <Table.Tr key={sha256}>
                      <Table.Td>
                        <Text fw={600} size="sm">
                          {manifest.name} v{manifest.version}
                        </Text>
                        <Text size="xs" c="dimmed">
                          {short(sha256)} · {manifest.input.width} × {manifest.input.height} · {format.bytes(manifest.file.bytes)}{' '}
                          · {t('{{count}} classes', { count: manifest.classes.length })} · {format.time(createdAt)}
                          {trainingFile && (
                            <>
                              {' · int8 · '}
                              <Anchor href={`/api/models/${sha256}/training-file`} size="xs">
                                {t('float file')}
                              </Anchor>
                            </>
                          )}
                        </Text>
                      </Table.Td>
                      <Table.Td>
                        <Badge color={roleColors[role]} variant="light" miw="max-content">
                          {t(role)}
                        </Badge>
                      </Table.Td>
                      <Table.Td>{manifest.metrics.mAP50 === undefined ? '—' : format.number(manifest.metrics.mAP50, 3)}</Table.Td>
                      <Table.Td>
                        <Text size="sm">
                          {manifest.lineage.base ? nameOf(manifest.lineage.base) : t('outside')}
                          {run !== null && (
                            <>
                              {' · '}
                              <Anchor component={Link} to={`/training/${run}`} size="sm">
                                {t('Run {{id}}', { id: run })}
                              </Anchor>
                            </>
                          )}
                        </Text>
                      </Table.Td>
                      <Table.Td>
                        {gate ? (
                          <Tooltip multiline w={320} label={gate.reasons.map((reason) => inWords([reason])).join('\n')}>
                            <Badge color={gate.passed ? 'teal' : 'orange'} variant="light" miw="max-content">
                              {gate.passed ? t('passed') : t('held back')}
                            </Badge>
                          </Tooltip>
                        ) : (
                          '—'
                        )}
                      </Table.Td>
                      <Table.Td>{devices}</Table.Td>
                      <Table.Td>
                        <Group gap={6} justify="flex-end" wrap="nowrap">
                          <Tooltip label={t('Download the ONNX file')}>
                            <Button
                              component="a"
                              href={`/api/models/${sha256}/file`}
                              variant="subtle"
                              color="gray"
                              size="compact-sm"
                              aria-label={t('Download the ONNX file')}
                            >
                              <IconDownload size={16} />
                            </Button>
                          </Tooltip>
                          {role !== 'champion' && (
                            <Button
                              size="compact-sm"
                              variant={role === 'challenger' ? 'filled' : 'light'}
                              leftSection={<IconRocket size={15} />}
                              onClick={() => setChosen(model)}
                            >
                              {role === 'retired' ? t('Go back to it') : t('Deploy')}
                            </Button>
                          )}
                        </Group>
                      </Table.Td>
                    </Table.Tr>
                  )
                })}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
        )}
        {!!rollouts.data?.length && (
          <Card withBorder>
            <Text fw={600} mb="sm">
              {t('Rollouts so far')}
            </Text>
            <Timeline bulletSize={14} lineWidth={2}>
              {rollouts.data
                .toSorted((a, b) => b.id - a.id)
                .slice(0, 10)
                .map((rollout) => (
                  <Timeline.Item key={rollout.id} title={`${nameOf(rollout.model)} · ${t(rollout.state)}`}>
                    <Text size="xs" c="dimmed">
                      {format.time(rollout.createdAt)} · {whom(rollout.createdBy)} · {inWords(rollout.reason)}
                    </Text>
                  </Timeline.Item>
                ))}
            </Timeline>
          </Card>
        )}
      </Stack>
      <Modal opened={chosen !== null} onClose={() => setChosen(null)} title={t('Deploy')} size="lg">
        {chosen && (
          <Deploy model={chosen} champion={models.data?.find(({ role }) => role === 'champion')} onDone={() => setChosen(null)} />
        )}
      </Modal>
    </>
  )
}

function Deploy({ model, champion, onDone }: { model: ModelVersion; champion: ModelVersion | undefined; onDone: () => void }) {
  const { t } = useTranslation()
  const format = useFormat()
  const queries = useQueryClient()
  const [typed, setTyped] = useState('')
  const devices = useDeviceIds(typed)
  const settings = useApi('/api/settings')
  // A former champion has proved itself before.
  const needsReason = model.role === 'candidate'
  const form = useForm({
    initialValues: { canaries: [] as string[], override: '' },
    validate: { override: (value) => (needsReason && value.trim().length < 5 ? t('Say why, in a few words at least') : null) },
  })
  const deploy = useMutation({
    mutationFn: ({ canaries, override }: typeof form.values) =>
      call<Rollout>('POST', '/api/rollouts', {
        model: model.sha256,
        ...(canaries.length > 0 && { canaries }),
        ...(override.trim() && { override: override.trim() }),
      }),
    onSuccess: () => {
      tell(t('The rollout has begun'))
      for (const key of ['/api/rollouts', '/api/models', '/api/overview'])
        queries.invalidateQueries({ queryKey: [key] }).catch(() => {})
      onDone()
    },
  })
  const before = champion?.manifest
  const after = model.manifest
  const gained = before ? after.classes.filter((name) => !before.classes.includes(name)) : []
  const lost = before ? before.classes.filter((name) => !after.classes.includes(name)) : []
  const changes: [string, string, string][] = [
    [t('Model'), before ? `${before.name} v${before.version}` : '—', `${after.name} v${after.version}`],
    [
      'mAP50',
      before?.metrics.mAP50 === undefined ? '—' : format.number(before.metrics.mAP50, 3),
      after.metrics.mAP50 === undefined ? '—' : format.number(after.metrics.mAP50, 3),
    ],
    [t('Input'), before ? `${before.input.width} × ${before.input.height}` : '—', `${after.input.width} × ${after.input.height}`],
    [t('Size'), before ? format.bytes(before.file.bytes) : '—', format.bytes(after.file.bytes)],
  ]
  return (
    <form onSubmit={form.onSubmit((values) => deploy.mutate(values))}>
      <Stack>
        <Table withRowBorders={false} verticalSpacing={4}>
          <Table.Tbody>
            {changes.map(([name, from, to]) => (
              <Table.Tr key={name}>
                <Table.Td c="dimmed">{name}</Table.Td>
                <Table.Td>{from}</Table.Td>
                <Table.Td>→</Table.Td>
                <Table.Td fw={600}>{to}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
        {lost.length > 0 && <Alert color="orange">{t('It no longer knows: {{names}}', { names: lost.join(', ') })}</Alert>}
        {gained.length > 0 && <Alert color="teal">{t('It newly knows: {{names}}', { names: gained.join(', ') })}</Alert>}
        <Missing of={{ [t('Devices')]: devices, [t('Settings')]: settings }} />
        <MultiSelect
          label={t('Devices of the first wave')}
          description={
            settings.data &&
            t('Left empty, the hub chooses {{count}}. The others follow when these have proved it.', {
              count: settings.data.rollout.canaries,
            })
          }
          data={devices.data ?? []}
          searchable
          searchValue={typed}
          onSearchChange={setTyped}
          {...form.getInputProps('canaries')}
        />
        {needsReason && (
          <>
            <Alert color="orange" title={t('It has not passed the gate')}>
              {model.gate?.reasons.map((reason) => (
                <Text size="sm" key={inWords([reason])}>
                  {inWords([reason])}
                </Text>
              )) ?? t('It was never judged.')}
            </Alert>
            <Textarea
              label={t('Why it should go out all the same')}
              description={t('Kept with the rollout, under your name.')}
              required
              autosize
              {...form.getInputProps('override')}
            />
          </>
        )}
        <Group justify="flex-end">
          <Button type="submit" leftSection={<IconRocket size={16} />} loading={deploy.isPending}>
            {t('Deploy')}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
