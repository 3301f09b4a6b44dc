/** Building blocks of all schemas: identifiers, times, boxes, detections. */
import { type Static, Type } from 'typebox'

/** Names a device or camera: also a topic level, so no `/`, `+`, `#` or white space (MQTT 3.1.1, 4.7). */
export const Id = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$' })

/** SHA-256 of some bytes, lower-case hexadecimal. */
export const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })

/** Milliseconds since 1970-01-01 UTC. */
export const Time = Type.Integer({ minimum: 0, maximum: 8.64e15 })

/** 0..1 */
export const Share = Type.Number({ minimum: 0, maximum: 1 })

/** Name of an object class, as people read it. */
export const ClassName = Type.String({ minLength: 1, maxLength: 64 })

/** Raw bytes (CBOR byte string); never in JSON. */
export const Bytes = Type.Refine(
  Type.Unsafe<Uint8Array>({}),
  (value) => value instanceof Uint8Array,
  () => 'must be bytes',
)

/** [x1, y1, x2, y2] in pixels of the whole picture (not of the model's input). */
export const BoxSchema = Type.Tuple([Type.Number(), Type.Number(), Type.Number(), Type.Number()])

/** A box with its class name, as known or agreed by people. */
export const LabelledBox = Type.Object({ box: BoxSchema, label: ClassName }, { additionalProperties: false })
export type LabelledBox = Static<typeof LabelledBox>

/** What a model gave. */
export const Detection = Type.Object({ box: BoxSchema, label: ClassName, score: Share }, { additionalProperties: false })
export type Detection = Static<typeof Detection>

/** Why a frame was chosen. */
export const Reason = Type.Enum([
  'low-confidence',
  'track-gap',
  'motion-without-detection',
  'novelty',
  'audit',
  'cold-start',
  'manual',
])
export type Reason = Static<typeof Reason>
