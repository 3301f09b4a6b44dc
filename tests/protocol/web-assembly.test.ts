/** The modules of WebAssembly that are kept in the repository. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { it } from 'node:test'
import { kernelModules, kernelsModule, kernelsPath } from '../support/wasm-module.ts'

for (const module of kernelModules)
  it(`${module} is of its text`, async () => {
    assert.ok(
      readFileSync(kernelsPath(module), 'utf8') === (await kernelsModule(module)),
      `${module} is out of date: npm run wasm`,
    )
  })
