/** The wire: one place names each topic, its encoding, its schema and so its type. See design: "The wire". */
import { type Static, type TSchema, Type } from 'typebox'
import { SignedManifest } from './manifest.ts'
import { MiningSettings } from './mining.ts'
import { Bytes, Detection, Id, LabelledBox, Reason, Sha256, Share, Time } from './primitives.ts'

const strict = { additionalProperties: false }
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const text = Type.String({ maxLength: 2000 })

export const prefix = 'muninn/v1'

/** Bytes of a file per piece: under the smallest broker limit in the field (AWS IoT Core: 128 KB). */
export const pieceBytes = 96 * 1024

export const CameraState = Type.Enum(['connecting', 'live', 'lost', 'ended'])
export type CameraState = Static<typeof CameraState>

export const CameraStatus = Type.Object(
  {
    id: Id,
    name: Type.String({ maxLength: 128 }),
    /** Without any password in it. */
    source: Type.String({ maxLength: 512 }),
    state: CameraState,
    /** Why it is not live, in words for people. */
    cause: Type.Optional(text),
    width: Type.Integer({ minimum: 0 }),
    height: Type.Integer({ minimum: 0 }),
  },
  strict,
)
export type CameraStatus = Static<typeof CameraStatus>

export const Status = Type.Object(
  {
    v: Type.Literal(1),
    online: Type.Boolean(),
    version: Type.String({ maxLength: 64 }),
    cameras: Type.Array(CameraStatus, { maxItems: 256 }),
    /** SHA-256 of the model file that runs; null before the first one (cold start). */
    model: nullable(Sha256),
    slot: nullable(Type.Enum(['a', 'b'])),
    /** The device's own clock. */
    at: Time,
  },
  strict,
)
export type Status = Static<typeof Status>

export const Sample = Type.Object(
  {
    v: Type.Literal(1),
    /** SHA-256 of `jpeg`. */
    id: Sha256,
    camera: Id,
    capturedAt: Time,
    width: Type.Integer({ minimum: 1, maximum: 16_384 }),
    height: Type.Integer({ minimum: 1, maximum: 16_384 }),
    /** The clean picture: no boxes drawn. */
    jpeg: Bytes,
    /** SHA-256 of the model that looked at it; null in a cold start. */
    model: nullable(Sha256),
    detections: Type.Array(Detection, { maxItems: 1000 }),
    reasons: Type.Array(Reason, { minItems: 1, maxItems: 8 }),
    /** Acquisition score: how much a label on this frame should teach. */
    score: Share,
    /** Chosen at random: for evaluation only, never trained on. */
    audit: Type.Boolean(),
    /** float32 little-endian, L2-normalised. */
    embedding: Type.Optional(Bytes),
    /** A drawn street knows its own truth; a real camera never sends this. */
    truth: Type.Optional(Type.Array(LabelledBox, { maxItems: 1000 })),
  },
  strict,
)
export type Sample = Static<typeof Sample>

/** A piece of an encoded Sample that is larger than the broker takes in one message. `id` is the sample's id. */
export const SamplePart = Type.Object(
  {
    v: Type.Literal(1),
    id: Sha256,
    part: Type.Integer({ minimum: 0, maximum: 4095 }),
    parts: Type.Integer({ minimum: 2, maximum: 4096 }),
    bytes: Bytes,
  },
  strict,
)
export type SamplePart = Static<typeof SamplePart>

const counter = Type.Integer({ minimum: 0 })

export const Telemetry = Type.Object(
  {
    v: Type.Literal(1),
    at: Time,
    uptimeSeconds: Type.Number({ minimum: 0 }),
    rssBytes: counter,
    model: nullable(Sha256),
    outbox: Type.Object({ samples: counter, bytes: counter, evicted: counter, refused: counter }, strict),
    /** Counters since the agent started. */
    cameras: Type.Array(
      Type.Object(
        {
          id: Id,
          /** frames looked at by the model (or by the miner in a cold start) */
          frames: counter,
          framesPerSecond: Type.Number({ minimum: 0 }),
          inferenceMilliseconds: Type.Number({ minimum: 0 }),
          detections: counter,
          /** detections by score, ten bins of 0.1 */
          scoreHistogram: Type.Array(counter, { minItems: 10, maxItems: 10 }),
          samples: Type.Partial(Type.Record(Reason, counter)),
          reconnects: counter,
        },
        strict,
      ),
      { maxItems: 256 },
    ),
  },
  strict,
)
export type Telemetry = Static<typeof Telemetry>

export const DeploymentState = Type.Enum([
  'fetching',
  'verifying',
  'self-test',
  'probation',
  'confirmed',
  'refused',
  'rolled-back',
])
export type DeploymentState = Static<typeof DeploymentState>

