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
  Modal,
  Progress,
  ScrollArea,
  Slider,
  Stack,
  Table,
  Text,
  TextInput,
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
  IconTrash,
  IconX,
} from '@tabler/icons-react'
import { useQueryClient } from '@tanstack/react-query'
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import { useTranslation } from 'react-i18next'
import { ApiError, call, useApi } from '../api.ts'
import { useFormat } from '../format.ts'
import { tellError } from '../parts/tell.ts'
import { LabelCanvas } from './canvas.tsx'
import { moved } from './geometry.ts'
import { LabelStore, UndoStack } from './label-store.ts'
import { type Task, WorkQueue } from './work-queue.ts'

const keys: readonly (readonly [string, string])[] = [
  ['Space / Enter', 'Accept: all boxes are right'],
  ['X', 'Reject: the picture is of no use'],
  ['1 … 9', 'Class of the selected or the next box'],
  ['C', 'Find a class by name'],
  ['Drag', 'Draw a box; hold Shift to draw inside another'],
  ['Tab', 'Next box'],
  ['Delete', 'Remove the selected box'],
  ['Arrows', 'Nudge the selected box; with Shift by ten'],
  ['Ctrl Z / Ctrl Shift Z', 'Undo and redo'],
  ['V', 'Boxes of the picture before'],
  ['B', 'Back to the picture before'],
  ['H', 'Hide the boxes'],
  ['Wheel', 'Zoom at the pointer'],
  ['Right drag', 'Move the picture'],
  ['F', 'Whole picture'],
  ['?', 'This list'],
]

/** A lease is renewed by asking for the same tasks again, long before it runs out. */
const renewEvery = 60_000

