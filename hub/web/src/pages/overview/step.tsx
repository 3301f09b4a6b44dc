/** A step of the loop, as a tile that leads to its page. */
import { Box, Group, Paper, Progress, Text, ThemeIcon } from '@mantine/core'
import { IconArrowRight } from '@tabler/icons-react'
import type { ReactNode } from 'react'
import { Link } from 'react-router'

export function Step({
  icon,
  title,
  value,
  about,
  extra,
  active,
  to,
  share,
}: {
  icon: ReactNode
  title: string
  value: string
  about: string
  extra: string
  active: boolean
  to: string
  share?: number
}) {
  return (
    <Paper
      component={Link}
      to={to}
      p="sm"
      withBorder
      style={{
        flex: '1 1 0',
        minWidth: 132,
        textDecoration: 'none',
        color: 'inherit',
        borderColor: active ? 'var(--mantine-primary-color-filled)' : undefined,
        borderWidth: active ? 2 : 1,
      }}
    >
      <Group gap="xs" mb={6} wrap="nowrap">
        <ThemeIcon variant={active ? 'filled' : 'light'} size="lg">
          {icon}
        </ThemeIcon>
        <Text fw={600}>{title}</Text>
      </Group>
      <Text fw={700} size="lg" lh={1.25} lineClamp={2} title={value}>
        {value}
      </Text>
      <Text size="xs" c="dimmed">
        {about}
      </Text>
      {share !== undefined && <Progress value={Math.min(100, share * 100)} size="xs" mt={6} animated={active} />}
      <Text size="xs" c="dimmed" mt={4}>
        {extra}
      </Text>
    </Paper>
  )
}

export const Arrow = () => (
  <Box style={{ alignSelf: 'center', flex: 'none' }} c="dimmed">
    <IconArrowRight size={18} />
  </Box>
)
