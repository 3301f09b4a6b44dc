/** Runs every compiled test file (or those whose path contains an argument) and ends with one line "N passed, N failed, N skipped". */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('.', import.meta.url))
const wanted = process.argv.slice(2)
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.js') && (wanted.length === 0 || wanted.some((part) => file.includes(part))))
  .sort()
  .map((file) => join(folder, file))

// Tests make sessions without the command line, which sets this (cli/main.ts).
process.env.ORT_DISABLE_TELEMETRY = '1'

const counts = { passed: 0, failed: 0, skipped: 0 }
const skipped = new Set<string>()
const failed: string[] = []

// Two files at a time: the suites start servers, browsers and training of their own.
const events = run({ files, concurrency: 2, timeout: 15 * 60_000 })
events.on('test:pass', (test) => {
  if (test.details.type === 'suite') return
  if (test.skip !== undefined) {
    counts.skipped++
    skipped.add(`${test.name}: ${String(test.skip)}`)
  } else counts.passed++
})
events.on('test:fail', (test) => {
  if (test.details.type === 'suite') return
  counts.failed++
  failed.push(`${test.name} (${test.file ?? ''})`)
  process.exitCode = 1
})
events.on('end', () => {
  for (const line of skipped) console.log(`skipped: ${line}`)
  for (const line of failed) console.log(`failed: ${line}`)
  if (counts.passed === 0) process.exitCode = 1
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
})
events.compose(new spec()).pipe(process.stdout)
