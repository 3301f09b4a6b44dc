/** Bearer tokens for programs: trainers and scripts. */

import { ActionIcon, Alert, Button, Code, Group, Select, Stack, Table, Text, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { IconTrash } from '@tabler/icons-react'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useTranslation } from 'react-i18next'
import { roles } from '../../../../../protocol/http/session.ts'
import { call, type Token, useApi } from '../../api.ts'
import { useFormat } from '../../format.ts'
import { called } from '../../i18n.ts'
import { Missing } from '../../parts/missing.tsx'

export function Tokens() {
  const { t } = useTranslation()
  const format = useFormat()
  const queries = useQueryClient()
  const tokens = useApi('/api/tokens')
  const refresh = () => queries.invalidateQueries({ queryKey: ['/api/tokens'] })
  const form = useForm({ initialValues: { name: '', role: 'trainer' } })
  const add = useMutation({
    mutationFn: (values: typeof form.values) => call<Token>('POST', '/api/tokens', values),
    onSuccess: refresh,
  })
  const remove = useMutation({ mutationFn: (id: number) => call('DELETE', `/api/tokens/${id}`), onSuccess: refresh })
  return (
    <Stack>
      <Text size="sm" c="dimmed">
        {t('For programs: a trainer on another machine, or a script of yours.')}
      </Text>
      <form onSubmit={form.onSubmit((values) => add.mutate(values))}>
        <Group align="flex-end">
          <TextInput label={t('Name')} required {...form.getInputProps('name')} />
          <Select
            label={t('Role')}
            data={['trainer', ...roles].map((value) => ({ value, label: t(value) }))}
            {...form.getInputProps('role')}
          />
          <Button type="submit" loading={add.isPending}>
            {t('Make a token')}
          </Button>
        </Group>
      </form>
      {add.data?.token && (
        <Alert color="yellow" title={t('Shown this one time')}>
          <Code block>{add.data.token}</Code>
        </Alert>
      )}
      <Missing of={{ [t('Tokens')]: tokens }} h={120} />
      <Table>
        <Table.Tbody>
          {tokens.data?.map(({ id, name, role, createdAt }) => (
            <Table.Tr key={id}>
              <Table.Td>{called(name)}</Table.Td>
              <Table.Td>{t(role)}</Table.Td>
              <Table.Td>{format.time(createdAt)}</Table.Td>
              <Table.Td>
                <ActionIcon variant="subtle" color="red" aria-label={t('Remove')} onClick={() => remove.mutate(id)}>
                  <IconTrash size={16} />
                </ActionIcon>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Stack>
  )
}
