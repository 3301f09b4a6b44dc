/** A chosen frame as it goes to the hub. */
import { createHash } from 'node:crypto'
import type { LabelledBox } from '../../protocol/primitives.ts'
import type { Sample } from '../../protocol/topics.ts'
import type { Candidate } from '../mining/miner.ts'

/** float32 in little-endian order, as the protocol has it. */
export function embeddingBytes(embedding: Float32Array): Uint8Array {
  const bytes = new Uint8Array(embedding.length * 4)
  const view = new DataView(bytes.buffer)
  for (const [index, value] of embedding.entries()) view.setFloat32(index * 4, value, true)
  return bytes
}

/** Null while its picture is not there. */
export function makeSample(camera: string, candidate: Candidate, truth?: readonly LabelledBox[]): Sample | null {
  const { observation, picture, reasons, score, audit } = candidate
  if (!picture) return null
  return {
    v: 1,
    id: createHash('sha256').update(picture.jpeg).digest('hex'),
    camera,
    capturedAt: Math.round(observation.at),
    width: picture.width,
    height: picture.height,
    jpeg: picture.jpeg,
    model: observation.model,
    detections: [...observation.detections],
    reasons: [...reasons],
    score,
    audit,
    ...(observation.embedding && { embedding: embeddingBytes(observation.embedding) }),
    ...(truth && { truth: truth.map(({ box, label }) => ({ box: [...box], label })) }),
  }
}
