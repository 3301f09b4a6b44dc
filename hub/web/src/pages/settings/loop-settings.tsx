/** Classes, training, gate, rollout and mining: everything of the loop that can be set, in one form. */
import {
  ActionIcon,
  Anchor,
  Button,
  Card,
  ColorInput,
  Group,
  Kbd,
  NumberInput,
  ScrollArea,
  Select,
  SimpleGrid,
  Slider,
  Stack,
  Switch,
  Text,
  TextInput,
} from '@mantine/core'
import { useForm } from '@mantine/form'
import { IconPlus, IconTrash } from '@tabler/icons-react'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { useTranslation } from 'react-i18next'
import { call, type Settings } from '../../api.ts'
import { useFormat } from '../../format.ts'
import { classColors, colorOfNewClass } from '../../parts/class-colors.ts'
import { RecipeFields } from '../../parts/recipe.tsx'
import { tell } from '../../parts/tell.ts'

export function LoopSettings({ settings, disabled }: { settings: Settings; disabled: boolean }) {
  const { t } = useTranslation()
  const format = useFormat()
  const queries = useQueryClient()
  const form = useForm<Settings>({ initialValues: settings })
  const save = useMutation({
    mutationFn: (values: Settings) => call<Settings>('PUT', '/api/settings', values),
    onSuccess: (saved) => {
      queries.setQueryData(['/api/settings'], saved)
      // With what the hub filled in: when a class was added.
      form.setInitialValues(saved)
      form.setValues(saved)
      form.resetDirty(saved)
      tell(t('Saved'))
    },
  })
  const { classes, mining } = form.values
  const addClass = () => form.insertListItem('classes', { name: '', color: colorOfNewClass(classes.length) })
  return (
    <form
      onSubmit={form.onSubmit((values) =>
        save.mutate({ ...values, classes: values.classes.filter(({ name }) => name.trim() !== '') }),
      )}
    >
      <fieldset disabled={disabled} style={{ border: 0, padding: 0, margin: 0 }}>
        {/* Two columns of their own: beside a long card no room stays empty. */}
        <SimpleGrid cols={{ base: 1, lg: 2 }}>
          <Stack>
            <Section
              title={t('Classes')}
              about={t(
                'What the detector finds and people label. A new class starts with the next training; what was learnt before is kept, and pictures labelled before it count neither for nor against it.',
              )}
            >
              {/* Eighty classes of a foreign detector must not push the rest of the settings out of sight. */}
              <ScrollArea.Autosize mah={420} offsetScrollbars>
                <Stack gap="sm">
                  {classes.map(({ name, since }, i) => (
                    // biome-ignore lint/suspicious/noArrayIndexKey: a class in the form is its place
                    <Stack key={i} gap={2}>
                      <Group gap="xs" wrap="nowrap">
                        <Kbd w={26} ta="center" style={{ visibility: i < 9 ? 'visible' : 'hidden' }}>
                          {i + 1}
                        </Kbd>
                        <TextInput
                          style={{ flex: 1 }}
                          placeholder={t('name')}
                          aria-label={t('name')}
                          title={name}
                          {...form.getInputProps(`classes.${i}.name`)}
                        />
                        <ColorInput
                          // On a phone the swatch alone, or the name beside it would be cut off.
                          w={{ base: 40, xs: 120 }}
                          format="hex"
                          withEyeDropper={false}
                          swatches={[...classColors]}
                          aria-label={t('color')}
                          {...form.getInputProps(`classes.${i}.color`)}
                        />
                        <ActionIcon
                          variant="subtle"
                          color="gray"
                          aria-label={t('Remove')}
                          onClick={() => form.removeListItem('classes', i)}
                        >
                          <IconTrash size={16} />
                        </ActionIcon>
                      </Group>
                      {since !== undefined && since > 0 && (
                        <Text size="xs" c="dimmed" ml={36}>
                          {t('Added {{time}}: pictures labelled before say nothing of it.', { time: format.time(since) })}{' '}
                          <Anchor
                            component="button"
                            type="button"
                            size="xs"
                            onClick={() => form.setFieldValue(`classes.${i}.since`, 0)}
                          >
                            {t('They were looked through for it, too')}
                          </Anchor>
                        </Text>
                      )}
                    </Stack>
                  ))}
                </Stack>
              </ScrollArea.Autosize>
              <Button
                variant="light"
                size="xs"
                leftSection={<IconPlus size={14} />}
                onClick={addClass}
                style={{ alignSelf: 'flex-start' }}
              >
                {t('Add a class')}
              </Button>
            </Section>
            <Section title={t('Training')} about={t('The trainer plans its steps to fit.')}>
              <Group grow align="flex-end">
                <NumberInput label={t('Minutes at most')} min={0.1} {...form.getInputProps('training.minutes')} />
                <NumberInput
                  label={t('Input size')}
                  step={32}
                  min={64}
                  max={1280}
                  {...form.getInputProps('training.inputSize')}
                />
                <NumberInput label={t('Batch')} min={1} {...form.getInputProps('training.batch')} />
              </Group>
              <Select
                label={t('int8')}
                description={t('Quicker on devices; goes out only where it loses next to nothing.')}
                allowDeselect={false}
                data={[
                  { value: 'auto', label: t('where it is much quicker') },
                  { value: 'off', label: t('always as float') },
                ]}
                {...form.getInputProps('training.quantize')}
              />
            </Section>
            <Section title={t('Gate')} about={t('What a challenger must show on held-out frames before it may go out.')}>
              <Group grow align="flex-end">
                <NumberInput
                  label={t('Least gain of mAP50')}
                  step={0.01}
                  min={-1}
                  max={1}
                  {...form.getInputProps('gate.minimumGain')}
                />
                <NumberInput label={t('Least pictures')} min={1} {...form.getInputProps('gate.minimumImages')} />
              </Group>
              <Group grow align="flex-end">
                <NumberInput
                  label={t('Interval may reach below zero by')}
                  step={0.01}
                  min={0}
                  max={1}
                  {...form.getInputProps('gate.tolerance')}
                />
                <NumberInput
                  label={t('A class may lose at most')}
                  step={0.05}
                  min={0}
                  max={1}
                  {...form.getInputProps('gate.maximumClassLoss')}
                />
              </Group>
              <NumberInput
                label={t('Least mAP50 of a first model')}
                description={t('It has no champion to beat. Below this, devices go on without a model.')}
                step={0.05}
                min={0}
                max={1}
                {...form.getInputProps('gate.firstModelMinimum')}
              />
            </Section>
            <Section title={t('Rollout')} about={t('A few devices first; each on probation until it has proved itself.')}>
              <Group grow align="flex-end">
                <NumberInput label={t('Devices in the first wave')} min={1} {...form.getInputProps('rollout.canaries')} />
                <NumberInput label={t('Probation, seconds')} min={0} {...form.getInputProps('rollout.probationSeconds')} />
              </Group>
            </Section>
            <Section title={t('Mining')} about={t('Which frames devices send. Devices take it over within seconds.')}>
              <Group grow align="flex-end">
                <Stack gap={4}>
                  <Text size="sm">
                    {t('Doubtful scores from')} {mining.lowConfidence.from.toFixed(2)}
                  </Text>
                  <Slider min={0.05} max={1} step={0.01} label={null} {...form.getInputProps('mining.lowConfidence.from')} />
                </Stack>
                <Stack gap={4}>
                  <Text size="sm">
                    {t('to')} {mining.lowConfidence.to.toFixed(2)}
                  </Text>
                  <Slider min={0.05} max={1} step={0.01} label={null} {...form.getInputProps('mining.lowConfidence.to')} />
                </Stack>
              </Group>
              <Group grow align="flex-end">
                <NumberInput
                  label={t('Share sent by chance')}
                  step={0.001}
                  decimalScale={4}
                  min={0}
                  max={1}
                  {...form.getInputProps('mining.auditShare')}
                />
                <NumberInput
                  label={t('Pause after a frame, seconds')}
                  min={0}
                  {...form.getInputProps('mining.cooldownSeconds')}
                />
              </Group>
              <Group grow align="flex-end">
                <NumberInput label={t('Frames an hour and camera')} min={0} {...form.getInputProps('mining.maxSamplesPerHour')} />
                <NumberInput
                  label={t('Bytes an hour and camera')}
                  min={0}
                  step={1_000_000}
                  thousandSeparator=" "
                  {...form.getInputProps('mining.maxBytesPerHour')}
                />
              </Group>
            </Section>
          </Stack>
          <Stack>
            <Section title={t('The loop')} about={t('What happens without anyone pressing a button.')}>
              <TextInput label={t('Project')} {...form.getInputProps('projectName')} />
              <Switch
                label={t('Train by itself when enough is labelled')}
                {...form.getInputProps('autoTrain', { type: 'checkbox' })}
              />
              <Switch
                label={t('Deploy by itself what passed the gate')}
                {...form.getInputProps('autoDeploy', { type: 'checkbox' })}
              />
              <Group grow align="flex-end">
                <NumberInput label={t('Labels for a round')} min={1} {...form.getInputProps('labelsPerRound')} />
                <NumberInput
                  label={t('Share held out')}
                  min={0.05}
                  max={0.9}
                  step={0.05}
                  {...form.getInputProps('heldOutShare')}
                />
              </Group>
              <NumberInput label={t('Lease of a picture, seconds')} min={30} {...form.getInputProps('leaseSeconds')} />
            </Section>
            <Section
              title={t('Training recipe')}
              about={t('Off at first: each of these helps on some streets and not on others. The gate tells whether it did.')}
            >
              <RecipeFields value={form.values.training} onChange={(training) => form.setFieldValue('training', training)} />
            </Section>
          </Stack>
        </SimpleGrid>
        {form.isDirty() && (
          <Group justify="flex-end" mt="md" pos="sticky" bottom={12}>
            <Button variant="default" onClick={() => form.reset()}>
              {t('Undo changes')}
            </Button>
            <Button type="submit" loading={save.isPending}>
              {t('Save')}
            </Button>
          </Group>
        )}
      </fieldset>
    </form>
  )
}

function Section({ title, about, children }: { title: string; about: string; children: ReactNode }) {
  return (
    <Card withBorder>
      <Text fw={600}>{title}</Text>
      <Text size="xs" c="dimmed" mb="sm">
        {about}
      </Text>
      <Stack gap="sm">{children}</Stack>
    </Card>
  )
}
