/** Title, what the page is for, and its main actions. */
import { Group, Stack, Text, Title } from '@mantine/core'
import type { ReactNode } from 'react'

export function PageHead({ title, about, children }: { title: string; about?: string; children?: ReactNode }) {
  return (
    <Group justify="space-between" align="flex-start" mb="lg">
      <Stack gap={2} style={{ flex: '1 1 240px' }}>
        <Title order={2}>{title}</Title>
        {about && (
          <Text c="dimmed" size="sm">
            {about}
          </Text>
        )}
      </Stack>
      <Group gap="sm">{children}</Group>
    </Group>
  )
}

/** What to do where there is nothing yet. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <Stack
      align="center"
      gap={6}
      py={48}
      px="md"
      style={{ border: '1px dashed var(--mantine-color-default-border)', borderRadius: 10 }}
    >
      <Text fw={600}>{title}</Text>
      <Text c="dimmed" size="sm" ta="center" maw={520} component="div">
        {children}
      </Text>
    </Stack>
  )
}
