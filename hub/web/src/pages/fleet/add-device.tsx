/** Enrols a device and hands out its configuration, once. */
import { Alert, Button, Code, CopyButton, Group, Stack, Text, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { IconDownload } from '@tabler/icons-react'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useTranslation } from 'react-i18next'
import { call, type Enrolment } from '../../api.ts'

export function AddDevice() {
  const { t } = useTranslation()
  const queries = useQueryClient()
  const form = useForm({
    initialValues: { id: '', name: '', site: '' },
    validate: { id: (value) => (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(value) ? null : t('Letters, digits, - _ and . only')) },
  })
  const add = useMutation({
    mutationFn: (values: typeof form.values) => call<Enrolment>('POST', '/api/devices', values),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['/api/devices'] }),
  })
  if (add.data) {
    const { config } = add.data
    return (
      <Stack>
        <Text size="sm">
          {t(
            'Put this file on the device as agent.yaml, name its cameras in it, and start: npx muninn agent --config agent.yaml',
          )}
        </Text>
        <Code block>{config}</Code>
        <Alert color="yellow">{t('The password in it is shown this one time.')}</Alert>
        <Group justify="flex-end">
          <CopyButton value={config}>
            {({ copied, copy }) => (
              <Button variant="light" onClick={copy}>
                {copied ? t('Copied') : t('Copy')}
              </Button>
            )}
          </CopyButton>
          <Button
            component="a"
            href={`data:text/yaml;charset=utf-8,${encodeURIComponent(config)}`}
            download="agent.yaml"
            leftSection={<IconDownload size={16} />}
          >
            agent.yaml
          </Button>
        </Group>
      </Stack>
    )
  }
  return (
    <form onSubmit={form.onSubmit((values) => add.mutate(values))}>
      <Stack>
        <TextInput
          label={t('Name in the network')}
          description={t('Short and unique, such as crossing-7')}
          required
          data-autofocus
          {...form.getInputProps('id')}
        />
        <TextInput label={t('What people call it')} {...form.getInputProps('name')} />
        <TextInput label={t('Site')} {...form.getInputProps('site')} />
        <Button type="submit" loading={add.isPending}>
          {t('Add')}
        </Button>
      </Stack>
    </form>
  )
}
