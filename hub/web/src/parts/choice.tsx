/** One of several, whose words may be long: the chosen one is read whole, on as many lines as it takes. */
import { Combobox, Input, InputBase, useCombobox } from '@mantine/core'

export interface Offer {
  readonly value: string
  readonly label: string
}

export function Choice({
  label,
  offers,
  value,
  onChange,
}: {
  label: string
  offers: readonly Offer[]
  value: string
  onChange: (value: string) => void
}) {
  const list = useCombobox({
    onDropdownClose: () => list.resetSelectedOption(),
    onDropdownOpen: () => list.updateSelectedOptionIndex('active'),
  })
  const chosen = offers.find((each) => each.value === value)
  return (
    <Combobox
      store={list}
      onOptionSubmit={(taken) => {
        onChange(taken)
        list.closeDropdown()
      }}
    >
      <Combobox.Target targetType="button">
        <InputBase
          component="button"
          type="button"
          label={label}
          pointer
          multiline
          rightSection={<Combobox.Chevron />}
          rightSectionPointerEvents="none"
          onClick={() => list.toggleDropdown()}
        >
          {chosen?.label ?? <Input.Placeholder>—</Input.Placeholder>}
        </InputBase>
      </Combobox.Target>
      <Combobox.Dropdown>
        <Combobox.Options mah={260} style={{ overflowY: 'auto' }}>
          {offers.map((each) => (
            <Combobox.Option key={each.value} value={each.value} active={each.value === value}>
              {each.label}
            </Combobox.Option>
          ))}
        </Combobox.Options>
      </Combobox.Dropdown>
    </Combobox>
  )
}
