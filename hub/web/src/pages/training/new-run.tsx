/** Starts a training by hand: on which pictures, from which model, for how long. */
import { Button, Group, NumberInput, Stack } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useTranslation } from 'react-i18next'
import { call, type DatasetVersion, type ModelVersion, type Run, type Settings, useApi } from '../../api.ts'
import { Choice, type Offer } from '../../parts/choice.tsx'
import { Missing } from '../../parts/missing.tsx'

export function NewRun({ onDone }: { onDone: (id: number) => void }) {
  const { t } = useTranslation()
  const datasets = useApi('/api/datasets')
  const models = useApi('/api/models')
  const settings = useApi('/api/settings')
  // The form begins with what is set, and so not before that is known.
  if (!datasets.data || !models.data || !settings.data)
    return <Missing of={{ [t('Dataset versions')]: datasets, [t('Models')]: models, [t('Settings')]: settings }} h={250} />
  return <Form datasets={datasets.data} models={models.data} settings={settings.data} onDone={onDone} />
}

function Form({
  datasets,
  models,
  settings: { training },
  onDone,
}: {
  datasets: readonly DatasetVersion[]
  models: readonly ModelVersion[]
  settings: Settings
  onDone: (id: number) => void
}) {
  const { t } = useTranslation()
  const queries = useQueryClient()
  const champion = models.find(({ role }) => role === 'champion')
  const form = useForm({
    initialValues: {
      dataset: 'now',
      base: champion ? 'champion' : 'shipped',
      minutes: training.minutes,
      inputSize: training.inputSize,
      seed: training.seed,
    },
  })
  const start = useMutation({
    mutationFn: ({ dataset, base, ...settings }: typeof form.values) =>
      call<Run>('POST', '/api/runs', {
        ...(dataset !== 'now' && { dataset: Number(dataset) }),
        // Left out, it is the champion of that moment.
        ...(base !== 'champion' && { base: base === 'shipped' ? null : base }),
        settings,
      }),
    onSuccess: ({ id }) => {
      queries.invalidateQueries({ queryKey: ['/api/runs'] }).catch(() => {})
      onDone(id)
    },
  })
  const nameOf = ({ manifest }: ModelVersion) => `${manifest.name} v${manifest.version}`
  const pictures: Offer[] = [
    { value: 'now', label: t('a snapshot taken now') },
    ...datasets
      .toSorted((a, b) => b.id - a.id)
      .map(({ id, train, heldOut }) => ({
        value: String(id),
        label: t('{{id}}: {{train}} to train on, {{heldOut}} held out', { id, train, heldOut }),
      })),
  ]
  const bases: Offer[] = [
    ...(champion ? [{ value: 'champion', label: t('the champion, {{name}}', { name: nameOf(champion) }) }] : []),
    { value: 'shipped', label: t('the street detector that comes with Muninn') },
    ...models
      .filter((each) => each !== champion)
      .toSorted((a, b) => b.manifest.version - a.manifest.version)
      .map((each) => ({ value: each.sha256, label: `${nameOf(each)} · ${t(each.role)}` })),
  ]
  return (
    <form onSubmit={form.onSubmit((values) => start.mutate(values))}>
      <Stack>
        <Choice
          label={t('Dataset version')}
          offers={pictures}
          value={form.values.dataset}
          onChange={(dataset) => form.setFieldValue('dataset', dataset)}
        />
        <Choice
          label={t('Start from')}
          offers={bases}
          value={form.values.base}
          onChange={(base) => form.setFieldValue('base', base)}
        />
        <Group grow align="flex-end">
          <NumberInput label={t('Minutes at most')} min={0.1} {...form.getInputProps('minutes')} />
          <NumberInput label={t('Input size')} step={32} min={64} max={1280} {...form.getInputProps('inputSize')} />
          <NumberInput label={t('Seed')} min={0} {...form.getInputProps('seed')} />
        </Group>
        <Button type="submit" loading={start.isPending}>
          {t('Start')}
        </Button>
      </Stack>
    </form>
  )
}
