/** The rollout that is under way: how far it is, wave by wave, and the ways to stop it. */
import { Badge, Button, Card, Group, Progress, Stack, Text, Tooltip } from '@mantine/core'
import { modals } from '@mantine/modals'
import { IconArrowBackUp, IconPlayerPause, IconPlayerPlay } from '@tabler/icons-react'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useTranslation } from 'react-i18next'
import type { RolloutWave } from '../../../../../protocol/http/fleet.ts'
import { call, type Rollout } from '../../api.ts'
import { inWords } from '../../i18n.ts'
import { Missing } from '../../parts/missing.tsx'

/** @param nameOf what a model is called, by its SHA-256 */
export function OpenRollout({ id, nameOf }: { id: number; nameOf: (sha256: string | null) => string }) {
  const { t } = useTranslation()
  const queries = useQueryClient()
  const asked = useQuery({
    queryKey: ['/api/rollouts', id],
    queryFn: () => call<Rollout>('GET', `/api/rollouts/${id}`),
  })
  const act = useMutation({
    mutationFn: (action: 'pause' | 'resume' | 'rollback') => call('POST', `/api/rollouts/${id}/act`, { action }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['/api/rollouts'] }),
  })
  const { data: rollout } = asked
  if (!rollout) return <Missing of={{ [t('Rollout')]: asked }} h={140} />
  const back = () =>
    modals.openConfirmModal({
      title: t('Go back?'),
      children: <Text size="sm">{t('Every device goes back to {{name}}.', { name: nameOf(rollout.previous) })}</Text>,
      labels: { confirm: t('Go back'), cancel: t('Keep going') },
      confirmProps: { color: 'red' },
      onConfirm: () => act.mutate('rollback'),
    })
  const count = rollout.waves.reduce((sum, wave) => sum + sizeOf(wave), 0)
  const confirmed = rollout.waves.reduce((sum, { states }) => sum + (states.confirmed ?? 0), 0)
  return (
    <Card withBorder>
      <Group justify="space-between" mb="xs">
        <div>
          <Text fw={600}>{t('Rolling out {{name}}', { name: nameOf(rollout.model) })}</Text>
          <Text size="xs" c="dimmed">
            {t('{{done}} of {{count}} devices run it for good', { done: confirmed, count })}
            {rollout.reason.length > 0 && ` · ${inWords(rollout.reason)}`}
          </Text>
        </div>
        <Group gap="xs">
          {rollout.state === 'running' ? (
            <Button size="xs" variant="light" leftSection={<IconPlayerPause size={15} />} onClick={() => act.mutate('pause')}>
              {t('Pause')}
            </Button>
          ) : (
            <Button size="xs" leftSection={<IconPlayerPlay size={15} />} onClick={() => act.mutate('resume')}>
              {t('Go on')}
            </Button>
          )}
          <Button size="xs" color="red" variant="light" leftSection={<IconArrowBackUp size={15} />} onClick={back}>
            {t('Go back')}
          </Button>
        </Group>
      </Group>
      <Progress value={(confirmed / Math.max(1, count)) * 100} mb="sm" />
      <Stack gap="sm">
        {rollout.waves.map((wave, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a wave is its place
          <WaveOfDevices key={i} number={i + 1} wave={wave} current={i === rollout.wave} />
        ))}
      </Stack>
    </Card>
  )
}

/** Devices of a wave up to which each is named. */
const namedAll = 12

const sizeOf = ({ states }: RolloutWave) => Object.values(states).reduce((sum, each) => sum + each, 0)

/** The loop waits, too, but for people. */
const inWaves = (state: string) => (state === 'waiting' ? 'not asked yet' : state)

const colorOf = (state: string) =>
  state === 'confirmed' ? 'teal' : ['refused', 'rolled-back'].includes(state) ? 'red' : state === 'waiting' ? 'gray' : 'indigo'

function WaveOfDevices({ number, wave, current }: { number: number; wave: RolloutWave; current: boolean }) {
  const { t } = useTranslation()
  // Of a large wave only those that want attention: the others are many, and counted.
  const all = sizeOf(wave) <= namedAll
  const named = wave.devices.filter(({ state }) => all || !['waiting', 'confirmed'].includes(state))
  const more = sizeOf(wave) - named.length
  return (
    <div>
      <Group gap="xs" mb={4}>
        <Text size="xs" fw={600} c={current ? undefined : 'dimmed'}>
          {t('Wave {{number}}', { number })}
        </Text>
        {Object.entries(wave.states).map(([state, count]) => (
          <Text key={state} size="xs" c={colorOf(state)}>
            {t(inWaves(state))} {count}
          </Text>
        ))}
      </Group>
      <Group gap={4}>
        {named.map(({ device, state, reason }) => (
          <Tooltip key={device} label={reason || t(inWaves(state))}>
            <Badge variant="light" tt="none" color={colorOf(state)}>
              {device}: {t(inWaves(state))}
            </Badge>
          </Tooltip>
        ))}
        {more > 0 && (
          <Text size="xs" c="dimmed">
            {t('and {{count}} more', { count: more })}
          </Text>
        )}
      </Group>
    </div>
  )
}
