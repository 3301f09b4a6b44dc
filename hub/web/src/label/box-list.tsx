/** The boxes of the picture as a list: class, score or hand, and a bin. */
import { ActionIcon, Box, Group, ScrollArea, Stack, Text } from '@mantine/core'
import { IconTrash } from '@tabler/icons-react'
import { useTranslation } from 'react-i18next'
import type { LabelState, LabelStore } from './label-store.ts'

export function BoxList({
  store,
  state,
  colorOf,
  narrow,
}: {
  store: LabelStore
  state: LabelState
  colorOf: (label: string) => string
  narrow: boolean
}) {
  const { t } = useTranslation()
  return (
    <ScrollArea style={narrow ? { flex: 'none' } : { flex: 1, minHeight: 0 }}>
      <Stack gap={1}>
        {state.boxes.map(({ id, label, score, source }) => (
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
            <Box w={10} h={10} style={{ borderRadius: 3, background: colorOf(label), flex: 'none' }} />
            <Text size="sm" truncate style={{ flex: 1 }}>
              {label}
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
  )
}
