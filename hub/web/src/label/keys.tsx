/** The keys of the label page: what each does, and the list that tells it. */
import { Kbd, Modal, Table } from '@mantine/core'
import { useLayoutEffect } from 'react'
import { useTranslation } from 'react-i18next'
import { moved, type Size } from './geometry.ts'
import type { LabelStore, UndoStack } from './label-store.ts'

const keys: readonly (readonly [string, string])[] = [
  ['Space / Enter', 'Accept: all boxes are right'],
  ['X', 'Reject: the picture is of no use'],
  ['1 … 9', 'Class of the selected or the next box'],
  ['C', 'Find a class by name'],
  ['Drag', 'Draw a box; hold Shift to draw inside another'],
  ['Tab', 'Next box'],
  ['Delete', 'Remove the selected box'],
  ['Arrows', 'Nudge the selected box; with Shift by ten'],
  ['Ctrl Z / Ctrl Shift Z', 'Undo and redo'],
  ['V', 'Boxes of the picture before'],
  ['B', 'Back to the picture before'],
  ['H', 'Hide the boxes'],
  ['Wheel', 'Zoom at the pointer'],
  ['Right drag', 'Move the picture'],
  ['F', 'Whole picture'],
  ['?', 'This list'],
]

export interface LabelKeys {
  readonly store: LabelStore
  readonly undo: UndoStack
  /** The picture that boxes are nudged within; null while there is none: then only the list of keys opens. */
  readonly picture: Size | null
  /** A dialog is open: its own keys go first. */
  readonly busy: boolean
  readonly answer: (verdict: 'accepted' | 'rejected') => void
  /** Takes the class with this place in the list, from 0. */
  readonly chooseNth: (place: number) => void
  readonly findClass: () => void
  readonly toggleBoxes: () => void
  readonly back: () => void
  readonly repeatBoxes: () => void
  readonly help: () => void
}

export function useLabelKeys(page: LabelKeys): void {
  // With the picture, not after it: a key that is pressed at its first sight means this one.
  useLayoutEffect(() => {
    const { store, undo, picture } = page
    const onKey = (event: KeyboardEvent) => {
      if (page.busy) return
      if (event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement) return
      if (event.key === '?') return page.help()
      if (!picture) return
      const chosen = store.selected
      const command = event.ctrlKey || event.metaKey
      const nudge = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key]
      const handled = () => event.preventDefault()
      if (command && event.code === 'KeyZ') {
        handled()
        if (event.shiftKey) undo.redo()
        else undo.undo()
      } else if (command && event.code === 'KeyY') {
        handled()
        undo.redo()
      } else if (command || event.altKey) return
      else if (event.code === 'Space' || event.key === 'Enter') {
        handled()
        if (!event.repeat) page.answer('accepted')
      } else if (event.code === 'KeyX') {
        if (!event.repeat) page.answer('rejected')
      } else if (event.key === 'Tab') {
        handled()
        store.selectNext(event.shiftKey ? -1 : 1)
      } else if ((event.key === 'Delete' || event.key === 'Backspace') && chosen) store.remove(chosen.id)
      else if (event.key === 'Escape') store.select(null)
      else if (nudge && chosen) {
        handled()
        const by = event.shiftKey ? 10 : 1
        store.change(chosen.id, { box: moved(chosen.box, nudge[0]! * by, nudge[1]! * by, picture) })
      } else if (/^Digit[1-9]$/.test(event.code)) page.chooseNth(Number(event.code.slice(5)) - 1)
      else if (event.code === 'KeyC') {
        handled()
        page.findClass()
      } else if (event.code === 'KeyH') page.toggleBoxes()
      else if (event.code === 'KeyB') page.back()
      else if (event.code === 'KeyV') page.repeatBoxes()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [page])
}

export function KeysHelp({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const { t } = useTranslation()
  return (
    <Modal opened={opened} onClose={onClose} title={t('Keys')} size="md">
      <Table>
        <Table.Tbody>
          {keys.map(([key, meaning]) => (
            <Table.Tr key={key}>
              <Table.Td w={180}>
                <Kbd>{key}</Kbd>
              </Table.Td>
              <Table.Td>{t(meaning)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Modal>
  )
}
