/** Accounts of people: who may do what. */

import { Badge, Button, Modal, PasswordInput, Select, Stack, Switch, Table, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDisclosure } from '@mantine/hooks'
import { IconPlus } from '@tabler/icons-react'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useTranslation } from 'react-i18next'
import { roles } from '../../../../../protocol/http/session.ts'
import { call, type User, useApi } from '../../api.ts'
import { useFormat } from '../../format.ts'
import { Missing } from '../../parts/missing.tsx'

export function Users({ me }: { me: number }) {
  const { t } = useTranslation()
  const format = useFormat()
  const queries = useQueryClient()
  const users = useApi('/api/users')
  const [opened, { open, close }] = useDisclosure()
  const refresh = () => queries.invalidateQueries({ queryKey: ['/api/users'] })
  const change = useMutation({
    mutationFn: ({ id, ...body }: { id: number; role?: string; disabled?: boolean }) =>
      call<User>('PATCH', `/api/users/${id}`, body),
    onSuccess: refresh,
  })
  const form = useForm({ initialValues: { name: '', password: '', role: 'operator' } })
  const add = useMutation({
    mutationFn: (values: typeof form.values) => call<User>('POST', '/api/users', values),
    onSuccess: async () => {
      close()
      form.reset()
      await refresh()
    },
  })
  return (
    <Stack>
      <Button leftSection={<IconPlus size={16} />} onClick={open} style={{ alignSelf: 'flex-start' }}>
        {t('Add a user')}
      </Button>
      <Missing of={{ [t('Users')]: users }} h={120} />
      {users.data && (
        <Table.ScrollContainer minWidth={480}>
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t('Name')}</Table.Th>
                <Table.Th>{t('Role')}</Table.Th>
                <Table.Th>{t('Since')}</Table.Th>
                <Table.Th>{t('May sign in')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {users.data.map(({ id, name, role, createdAt, disabled }) => (
                <Table.Tr key={id}>
                  <Table.Td>
                    {name} {id === me && <Badge size="xs">{t('you')}</Badge>}
                  </Table.Td>
                  <Table.Td>
                    <Select
                      size="xs"
                      w={140}
                      value={role}
                      disabled={id === me}
                      data={roles.map((value) => ({ value, label: t(value) }))}
                      onChange={(value) => value && change.mutate({ id, role: value })}
                      aria-label={t('Role')}
                    />
                  </Table.Td>
                  <Table.Td>{format.time(createdAt)}</Table.Td>
                  <Table.Td>
                    <Switch
                      checked={!disabled}
                      disabled={id === me}
                      onChange={(event) => change.mutate({ id, disabled: !event.currentTarget.checked })}
                      aria-label={t('May sign in')}
                    />
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      <Modal opened={opened} onClose={close} title={t('Add a user')}>
        <form onSubmit={form.onSubmit((values) => add.mutate(values))}>
          <Stack>
            <TextInput label={t('Name')} required data-autofocus {...form.getInputProps('name')} />
            <PasswordInput
              label={t('Password')}
              description={t('At least eight characters')}
              required
              {...form.getInputProps('password')}
            />
            <Select label={t('Role')} data={roles.map((value) => ({ value, label: t(value) }))} {...form.getInputProps('role')} />
            <Button type="submit" loading={add.isPending}>
              {t('Add')}
            </Button>
          </Stack>
        </form>
      </Modal>
    </Stack>
  )
}