export default function LabelPage() {
  const { t } = useTranslation()
  const format = useFormat()
  const queries = useQueryClient()
  const [wanted] = useState(() => new URL(location.href).searchParams.get('sample') ?? undefined)
  const settings = useApi('/api/settings')
  const counts = useApi('/api/tasks/counts')
  const store = useMemo(() => new LabelStore(), [])
  const undo = useMemo(() => new UndoStack(store), [store])
  const queue = useMemo(() => new WorkQueue({ onError: tellError }), [])
  const [tasks, setTasks] = useState<readonly Task[]>([])
  const [loading, setLoading] = useState(true)
  const [done, setDone] = useState<readonly Task[]>([])
  const [label, setLabel] = useState<string | null>(null)
  const [hidden, setHidden] = useState(false)
  const [brightness, setBrightness] = useState(1)
  const [help, setHelp] = useState(false)
  const [palette, setPalette] = useState(false)
  const state = useSyncExternalStore(store.subscribe, store.snapshot)
  const previous = useRef<typeof state.boxes>([])
  const shownAt = useRef(Date.now())
  const narrow = useMediaQuery('(max-width: 48em)')
  const task = tasks[0]
  const classes = useMemo(() => settings.data?.classes ?? [], [settings.data])
  const current = label ?? classes[0]?.name ?? ''
  const colorOf = useCallback((name: string) => classes.find((each) => each.name === name)?.color ?? '#868e96', [classes])

  const refill = useCallback(
    async (sample?: string) => {
      try {
        const leased = await queue.lease(sample)
        // What is on the screen stays first, whatever the hub's order is.
        setTasks((before) => {
          const first = sample ? undefined : leased.tasks.find(({ id }) => id === before[0]?.id)
          return first ? [first, ...leased.tasks.filter(({ id }) => id !== first.id)] : leased.tasks
        })
      } catch (error) {
        if (!(error instanceof ApiError && error.code === 'UNREACHABLE')) tellError(error)
      } finally {
        setLoading(false)
      }
    },
    [queue],
  )

  useEffect(() => {
    queue.start()
    refill(wanted).catch(() => {})
    // Asked for once: a reload goes on with the queue.
    history.replaceState(history.state, '', '/label')
    const timer = setInterval(() => refill().catch(() => {}), renewEvery)
    return () => {
      queue.stop()
      clearInterval(timer)
    }
  }, [queue, refill, wanted])
  // An empty queue looks again when the hub says that something came.
  const open = counts.data?.open ?? 0
  useEffect(() => {
    if (tasks.length === 0 && open > 0 && !loading) refill().catch(() => {})
  }, [tasks.length, open, loading, refill])

  const taskId = task?.id
  const taskVersion = task?.version
  // biome-ignore lint/correctness/useExhaustiveDependencies: a task is loaded once per version; renewals must not undo work
  useEffect(() => {
    if (!task) return
    store.load(queue.draft(task)?.boxes ?? task.boxes)
    undo.clear()
    shownAt.current = Date.now()
  }, [taskId, taskVersion])
  useEffect(() => {
    if (taskId === undefined || taskVersion === undefined) return
    return store.subscribe(({ boxes }, before) => {
      if (boxes !== before.boxes)
        queue.keepDraft(taskId, { version: taskVersion, boxes: boxes.map(({ id: _, ...rest }) => rest) })
    })
  }, [store, queue, taskId, taskVersion])

  const answer = useCallback(
    (verdict: 'accepted' | 'rejected') => {
      if (!task) return
      const { boxes } = store.state
      previous.current = boxes
      queue.submit({
        task: task.id,
        version: task.version,
        verdict,
        annotations: verdict === 'accepted' ? boxes.map(({ box, label: name, source }) => ({ box, label: name, source })) : [],
        // Someone who went away for lunch did not label for an hour.
        milliseconds: Math.min(Date.now() - shownAt.current, 300_000),
      })
      setDone((before) => [...before.slice(-49), task])
      setTasks((before) => before.slice(1))
      queries.invalidateQueries({ queryKey: ['/api/tasks/counts'] }).catch(() => {})
      if (tasks.length <= 3) refill().catch(() => {})
    },
    [task, tasks.length, queue, store, refill, queries],
  )

  const back = useCallback(async () => {
    const last = done.at(-1)
    if (!last) return
    await queue.send()
    try {
      await call('POST', `/api/tasks/${last.id}/reopen`)
      setDone((before) => before.slice(0, -1))
      await refill(last.sample.id)
    } catch (error) {
      tellError(error)
    }
  }, [done, queue, refill])

  const choose = useCallback(
    (name: string) => {
      setLabel(name)
      const chosen = store.selected
      if (chosen) store.change(chosen.id, { label: name })
    },
    [store],
  )

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement || !task || palette || help) {
        if (event.key === '?' && !palette) setHelp(true)
        return
      }
      const chosen = store.selected
      const command = event.ctrlKey || event.metaKey
      const nudge = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key]
      const handled = () => event.preventDefault()
      if (command && event.code === 'KeyZ') {
        handled()
        if (event.shiftKey) undo.redo()
        else undo.undo()
      } else if (command && event.code === 'KeyY') {
        handled()
        undo.redo()
      } else if (command || event.altKey) return
      else if (event.code === 'Space' || event.key === 'Enter') {
        handled()
        if (!event.repeat) answer('accepted')
      } else if (event.code === 'KeyX') answer('rejected')
      else if (event.key === 'Tab') {
        handled()
        store.selectNext(event.shiftKey ? -1 : 1)
      } else if ((event.key === 'Delete' || event.key === 'Backspace') && chosen) store.remove(chosen.id)
      else if (event.key === 'Escape') store.select(null)
      else if (nudge && chosen) {
        handled()
        const by = event.shiftKey ? 10 : 1
        store.change(chosen.id, { box: moved(chosen.box, nudge[0]! * by, nudge[1]! * by, task.sample) })
      } else if (/^Digit[1-9]$/.test(event.code)) {
        const name = classes[Number(event.code.slice(5)) - 1]?.name
        if (name) choose(name)
      } else if (event.code === 'KeyC') {
        handled()
        setPalette(true)
      } else if (event.code === 'KeyH') setHidden((before) => !before)
      else if (event.code === 'KeyB') back().catch(() => {})
      else if (event.code === 'KeyV')
        store.set({
          boxes: [
            ...store.state.boxes,
            ...previous.current.map((each, i) => ({ ...each, id: -Date.now() - i, source: 'person' as const, score: null })),
          ],
          selected: null,
        })
      else if (event.key === '?') setHelp(true)
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [task, store, undo, classes, answer, choose, back, palette, help])

  if (loading) {
    return (
      <Center h="100vh">
        <Loader />
      </Center>
    )
  }
  const progress = counts.data
  const toNext = progress ? Math.min(100, (progress.sinceSnapshot / Math.max(1, progress.needed)) * 100) : 0
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
          />
        ) : (
          <Center h="100%">
            <Stack align="center" gap="xs" maw={440} p="lg">
              <IconCheck size={44} color="var(--mantine-color-teal-5)" />
              <Text fw={600} size="lg">
                {t('Nothing waits for you')}
              </Text>
              <Text c="dimmed" ta="center" size="sm">
                {t('New frames come by themselves when a detector is unsure. If none come, look at Fleet: are the cameras live?')}
              </Text>
              {done.length > 0 && (
                <Button variant="light" leftSection={<IconPlayerTrackPrev size={16} />} onClick={back}>
                  {t('Back to the picture before')}
                </Button>
              )}
            </Stack>
          </Center>
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
              disabled={done.length === 0}
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
        <ScrollArea.Autosize mah="32vh" style={{ flex: 'none' }}>
          <Stack gap={2}>
            {classes.map(({ name, color }, i) => (
              <UnstyledButton
                key={name}
                onClick={() => choose(name)}
                px={8}
                py={5}
                style={{ borderRadius: 6, background: current === name ? 'var(--mantine-color-default-hover)' : undefined }}
              >
                <Group gap="xs" wrap="nowrap">
                  <Box w={12} h={12} style={{ borderRadius: 3, background: color, flex: 'none' }} />
                  <Text size="sm" truncate style={{ flex: 1 }} fw={current === name ? 600 : 400}>
                    {name}
                  </Text>
                  {i < 9 && <Kbd size="xs">{i + 1}</Kbd>}
                </Group>
              </UnstyledButton>
            ))}
            {classes.length === 0 && (
              <Text size="sm" c="dimmed">
                {t('No classes yet: add them under Settings.')}
              </Text>
            )}
          </Stack>
        </ScrollArea.Autosize>
        <Divider label={`${t('Boxes')} (${task ? state.boxes.length : 0})`} labelPosition="left" />
        <ScrollArea style={narrow ? { flex: 'none' } : { flex: 1, minHeight: 0 }}>
          <Stack gap={1}>
            {task &&
              state.boxes.map(({ id, label: name, score, source }) => (
                <Group
                  key={id}
                  gap="xs"
                  wrap="nowrap"
                  px={8}
                  py={2}
                  onClick={() => store.select(id)}
                  style={{
                    borderRadius: 6,
                    cursor: 'pointer',
                    background: state.selected === id ? 'var(--mantine-color-default-hover)' : undefined,
                  }}
                >
                  <Box w={10} h={10} style={{ borderRadius: 3, background: colorOf(name), flex: 'none' }} />
                  <Text size="sm" truncate style={{ flex: 1 }}>
                    {name}
                  </Text>
                  <Text size="xs" c="dimmed">
                    {score === null ? (source === 'person' ? t('by hand') : '') : score.toFixed(2)}
                  </Text>
                  <ActionIcon size="sm" variant="subtle" color="gray" aria-label={t('Remove')} onClick={() => store.remove(id)}>
                    <IconTrash size={14} />
                  </ActionIcon>
                </Group>
              ))}
          </Stack>
        </ScrollArea>
        {task && (
          <Stack gap={4}>
            <Group gap={4}>
              {task.sample.reasons.map((reason) => (
                <Badge key={reason} size="sm" variant="light">
                  {t(reason)}
                </Badge>
              ))}
            </Group>
            <Text size="xs" c="dimmed">
              {task.sample.device} · {task.sample.camera} · {format.time(task.sample.capturedAt)}
            </Text>
          </Stack>
        )}
        {progress && (
          <Stack gap={4}>
            <Progress value={toNext} size="sm" aria-label={t('Labels for the next training')} />
            <Group justify="space-between">
              <Text size="xs" c="dimmed">
                {t('{{done}} of {{needed}} labels', { done: progress.sinceSnapshot, needed: progress.needed })}
              </Text>
              <Text size="xs" c="dimmed">
                {t('{{count}} waiting', { count: progress.open + progress.leased })}
              </Text>
            </Group>
          </Stack>
        )}
      </Stack>
      <Modal opened={help} onClose={() => setHelp(false)} title={t('Keys')} size="md">
        <Table>
          <Table.Tbody>
            {keys.map(([key, meaning]) => (
              <Table.Tr key={key}>
                <Table.Td w={180}>
                  <Kbd>{key}</Kbd>
                </Table.Td>
                <Table.Td>{t(meaning)}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Modal>
      <Palette opened={palette} classes={classes} onClose={() => setPalette(false)} onChoose={choose} />
    </Box>
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

function Palette({
  opened,
  classes,
  onClose,
  onChoose,
}: {
  opened: boolean
  classes: readonly { name: string; color: string }[]
  onClose: () => void
  onChoose: (name: string) => void
}) {
  const { t } = useTranslation()
  const [text, setText] = useState('')
  const found = classes.filter(({ name }) => name.toLowerCase().includes(text.toLowerCase()))
  const take = (name: string | undefined) => {
    if (name) onChoose(name)
    setText('')
    onClose()
  }
  return (
    <Modal opened={opened} onClose={onClose} withCloseButton={false} size="sm" padding="sm">
      <TextInput
        data-autofocus
        placeholder={t('Find a class by name')}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => event.key === 'Enter' && take(found[0]?.name)}
      />
      <Stack gap={2} mt="xs">
        {found.slice(0, 12).map(({ name, color }) => (
          <UnstyledButton key={name} px={8} py={5} onClick={() => take(name)}>
            <Group gap="xs">
              <Box w={12} h={12} style={{ borderRadius: 3, background: color }} />
              <Text size="sm">{name}</Text>
            </Group>
          </UnstyledButton>
        ))}
      </Stack>
    </Modal>
  )
}
