/** What a training does beyond its labels, in plain words: the card to set it, and what a run was made with. */
import { Card, NumberInput, Select, SimpleGrid, Table, Text } from '@mantine/core'
import { useTranslation } from 'react-i18next'
import { defaultRecipe, type Recipe } from '../../../../protocol/recipe.ts'
import { type Run, useApi } from '../api.ts'
import { short, useFormat } from '../format.ts'
import { Missing } from './missing.tsx'

export type TrainingSettings = Run['settings']
/** Numbers of a recipe that people set; the others have one good value. */
type Option = Extract<keyof Recipe, 'mixup' | 'copyPaste' | 'repeatBelow' | 'multiScale' | 'replay' | 'calibrate'>

/** What each does, and what it costs. Off by default: each helps on some data and not on other. */
const options: readonly { name: Option; title: string; about: string; most: number }[] = [
  {
    name: 'copyPaste',
    title: 'Paste objects into other pictures',
    about: 'In this share of the pictures. May help with rare objects; costs no time to speak of.',
    most: 1,
  },
  {
    name: 'mixup',
    title: 'Blend two pictures',
    about: 'In this share of the mosaics. May help in a long training; costs no time to speak of.',
    most: 1,
  },
  {
    name: 'repeatBelow',
    title: 'Show rare classes more often',
    about: 'Classes in fewer than this share of the pictures. Common classes are seen less often for it.',
    most: 1,
  },
  {
    name: 'multiScale',
    title: 'Change the size of the input',
    about:
      'Every few steps, by up to this share. May help where objects come in all sizes; takes a little longer and, at the largest, more memory.',
    most: 0.5,
  },
  {
    name: 'replay',
    title: 'Share of old pictures',
    about:
      'Those that the starting model has learnt. Empty: as many as there are. Less gives new labels more weight; at 0 what was learnt is soon forgotten.',
    most: 1,
  },
  {
    name: 'calibrate',
    title: 'Keep pictures back to make scores probabilities',
    about: 'A score of 0.8 is then right in about 8 of 10. This share of the labelled pictures is not learnt from.',
    most: 0.5,
  },
]

const patience = 'Cut short a training that no longer gets better'

const percent = (share: number | null): number | '' => (share === null ? '' : Math.round(share * 1000) / 10)
/** '' is an emptied field. */
const shareOf = (value: number | string): number | null => (value === '' ? null : Number(value) / 100)

export function RecipeFields({ value, onChange }: { value: TrainingSettings; onChange: (value: TrainingSettings) => void }) {
  const { t } = useTranslation()
  const models = useApi('/api/models')
  const { recipe, choose, unlabelled, teacher } = value
  const set = (name: Option | 'patience', share: number | null) => {
    // What is as by default is not written down, so that better defaults of a later version count.
    const { [name]: _, ...rest } = recipe
    const wanted = share ?? defaultRecipe[name]
    onChange({ ...value, recipe: wanted === defaultRecipe[name] ? rest : { ...rest, [name]: wanted } })
  }
  return (
    // At the bottom, so that the fields of a row stand in a line however long what is said above them.
    <SimpleGrid cols={{ base: 1, sm: 2 }} style={{ alignItems: 'end' }}>
      {options.map(({ name, title, about, most }) => (
        <NumberInput
          key={name}
          label={t(title)}
          description={t(about)}
          suffix=" %"
          min={0}
          max={most * 100}
          step={5}
          value={percent(recipe[name] ?? defaultRecipe[name])}
          onChange={(entered) => set(name, shareOf(entered))}
        />
      ))}
      <NumberInput
        label={t(patience)}
        description={t(
          'After so many looks without a gain, 0 for never: 20 looks are a whole training, 4 a fair choice. Saves minutes; 15 % of the labelled pictures are kept back to look at.',
        )}
        min={0}
        max={20}
        allowDecimal={false}
        value={recipe.patience ?? defaultRecipe.patience}
        onChange={(entered) => set('patience', entered === '' ? null : Number(entered))}
      />
      <Select
        label={t('Choose settings by trials first')}
        description={t(
          'Short trainings try learning rates and augmentation. They take this share of the minutes from the training itself.',
        )}
        allowDeselect={false}
        data={['0', '0.1', '0.2', '0.3', '0.5'].map((share) => ({
          value: share,
          label: share === '0' ? t('no trials') : `${100 * Number(share)} %`,
        }))}
        value={String(choose ?? 0)}
        onChange={(share) => onChange({ ...value, choose: Number(share) || null })}
      />
      <NumberInput
        label={t('Learn from pictures without labels')}
        description={t(
          'So many of the newest in the queue, 0 for none. Half-way the model labels them itself and learns from what it is sure of; helps where many pictures look like the few labelled ones.',
        )}
        min={0}
        max={2000}
        step={50}
        allowDecimal={false}
        value={unlabelled}
        onChange={(entered) => {
          const count = Number(entered) || 0
          onChange({ ...value, unlabelled: count, teacher: count === 0 ? null : teacher })
        }}
      />
      <Select
        label={t('Teacher for those')}
        description={t('A larger model that knows the classes labels them from the start; it must look at each once.')}
        placeholder={t('the training itself')}
        clearable
        disabled={unlabelled === 0}
        data={(models.data ?? []).map(({ sha256, manifest }) => ({
          value: sha256,
          label: `${manifest.name} v${manifest.version}`,
        }))}
        value={teacher}
        onChange={(chosen) => onChange({ ...value, teacher: chosen })}
      />
      <Missing of={{ [t('Models')]: models }} />
    </SimpleGrid>
  )
}

/** What a run did beyond the defaults; nothing where it did nothing. */
export function RecipeUsed({ settings: { recipe, choose, unlabelled, teacher } }: { settings: TrainingSettings }) {
  const { t } = useTranslation()
  const format = useFormat()
  const share = (value: number) => `${format.number(100 * value, 0)} %`
  const titles = new Map<string, string>(options.map(({ name, title }) => [name, title]))
  const rows: [string, string][] = Object.entries(recipe).map(([name, value]) => {
    if (name === 'patience') return [t(patience), String(value)]
    const title = titles.get(name)
    return [title ? t(title) : name, value === null ? t('as many as there are') : title ? share(value) : String(value)]
  })
  if (choose !== null) rows.push([t('Choose settings by trials first'), share(choose)])
  if (unlabelled > 0) rows.push([t('Learn from pictures without labels'), t('at most {{count}}', { count: unlabelled })])
  if (teacher !== null) rows.push([t('Teacher for those'), short(teacher)])
  if (rows.length === 0) return null
  return (
    <Card withBorder>
      <Text fw={600} mb="xs">
        {t('Training recipe')}
      </Text>
      <Table>
        <Table.Tbody>
          {rows.map(([name, value]) => (
            <Table.Tr key={name}>
              <Table.Td>{name}</Table.Td>
              <Table.Td>{value}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Card>
  )
}
