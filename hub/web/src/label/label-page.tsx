/** The label page: the image fills the room; accept, fix or reject by keys; the next picture is already there. */
import {
  ActionIcon,
  Badge,
  Box,
  Button,
  Center,
  Divider,
  Group,
  Kbd,
  Loader,
  Progress,
  Slider,
  Stack,
  Text,
  Tooltip,
  UnstyledButton,
} from '@mantine/core'
import { useMediaQuery } from '@mantine/hooks'
import {
  IconArrowBackUp,
  IconArrowForwardUp,
  IconCheck,
  IconEye,
  IconEyeOff,
  IconHelp,
  IconPlayerTrackPrev,
  IconSun,
  IconX,
} from '@tabler/icons-react'
import { useCallback, useMemo, useState, useSyncExternalStore } from 'react'
import { useTranslation } from 'react-i18next'
import { type QueueCounts, type Session, useApi } from '../api.ts'
import { useFormat } from '../format.ts'
import { Failed, Missing } from '../parts/missing.tsx'
import { BoxList } from './box-list.tsx'
import { LabelCanvas } from './canvas.tsx'
import { ClassFinder, ClassList } from './classes.tsx'
import type { Box as ImageBox } from './geometry.ts'
import { KeysHelp, useLabelKeys } from './keys.tsx'
import { LabelStore, UndoStack } from './label-store.ts'
import { useWork } from './use-work.ts'
import type { Task } from './work-queue.ts'

export default function LabelPage({ session }: { session: Session }) {
  const { t } = useTranslation()
  const [wanted] = useState(() => new URL(location.href).searchParams.get('sample') ?? undefined)
  const settings = useApi('/api/settings')
  const counts = useApi('/api/tasks/counts')
  const store = useMemo(() => new LabelStore(), [])
  const undo = useMemo(() => new UndoStack(store), [store])
  const { task, loading, failed, askAgain, hasDone, answer, back, repeatBoxes } = useWork(store, undo, wanted)
  const [label, setLabel] = useState<string | null>(null)
  const [hidden, setHidden] = useState(false)
  const [brightness, setBrightness] = useState(1)
  const [help, setHelp] = useState(false)
  const [finding, setFinding] = useState(false)
  /** A box drawn before there was any class: it waits for one. */
  const [unnamed, setUnnamed] = useState<ImageBox | null>(null)
  const state = useSyncExternalStore(store.subscribe, store.snapshot)
  const narrow = useMediaQuery('(max-width: 48em)') ?? false
  const classes = useMemo(() => settings.data?.classes ?? [], [settings.data])
  const current = label ?? classes[0]?.name ?? ''
  const colorOf = useCallback((name: string) => classes.find((each) => each.name === name)?.color ?? '#868e96', [classes])

  const choose = (name: string) => {
    setLabel(name)
    const chosen = store.selected
    if (unnamed) store.add(unnamed, name)
    else if (chosen) store.change(chosen.id, { label: name })
    setUnnamed(null)
  }
  const drawn = (box: ImageBox) => {
    if (current !== '') return store.add(box, current)
    setUnnamed(box)
    setFinding(true)
  }
  useLabelKeys({
    store,
    undo,
    picture: task?.sample ?? null,
    busy: finding || help,
    answer,
    chooseNth: (place) => {
      const name = classes[place]?.name
      if (name) choose(name)
    },
    findClass: () => setFinding(true),
    toggleBoxes: () => setHidden((before) => !before),
    back,
    repeatBoxes,
    help: () => setHelp(true),
  })

  if (loading) {
    return (
      <Center h="100vh">
        <Loader />
      </Center>
    )
  }
  return (
    <Box
      style={{
        display: 'grid',
        ...(narrow
          ? { gridTemplateRows: 'minmax(0, 1fr) minmax(0, 44%)' }
          : { gridTemplateColumns: 'minmax(0, 1fr) 264px', gridTemplateRows: 'minmax(0, 1fr)' }),
        height: 'calc(100dvh - var(--app-shell-header-height, 0px))',
      }}
    >
      <Box pos="relative">
        {task ? (
          <LabelCanvas
            store={store}
            undo={undo}
            sample={task.sample.id}
            width={task.sample.width}
            height={task.sample.height}
            colorOf={colorOf}
            label={current}
            hidden={hidden}
            brightness={brightness}
            onDrawn={drawn}
          />
        ) : failed !== null ? (
          <Center h="100%" p="lg">
            <Failed what={[t('Frames')]} error={failed} retry={askAgain} />
          </Center>
        ) : (
          <NothingWaits back={hasDone ? back : undefined} />
        )}
      </Box>
      <Stack
        gap="sm"
        p="sm"
        style={{
          [narrow ? 'borderTop' : 'borderLeft']: '1px solid var(--mantine-color-default-border)',
          minHeight: 0,
          overflowY: narrow ? 'auto' : undefined,
        }}
      >
        <Group grow gap="xs">
          <Tooltip label={t('Accept: all boxes are right')} openDelay={500}>
            <Button
              color="teal"
              leftSection={<IconCheck size={18} />}
              onClick={() => answer('accepted')}
              disabled={!task}
              data-testid="accept"
            >
              {t('Accept')}
            </Button>
          </Tooltip>
          <Tooltip label={t('Reject: the picture is of no use')} openDelay={500}>
            <Button
              color="red"
              variant="light"
              leftSection={<IconX size={18} />}
              onClick={() => answer('rejected')}
              disabled={!task}
            >
              {t('Reject')}
            </Button>
          </Tooltip>
        </Group>
        <Group justify="space-between" gap={4}>
          <Group gap={2}>
            <Tool label={t('Undo')} onClick={() => undo.undo()} disabled={!undo.canUndo} icon={<IconArrowBackUp size={18} />} />
            <Tool
              label={t('Redo')}
              onClick={() => undo.redo()}
              disabled={!undo.canRedo}
              icon={<IconArrowForwardUp size={18} />}
            />
            <Tool
              label={t('Back to the picture before')}
              onClick={back}
              disabled={!hasDone}
              icon={<IconPlayerTrackPrev size={18} />}
            />
            <Tool
              label={t('Hide the boxes')}
              onClick={() => setHidden(!hidden)}
              disabled={!task}
              icon={hidden ? <IconEyeOff size={18} /> : <IconEye size={18} />}
            />
          </Group>
          <Tool label={t('Keys')} onClick={() => setHelp(true)} icon={<IconHelp size={18} />} />
        </Group>
        <Group gap="xs" wrap="nowrap">
          <IconSun size={16} />
          <Slider
            style={{ flex: 1 }}
            min={0.5}
            max={4}
            step={0.1}
            value={brightness}
            onChange={setBrightness}
            label={(value) => `${value.toFixed(1)} ×`}
            size="sm"
            aria-label={t('Brightness')}
          />
        </Group>
        <Divider label={t('Classes')} labelPosition="left" />
        <Missing of={{ [t('Classes')]: settings }} />
        <ClassList classes={classes} current={current} onChoose={choose} />
        {settings.data && (
          <UnstyledButton onClick={() => setFinding(true)} px={8}>
            <Group justify="space-between" wrap="nowrap">
              <Text size="xs" c="dimmed">
                {classes.length === 0 ? t('No classes yet: draw a box and name it.') : t('Find a class by name')}
              </Text>
              <Kbd size="xs">C</Kbd>
            </Group>
          </UnstyledButton>
        )}
        <Divider label={`${t('Boxes')} (${task ? state.boxes.length : 0})`} labelPosition="left" />
        {task ? <BoxList store={store} state={state} colorOf={colorOf} narrow={narrow} /> : <Box style={{ flex: 1 }} />}
        {task && <Origin task={task} />}
        {counts.data && <Progression counts={counts.data} />}
      </Stack>
      <KeysHelp opened={help} onClose={() => setHelp(false)} />
      {settings.data && (
        <ClassFinder
          opened={finding}
          settings={settings.data}
          mayAdd={session.user.role === 'manager' || session.user.role === 'admin'}
          onClose={() => {
            setFinding(false)
            setUnnamed(null)
          }}
          onChoose={choose}
        />
      )}
    </Box>
  )
}

