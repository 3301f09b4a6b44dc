/** When a class was added: pictures labelled before were not labelled for it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { addedAfter, withTimes } from '../../hub/settings/class-times.ts'

const color = '#00ff00'
const named = (name: string, since?: number) => ({ name, color, ...(since !== undefined && { since }) })

describe('the moment of a class', () => {
  const cases = [
    ['is the start of the project for its first classes', [named('car')], [], [named('car')]],
    ['is now for a new one', [named('car'), named('bus')], [named('car')], [named('car'), named('bus', 50)]],
    ['is now for a renamed one, whose boxes have another name', [named('auto', 20)], [named('car', 20)], [named('auto', 50)]],
    ['stays, though a program leaves it out', [named('bus')], [named('bus', 20)], [named('bus', 20)]],
    ['may be set by a person', [named('bus', 0)], [named('bus', 20)], [named('bus', 0)]],
    ['is now for one that comes back', [named('car'), named('bus')], [named('car', 7)], [named('car', 7), named('bus', 50)]],
  ] as const
  for (const [title, wanted, known, stored] of cases)
    it(title, () => assert.deepEqual(withTimes([...wanted], [...known], 50), stored))

  it('tells which classes a labelled picture says nothing of', () => {
    const classes = [named('car'), named('bus', 20), named('bike', 40), named('van', 0)]
    assert.deepEqual(addedAfter(classes, 10), ['bus', 'bike'])
    assert.deepEqual(addedAfter(classes, 20), ['bike'])
    assert.deepEqual(addedAfter(classes, 60), [])
  })
})
