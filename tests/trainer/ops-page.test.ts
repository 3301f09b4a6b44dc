/** The page of ops says what the code does. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { opsPage } from '../support/ops-page.ts'

describe('trainer/OPS.md', () => {
  it('is what npm run docs:ops writes', () => {
    const page = readFileSync(fileURLToPath(new URL('../../../trainer/OPS.md', import.meta.url)), 'utf8')
    assert.ok(page === opsPage(), 'trainer/OPS.md is out of date: npm run docs:ops')
  })

  it('lists every op with a gradient rule', () => {
    assert.match(opsPage(), /\| Conv \| yes \| {2}\| yes \(\d+\) \| .*ConvTranspose/)
  })
})
