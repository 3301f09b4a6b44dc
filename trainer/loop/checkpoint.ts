/** A checkpoint as one file: a JSON header and the flat vectors behind it. */
import { type Static, Type } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import { parseJson } from '../../protocol/parse.ts'
import type { TrainerState } from '../engine/trainer-state.ts'

const Header = Type.Object({
  v: Type.Literal(3),
  /** What must be the same for a resume to be the same training. */
  fingerprint: Type.String(),
  /** Updates that were made: fewer than the steps taken where some were left out. */
  step: Type.Integer({ minimum: 0 }),
  /** The loop's next step: which pictures come. */
  next: Type.Integer({ minimum: 0 }),
  /** Planned at the start; a resume keeps it, so that the schedule does not jump. */
  steps: Type.Integer({ minimum: 1 }),
  trainedSeconds: Type.Number({ minimum: 0 }),
  /** What was seen of pictures kept back. */
  plateau: Type.Object({ best: Type.Number(), misses: Type.Integer({ minimum: 0 }) }),
  parameters: Type.Integer({ minimum: 1 }),
  statistics: Type.Integer({ minimum: 0 }),
})

export interface Checkpoint extends Pick<Static<typeof Header>, 'fingerprint' | 'next' | 'steps' | 'trainedSeconds' | 'plateau'> {
  readonly state: TrainerState
}

const vectors = ['parameters', 'moment1', 'moment2', 'average', 'statistics'] as const

export function encodeCheckpoint({ fingerprint, next, steps, trainedSeconds, plateau, state }: Checkpoint): Uint8Array {
  const header = {
    v: 3,
    fingerprint,
    step: state.step,
    next,
    steps,
    trainedSeconds,
    plateau,
    parameters: state.parameters.length,
    statistics: state.statistics.length,
  }
  const text = new TextEncoder().encode(JSON.stringify(header))
  const parts = vectors.map((name) => new Uint8Array(state[name].buffer, state[name].byteOffset, state[name].byteLength))
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, text.length, true)
  return Buffer.concat([length, text, ...parts])
}

/** @throws MuninnError INVALID_INPUT when the bytes are no whole checkpoint */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  const bad = () => new MuninnError('INVALID_INPUT', 'the checkpoint is damaged or of another version; training starts over')
  if (bytes.length < 4) throw bad()
  const end = 4 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
  if (end > bytes.length || end > 65_536) throw bad()
  const header = parseJson(Header, new TextDecoder().decode(bytes.subarray(4, end)), 'checkpoint')
  const sizes = {
    parameters: header.parameters,
    moment1: header.parameters,
    moment2: header.parameters,
    average: header.parameters,
    statistics: header.statistics,
  }
  const total = Object.values(sizes).reduce((sum, size) => sum + size * 4, 0)
  if (bytes.length !== end + total) throw bad()
  let offset = end
  const state: TrainerState = {
    step: header.step,
    parameters: none,
    moment1: none,
    moment2: none,
    average: none,
    statistics: none,
  }
  for (const name of vectors) {
    const size = sizes[name] * 4
    // Copied, for the vectors need not lie at a multiple of four bytes (and a Buffer's own slice would not copy).
    state[name] = new Float32Array(Uint8Array.prototype.slice.call(bytes, offset, offset + size).buffer)
    offset += size
  }
  const { fingerprint, next, steps, trainedSeconds, plateau } = header
  return { fingerprint, next, steps, trainedSeconds, plateau, state }
}

const none = new Float32Array(0)
