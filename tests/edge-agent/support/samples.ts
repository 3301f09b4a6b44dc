/** Small real samples and folders for tests of the agent. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { encode } from 'cborg'
import { pino } from 'pino'
import type { Sample } from '../../../protocol/topics.ts'

export const silent = pino({ level: 'silent' })

export function temporaryFolder(t: Pick<TestContext, 'after'>): string {
  const folder = mkdtempSync(join(tmpdir(), 'muninn-agent-'))
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/** A sample whose "picture" is random bytes: nothing on the device looks into it again. */
export function sampleOf({ score = 0.5, audit = false, bytes = 1000 } = {}): { sample: Sample; encoded: Uint8Array } {
  const jpeg = new Uint8Array(randomBytes(bytes))
  const sample: Sample = {
    v: 1,
    id: createHash('sha256').update(jpeg).digest('hex'),
    camera: 'camera-1',
    capturedAt: 1_700_000_000_000,
    width: 64,
    height: 48,
    jpeg,
    model: null,
    detections: [],
    reasons: [audit ? 'audit' : 'novelty'],
    score,
    audit,
  }
  return { sample, encoded: encode(sample) }
}