/** Where a device stands with what it was asked to run, and why. */
export const Deployment = Type.Object(
  {
    v: Type.Literal(1),
    /** The `desired.deployment` this answers. */
    deployment: Type.Integer({ minimum: 0 }),
    /** The model that was asked for. */
    model: Sha256,
    state: DeploymentState,
    /** 0..1 within `fetching` and `probation`. */
    progress: Share,
    reason: text,
    /** The model that runs now. */
    running: nullable(Sha256),
    at: Time,
  },
  strict,
)
export type Deployment = Static<typeof Deployment>

/** A small picture with boxes for the fleet page, sent only while someone watches. CBOR. */
export const Preview = Type.Object(
  {
    v: Type.Literal(1),
    camera: Id,
    at: Time,
    jpeg: Bytes,
    width: counter,
    height: counter,
    detections: Type.Array(Detection, { maxItems: 1000 }),
  },
  strict,
)
export type Preview = Static<typeof Preview>

/** Ids that the hub has on disk, and those it will never take (with the reason): the outbox forgets both. */
export const Ack = Type.Object(
  {
    v: Type.Literal(1),
    ids: Type.Array(Sha256, { maxItems: 1000 }),
    refused: Type.Array(Type.Object({ id: Sha256, reason: text }, strict), { maxItems: 1000 }),
  },
  strict,
)
export type Ack = Static<typeof Ack>

/** Everything a device should run. `deployment` counts up with each change of the model. */
export const Desired = Type.Object(
  {
    v: Type.Literal(1),
    deployment: Type.Integer({ minimum: 0 }),
    model: nullable(SignedManifest),
    /** How long a new model is on probation. */
    probationSeconds: Type.Number({ minimum: 0, maximum: 86_400 }),
    mining: MiningSettings,
    at: Time,
  },
  strict,
)
export type Desired = Static<typeof Desired>

/** Someone looks at this device's page: send previews of its cameras for so long. */
export const Watch = Type.Object({ v: Type.Literal(1), seconds: Type.Number({ minimum: 1, maximum: 300 }) }, strict)
export type Watch = Static<typeof Watch>

/** What a device sends. */
export const upPayloads = {
  status: { schema: Status, encoding: 'json', retain: true, maxBytes: 256 * 1024 },
  sample: { schema: Type.Union([Sample, SamplePart]), encoding: 'cbor', retain: false, maxBytes: 16 * 1024 * 1024 },
  telemetry: { schema: Telemetry, encoding: 'json', retain: false, maxBytes: 256 * 1024 },
  deployment: { schema: Deployment, encoding: 'json', retain: true, maxBytes: 64 * 1024 },
  preview: { schema: Preview, encoding: 'cbor', retain: false, maxBytes: 512 * 1024 },
} as const

/** What the hub sends to one device. */
export const downPayloads = {
  ack: { schema: Ack, encoding: 'json', retain: false },
  desired: { schema: Desired, encoding: 'json', retain: true },
  watch: { schema: Watch, encoding: 'json', retain: false },
} as const

export type UpKind = keyof typeof upPayloads
export type DownKind = keyof typeof downPayloads
export type UpPayload<K extends UpKind> = Static<(typeof upPayloads)[K]['schema']>
export type DownPayload<K extends DownKind> = Static<(typeof downPayloads)[K]['schema']>

export const upTopic = (device: string, kind: UpKind) => `${prefix}/up/${device}/${kind}`
export const downTopic = (device: string, kind: DownKind) => `${prefix}/down/${device}/${kind}`
export const pieceTopic = (sha256: string, piece: number) => `${prefix}/models/${sha256}/${piece}`
/** Subscription filters: all that devices send; all pieces of one file; all for one device. */
export const upFilter = `${prefix}/up/+/+`
export const pieceFilter = (sha256: string) => `${prefix}/models/${sha256}/+`
export const downFilter = (device: string) => `${prefix}/down/${device}/+`

/** Takes a topic apart; null for one that is not ours. */
export function parseUpTopic(topic: string): { device: string; kind: UpKind } | null {
  const match = /^muninn\/v1\/up\/([^/+#]+)\/([a-z]+)$/.exec(topic)
  if (!match || !Object.hasOwn(upPayloads, match[2]!)) return null
  return { device: match[1]!, kind: match[2] as UpKind }
}

/** The number of a piece, or null for a topic that is not a piece of this file. */
export function parsePieceTopic(topic: string): { sha256: string; piece: number } | null {
  const match = /^muninn\/v1\/models\/([0-9a-f]{64})\/(\d{1,7})$/.exec(topic)
  return match ? { sha256: match[1]!, piece: Number(match[2]) } : null
}

/** What a device may do: publish under up/{itself}/, read down/{itself}/ and models/. */
export function deviceMayPublish(device: string, topic: string): boolean {
  return parseUpTopic(topic)?.device === device
}

export function deviceMaySubscribe(device: string, filter: string): boolean {
  return filter.startsWith(`${prefix}/down/${device}/`) || /^muninn\/v1\/models\/[0-9a-f]{64}\/(\+|\d+)$/.test(filter)
}
