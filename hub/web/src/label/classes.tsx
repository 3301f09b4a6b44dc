/** The classes of the label page: the list at the side, and finding or adding one by its name. */
import { Box, Group, Kbd, Modal, ScrollArea, Stack, Text, TextInput, UnstyledButton } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { call, type Settings } from '../api.ts'
import { colorOfNewClass } from '../parts/class-colors.ts'
import { tellError } from '../parts/tell.ts'

type Class = Settings['classes'][number]

const swatch = (color: string) => <Box w={12} h={12} style={{ borderRadius: 3, background: color, flex: 'none' }} />

export function ClassList({
  classes,
  current,
  onChoose,
}: {
  classes: readonly Class[]
  current: string
  onChoose: (name: string) => void
}) {
  return (
    <ScrollArea.Autosize mah="32vh" style={{ flex: 'none' }}>
      <Stack gap={2}>
        {classes.map(({ name, color }, i) => (
          <UnstyledButton
            key={name}
            onClick={() => onChoose(name)}
            px={8}
            py={5}
            style={{ borderRadius: 6, background: current === name ? 'var(--mantine-color-default-hover)' : undefined }}
          >
            <Group gap="xs" wrap="nowrap">
              {swatch(color)}
              <Text size="sm" truncate style={{ flex: 1 }} fw={current === name ? 600 : 400}>
                {name}
              </Text>
              {i < 9 && <Kbd size="xs">{i + 1}</Kbd>}
            </Group>
          </UnstyledButton>
        ))}
      </Stack>
    </ScrollArea.Autosize>
  )
}

/** More than these are not shown at once: a letter more narrows them down. */
const atOnce = 12

/** Finds a class by name; who may change settings can add the one that is missing, so that a first picture is labelled without leaving it. */
export function ClassFinder({
  opened,
  settings,
  mayAdd,
  onClose,
  onChoose,
}: {
  opened: boolean
  settings: Settings
  mayAdd: boolean
  onClose: () => void
  onChoose: (name: string) => void
}) {
  const { t } = useTranslation()
  const queries = useQueryClient()
  const [text, setText] = useState('')
  const [at, setAt] = useState(0)
  const typed = text.trim()
  const { classes } = settings
  const found = classes.filter(({ name }) => name.toLowerCase().includes(typed.toLowerCase())).slice(0, atOnce)
  const isNew = typed !== '' && classes.every(({ name }) => name.toLowerCase() !== typed.toLowerCase())
  const offers: { name: string; color: string; add: boolean }[] = [
    ...found.map((each) => ({ ...each, add: false })),
    ...(isNew && mayAdd ? [{ name: typed, color: colorOfNewClass(classes.length), add: true }] : []),
  ]
  const close = () => {
    setText('')
    setAt(0)
    onClose()
  }
  const add = useMutation({
    mutationFn: (name: string) =>
      call<Settings>('PUT', '/api/settings', {
        ...settings,
        classes: [...classes, { name, color: colorOfNewClass(classes.length) }],
      }),
    onSuccess: (saved, name) => {
      queries.setQueryData(['/api/settings'], saved)
      onChoose(name)
      close()
    },
    onError: tellError,
  })
  const take = (offer: (typeof offers)[number] | undefined) => {
    if (!offer) return
    if (offer.add) return add.mutate(offer.name)
    onChoose(offer.name)
    close()
  }
  return (
    <Modal opened={opened} onClose={close} withCloseButton={false} size="sm" padding="sm">
      <TextInput
        data-autofocus
        placeholder={mayAdd ? t('Find a class by name, or add one') : t('Find a class by name')}
        aria-label={t('Find a class by name')}
        value={text}
        disabled={add.isPending}
        onChange={(event) => {
          setText(event.currentTarget.value)
          setAt(0)
        }}
        onKeyDown={(event) => {
          const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
          if (step !== undefined && offers.length > 0) {
            event.preventDefault()
            setAt((at + step + offers.length) % offers.length)
          } else if (event.key === 'Enter') take(offers[at])
        }}
      />
      <Stack gap={2} mt="xs">
        {offers.map((offer, i) => (
          <UnstyledButton
            key={offer.name}
            px={8}
            py={5}
            onClick={() => take(offer)}
            style={{ borderRadius: 6, background: i === at ? 'var(--mantine-color-default-hover)' : undefined }}
          >
            <Group gap="xs">
              {swatch(offer.color)}
              <Text size="sm">{offer.add ? t('Add the class “{{name}}”', { name: offer.name }) : offer.name}</Text>
            </Group>
          </UnstyledButton>
        ))}
        {offers.length === 0 && (
          <Text size="sm" c="dimmed" px={8} py={5}>
            {classes.length === 0
              ? mayAdd
                ? t('No classes yet: type the name of what you want to find.')
                : t('No classes yet: a manager adds them under Settings.')
              : t('No class is called so.')}
          </Text>
        )}
      </Stack>
    </Modal>
  )
}
