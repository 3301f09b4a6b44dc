/** Every gradient rule against central finite differences, from one table of cases. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { cpuDialect } from '../../trainer/engine/dialect.ts'
import type { Dialect } from '../../trainer/gradients/rule.ts'
import { differentiable } from '../../trainer/gradients/rules.ts'
import { assertGradient } from '../support/finite-differences.ts'
import { cases } from '../support/gradient-cases.ts'

const block = await cpuDialect()
/** The newest opset as well: what was read stays in its own, and the gradient must speak it. */
const forms: readonly { dialect: Dialect; opset?: number }[] = [
  { dialect: 'std' },
  { dialect: 'std', opset: 23 },
  ...(block === 'std' ? [] : [{ dialect: block }]),
]

describe('gradient rules', () => {
  for (const { dialect, opset } of forms) {
    for (const each of cases) {
      // A case that names its opset is of that opset only.
      if (opset && each.opset) continue
      it(`${each.op} (${each.what}) agrees with finite differences in ${dialect}${opset ? `, opset ${opset}` : ''}`, () =>
        assertGradient(opset ? { ...each, opset } : each, dialect))
    }
  }

  it('has a case for every rule', () => {
    const tested = new Set(cases.map(({ op }) => op))
    // Upsample is Resize under its old name, and upgrade() renames it.
    assert.deepEqual(
      differentiable.filter((op) => !tested.has(op) && op !== 'Upsample'),
      [],
    )
  })
})
