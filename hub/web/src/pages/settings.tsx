/** What to look for, when to train and deploy by itself, and who may do what. */
import { Alert, Tabs } from '@mantine/core'
import { useTranslation } from 'react-i18next'
import { type Session, useApi } from '../api.ts'
import { Missing } from '../parts/missing.tsx'
import { PageHead } from '../parts/page-head.tsx'
import { LoopSettings } from './settings/loop-settings.tsx'
import { Tokens } from './settings/tokens.tsx'
import { Users } from './settings/users.tsx'

export default function SettingsPage({ session }: { session: Session }) {
  const { t } = useTranslation()
  const settings = useApi('/api/settings')
  const admin = session.user.role === 'admin'
  const manager = admin || session.user.role === 'manager'
  return (
    <>
      <PageHead title={t('Settings')} about={t('What to look for, when the loop turns by itself, and who may do what.')} />
      {!manager && <Alert mb="md">{t('You can look; a manager can change.')}</Alert>}
      <Tabs defaultValue="loop" keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="loop">{t('Classes and loop')}</Tabs.Tab>
          {admin && <Tabs.Tab value="users">{t('Users')}</Tabs.Tab>}
          {admin && <Tabs.Tab value="tokens">{t('Tokens')}</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="loop">
          {settings.data ? (
            <LoopSettings settings={settings.data} disabled={!manager} />
          ) : (
            <Missing of={{ [t('Settings')]: settings }} h={400} />
          )}
        </Tabs.Panel>
        <Tabs.Panel value="users">
          <Users me={session.user.id} />
        </Tabs.Panel>
        <Tabs.Panel value="tokens">
          <Tokens />
        </Tabs.Panel>
      </Tabs>
    </>
  )
}
