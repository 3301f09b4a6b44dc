/** The frame of every page: who is signed in, where to go, language and light. */
import {
  ActionIcon,
  Affix,
  Alert,
  AppShell,
  Badge,
  Burger,
  Button,
  Center,
  Group,
  Loader,
  Menu,
  NavLink,
  Stack,
  Text,
  Tooltip,
  useComputedColorScheme,
  useMantineColorScheme,
} from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import {
  IconBrain,
  IconChartLine,
  IconDatabase,
  IconDeviceCctv,
  IconHome,
  IconLanguage,
  IconLogout,
  IconMoon,
  IconPlugConnectedX,
  IconPolygon,
  IconSettings,
  IconSun,
  IconUser,
} from '@tabler/icons-react'
import { useQueryClient } from '@tanstack/react-query'
import { lazy, type ReactNode, Suspense, useEffect } from 'react'
import { useTranslation } from 'react-i18next'
import { Link, Navigate, Route, Routes, useLocation } from 'react-router'
import { ApiError, call, type Session, useApi } from './api.ts'
import { useFormat } from './format.ts'
import { useLive } from './live.ts'
import { SignIn } from './pages/sign-in.tsx'
import { Empty } from './parts/page-head.tsx'

const Overview = lazy(() => import('./pages/overview.tsx'))
const LabelPage = lazy(() => import('./label/label-page.tsx'))
const Data = lazy(() => import('./pages/data.tsx'))
const Training = lazy(() => import('./pages/training.tsx'))
const RunPage = lazy(() => import('./pages/run.tsx'))
const Models = lazy(() => import('./pages/models.tsx'))
const Fleet = lazy(() => import('./pages/fleet.tsx'))
const SettingsPage = lazy(() => import('./pages/settings.tsx'))

const places = [
  { to: '/', label: 'Overview', icon: IconHome },
  { to: '/label', label: 'Label', icon: IconPolygon },
  { to: '/data', label: 'Data', icon: IconDatabase },
  { to: '/training', label: 'Training', icon: IconChartLine },
  { to: '/models', label: 'Models', icon: IconBrain },
  { to: '/fleet', label: 'Fleet', icon: IconDeviceCctv },
  { to: '/settings', label: 'Settings', icon: IconSettings },
] as const

export function App() {
  const session = useApi('/api/session')
  if (session.isPending) return <Waiting />
  if (session.error instanceof ApiError && session.error.status === 401) return <SignIn />
  if (!session.data) return <Unreachable retry={() => session.refetch()} />
  return <Signed session={session.data} />
}

function Signed({ session }: { session: Session }) {
  const { t } = useTranslation()
  const { pathname } = useLocation()
  const counts = useApi('/api/tasks/counts')
  const lostSince = useLive()
  const wide = pathname.startsWith('/label')
  const [opened, { toggle, close }] = useDisclosure()
  // biome-ignore lint/correctness/useExhaustiveDependencies: whoever has gone somewhere wants to see it
  useEffect(close, [pathname])
  return (
    <AppShell
      header={{ height: { base: 48, sm: 0 } }}
      navbar={{ width: 208, breakpoint: 'sm', collapsed: { mobile: !opened } }}
      padding={wide ? 0 : { base: 'sm', sm: 'lg' }}
    >
      <AppShell.Header hiddenFrom="sm">
        <Group h="100%" px="sm" gap="xs">
          <Burger opened={opened} onClick={toggle} size="sm" aria-label={t('Menu')} />
          <img src="/raven.svg" width={24} height={24} alt="" />
          <Text fw={700}>Muninn</Text>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="sm">
        <Group gap="xs" px="xs" pb="md" pt={4} visibleFrom="sm">
          <img src="/raven.svg" width={30} height={30} alt="" />
          <Text fw={700} size="lg">
            Muninn
          </Text>
        </Group>
        <Stack gap={2} style={{ flex: 1 }}>
          {places.map(({ to, label, icon: Icon }) => (
            <NavLink
              key={to}
              component={Link}
              to={to}
              active={to === '/' ? pathname === '/' : pathname.startsWith(to)}
              label={t(label)}
              leftSection={<Icon size={18} stroke={1.6} />}
              rightSection={
                to === '/label' && counts.data && counts.data.open + counts.data.leased > 0 ? (
                  <Badge size="sm" circle={counts.data.open + counts.data.leased < 10}>
                    {counts.data.open + counts.data.leased}
                  </Badge>
                ) : null
              }
              style={{ borderRadius: 8 }}
            />
          ))}
        </Stack>
        <Group justify="space-between" px="xs" pt="sm" style={{ borderTop: '1px solid var(--mantine-color-default-border)' }}>
          <UserMenu session={session} />
          <Group gap={4}>
            <LanguageSwitch />
            <LightSwitch />
          </Group>
        </Group>
      </AppShell.Navbar>
      <AppShell.Main>
        <Suspense fallback={<Waiting />}>
          <Routes>
            <Route path="/" element={<Overview />} />
            <Route path="/label" element={session.user.role === 'viewer' ? <LookOnly /> : <LabelPage session={session} />} />
            <Route path="/data" element={<Data />} />
            <Route path="/training" element={<Training />} />
            <Route path="/training/:id" element={<RunPage />} />
            <Route path="/models" element={<Models />} />
            <Route path="/fleet" element={<Fleet />} />
            <Route path="/settings" element={<SettingsPage session={session} />} />
            <Route path="*" element={<Navigate to="/" replace />} />
          </Routes>
        </Suspense>
        {lostSince !== null && <Lost since={lostSince} />}
      </AppShell.Main>
    </AppShell>
  )
}