function NothingWaits({ back }: { back: (() => void) | undefined }) {
  const { t } = useTranslation()
  return (
    <Center h="100%">
      <Stack align="center" gap="xs" maw={440} p="lg">
        <IconCheck size={44} color="var(--mantine-color-teal-5)" />
        <Text fw={600} size="lg">
          {t('Nothing waits for you')}
        </Text>
        <Text c="dimmed" ta="center" size="sm">
          {t('New frames come by themselves when a detector is unsure. If none come, look at Fleet: are the cameras live?')}
        </Text>
        {back && (
          <Button variant="light" leftSection={<IconPlayerTrackPrev size={16} />} onClick={back}>
            {t('Back to the picture before')}
          </Button>
        )}
      </Stack>
    </Center>
  )
}

/** Why, where and when this frame was kept. */
function Origin({ task: { sample, priority } }: { task: Task }) {
  const { t } = useTranslation()
  const format = useFormat()
  return (
    <Stack gap={4}>
      <Group gap={4}>
        {sample.reasons.map((reason) => (
          <Badge key={reason} size="sm" variant="light">
            {t(reason)}
          </Badge>
        ))}
      </Group>
      <Text size="xs" c="dimmed">
        {sample.device} · {sample.camera} · {format.time(sample.capturedAt)}
      </Text>
      {priority < 0 && (
        <Text size="xs" c="dimmed">
          {t('A held-out picture looks like it: it will not be learnt from.')}
        </Text>
      )}
    </Stack>
  )
}

/** How far the round is from its next training. */
function Progression({ counts }: { counts: QueueCounts }) {
  const { t } = useTranslation()
  return (
    <Stack gap={4}>
      <Progress
        value={Math.min(100, (counts.sinceSnapshot / Math.max(1, counts.needed)) * 100)}
        size="sm"
        aria-label={t('Labels for the next training')}
      />
      <Group justify="space-between">
        <Text size="xs" c="dimmed">
          {t('{{done}} of {{needed}} labels', { done: counts.sinceSnapshot, needed: counts.needed })}
        </Text>
        <Text size="xs" c="dimmed">
          {t('{{count}} waiting', { count: counts.open + counts.leased })}
        </Text>
      </Group>
    </Stack>
  )
}

function Tool({
  label,
  icon,
  onClick,
  disabled,
}: {
  label: string
  icon: React.ReactNode
  onClick: () => void
  disabled?: boolean
}) {
  return (
    <Tooltip label={label} openDelay={300}>
      <ActionIcon variant="subtle" color="gray" size="lg" aria-label={label} onClick={onClick} disabled={disabled}>
        {icon}
      </ActionIcon>
    </Tooltip>
  )
}
