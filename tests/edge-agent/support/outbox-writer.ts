/** Child process of the kill test: adds samples for as long as it lives and says on stdout which ones are committed. */
import { writeSync } from 'node:fs'
import { Outbox } from '../../../edge-agent/outbox/outbox.ts'
import { sampleOf } from './samples.ts'

const outbox = new Outbox({ folder: process.argv[2]!, maxBytes: 1_000_000_000, maxSamples: 100_000 })
await outbox.start()
writeSync(1, 'ready\n')
for (;;) {
  const { sample, encoded } = sampleOf({
    score: Math.random(),
    audit: Math.random() < 0.2,
    bytes: 1000 + Math.floor(Math.random() * 200_000),
  })
  // Written at once: a buffered line would die with the process.
  if (await outbox.add(sample, encoded)) writeSync(1, `${sample.id}\n`)
}
