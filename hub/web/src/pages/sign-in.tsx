/** Signing in: by the one-time link that the hub prints, or by name and password. */
import { Button, Card, Center, Group, PasswordInput, Stack, Text, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useEffect, useRef } from 'react'
import { useTranslation } from 'react-i18next'
import { call, type Session } from '../api.ts'

export function SignIn() {
  const { t } = useTranslation()
  const queries = useQueryClient()
  const form = useForm({ initialValues: { name: '', password: '' } })
  const signIn = useMutation({
    mutationFn: (body: { token: string } | { name: string; password: string }) => call<Session>('POST', '/api/session', body),
    onSuccess: (session) => queries.setQueryData(['/api/session'], session),
  })
  const tried = useRef(false)
  useEffect(() => {
    const url = new URL(location.href)
    const token = url.searchParams.get('token')
    if (!token || tried.current) return
    tried.current = true
    // Out of the address bar and the history at once: the token works only this one time.
    url.searchParams.delete('token')
    history.replaceState(null, '', url)
    signIn.mutate({ token })
  }, [signIn])
  return (
    <Center h="100vh" p="md">
      <Card withBorder shadow="sm" w={380} p="xl">
        <form onSubmit={form.onSubmit((values) => signIn.mutate(values))}>
          <Stack>
            <Group gap="sm">
              <img src="/raven.svg" width={40} height={40} alt="" />
              <div>
                <Text fw={700} size="xl" lh={1.1}>
                  Muninn
                </Text>
                <Text size="sm" c="dimmed">
                  {t('Detectors that learn from their cameras')}
                </Text>
              </div>
            </Group>
            <TextInput label={t('Name')} autoComplete="username" required {...form.getInputProps('name')} />
            <PasswordInput label={t('Password')} autoComplete="current-password" required {...form.getInputProps('password')} />
            <Button type="submit" loading={signIn.isPending}>
              {t('Sign in')}
            </Button>
            <Text size="xs" c="dimmed">
              {t('No account yet? The hub prints a link at each start that signs an admin in, once.')}
            </Text>
          </Stack>
        </form>
      </Card>
    </Center>
  )
}