function UserMenu({ session }: { session: Session }) {
  const { t } = useTranslation()
  const queries = useQueryClient()
  const leave = async () => {
    await call('DELETE', '/api/session')
    queries.clear()
    location.assign('/')
  }
  return (
    <Menu>
      <Menu.Target>
        <Button variant="subtle" color="gray" size="compact-sm" leftSection={<IconUser size={16} />} px={4}>
          {session.user.name}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{t(session.user.role)}</Menu.Label>
        <Menu.Item leftSection={<IconLogout size={16} />} onClick={leave}>
          {t('Sign out')}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}

function LanguageSwitch() {
  const { i18n, t } = useTranslation()
  const next = i18n.language.startsWith('zh') ? 'en' : 'zh'
  return (
    <Tooltip label={next === 'zh' ? '中文' : 'English'}>
      <ActionIcon variant="subtle" color="gray" aria-label={t('Language')} onClick={() => i18n.changeLanguage(next)}>
        <IconLanguage size={18} />
      </ActionIcon>
    </Tooltip>
  )
}

function LightSwitch() {
  const { t } = useTranslation()
  const { setColorScheme } = useMantineColorScheme()
  const scheme = useComputedColorScheme('light')
  return (
    <Tooltip label={scheme === 'dark' ? t('Light') : t('Dark')}>
      <ActionIcon
        variant="subtle"
        color="gray"
        aria-label={t('Light or dark')}
        onClick={() => setColorScheme(scheme === 'dark' ? 'light' : 'dark')}
      >
        {scheme === 'dark' ? <IconSun size={18} /> : <IconMoon size={18} />}
      </ActionIcon>
    </Tooltip>
  )
}

function LookOnly() {
  const { t } = useTranslation()
  return (
    <Center h="60vh" p="md">
      <Empty title={t('Your account may look, not label')}>
        {t('An admin can give you the role operator under Settings, Users.')}
      </Empty>
    </Center>
  )
}

/** Over whatever is shown, which may no longer be true. */
function Lost({ since }: { since: number }) {
  const { t } = useTranslation()
  const { time } = useFormat()
  return (
    <Affix
      position={{ bottom: 16, left: '50%' }}
      style={{ transform: 'translateX(-50%)', width: 'min(420px, calc(100vw - 32px))' }}
    >
      <Alert
        color="red"
        variant="filled"
        title={t('The hub does not answer')}
        icon={<IconPlugConnectedX size={20} />}
        role="alert"
      >
        {t('What you see is of {{time}}. The page tries again by itself.', { time: time(since) })}
      </Alert>
    </Affix>
  )
}

function Waiting(): ReactNode {
  return (
    <Center h="60vh">
      <Loader />
    </Center>
  )
}

function Unreachable({ retry }: { retry: () => void }) {
  const { t } = useTranslation()
  return (
    <Center h="100vh">
      <Stack align="center" gap="sm">
        <Text fw={600}>{t('The hub does not answer')}</Text>
        <Text c="dimmed">{t('Is it running? The page tries again by itself.')}</Text>
        <Button variant="light" onClick={retry}>
          {t('Try again')}
        </Button>
      </Stack>
    </Center>
  )
}
