/** Puts labelled samples into a hub's database, as ingest and people would. */
import { createHash } from 'node:crypto'
import type { Hub } from '../../hub/hub.ts'
import type { Annotation, Split } from '../../protocol/http/labelling.ts'

export interface LabelledSample {
  readonly name: string
  readonly split?: Split
  readonly audit?: boolean
  readonly cluster?: number
  /** Accepted when left out. Of another one the annotations are not remembered. */
  readonly state?: 'open' | 'rejected'
  readonly thumbnail?: Uint8Array
  readonly annotations?: readonly Annotation[]
  /** A real picture, for a trainer that really reads it; left out: a few bytes that are none. */
  readonly picture?: { readonly jpeg: Uint8Array; readonly width: number; readonly height: number }
}

let clusters = 1000

/** @returns the sample's id */
export async function putLabelled(hub: Hub, sample: LabelledSample): Promise<string> {
  const { jpeg, width, height } = sample.picture ?? { jpeg: Buffer.from(`picture ${sample.name}`), width: 64, height: 48 }
  const { sha256: id } = await hub.blobs.put(jpeg)
  const split = sample.split ?? 'train'
  const annotations = sample.annotations ?? [{ box: [1, 1, 20, 20], label: 'car', source: 'person' }]
  await hub.knex.transaction(async (trx) => {
    await trx('samples').insert({
      id,
      device_id: 'gate-1',
      camera: 'camera-1',
      captured_at: hub.now(),
      received_at: hub.now(),
      width,
      height,
      bytes: jpeg.length,
      model: null,
      detections: '[]',
      reasons: JSON.stringify([sample.audit ? 'audit' : 'low-confidence']),
      score: 0.5,
      audit: sample.audit ?? false,
      split,
      cluster: sample.cluster ?? clusters++,
      thumbnail: sample.thumbnail ? Buffer.from(sample.thumbnail) : null,
    })
    await trx('tasks').insert({
      sample_id: id,
      state: sample.state ?? 'accepted',
      version: 2,
      priority: 0.5,
      split,
      received_at: hub.now(),
      decided_at: sample.state === 'open' ? null : hub.now(),
    })
    if (sample.state) return
    await trx('annotation_history').insert({
      sample_id: id,
      at: hub.now(),
      by: 'test',
      verdict: 'accepted',
      annotations: JSON.stringify(annotations),
      milliseconds: 0,
    })
  })
  hub.events.emit({ kind: 'task' })
  return id
}

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
