/** Configuration of the agent and the hub: unknown keys are refused, all faults told at once. */
import { type Static, Type } from 'typebox'
import { MiningSettings } from './mining.ts'
import { Id } from './primitives.ts'

const strict = { additionalProperties: false }

export const CameraConfig = Type.Object(
  {
    id: Id,
    name: Type.Optional(Type.String({ maxLength: 128 })),
    /** rtsp://…, http(s)://…, a video file, a folder of pictures, /dev/videoN, or demo://street?seed=1 */
    source: Type.String({ minLength: 1, maxLength: 1024 }),
    /** Frames a second to look at; 0: as many as the machine can. */
    framesPerSecond: Type.Number({ minimum: 0, maximum: 120, default: 0 }),
    /** Start a file or folder again at its end. */
    loop: Type.Boolean({ default: false }),
    /** Play a file or folder at its own speed (true), or as fast as it can be looked at, no frame left out (false). */
    realTime: Type.Boolean({ default: true }),
  },
  strict,
)
export type CameraConfig = Static<typeof CameraConfig>

export const AgentConfig = Type.Object(
  {
    device: Id,
    hub: Type.Object(
      {
        /** mqtt:// or mqtts:// */
        url: Type.String({ pattern: '^mqtts?://.+' }),
        password: Type.String({ minLength: 1 }),
        /** File with the certificate authority for mqtts://; left out: the system's. */
        ca: Type.Optional(Type.String()),
      },
      strict,
    ),
    /** The hub's Ed25519 public key (SPKI, base64): manifests signed by anyone else are refused. */
    publicKey: Type.String({ minLength: 16, maxLength: 512 }),
    dataFolder: Type.String({ minLength: 1 }),
    cameras: Type.Array(CameraConfig, { minItems: 1, maxItems: 256 }),
    outbox: Type.Object(
      {
        maxBytes: Type.Integer({ minimum: 1_000_000, default: 2_000_000_000 }),
        maxSamples: Type.Integer({ minimum: 1, default: 100_000 }),
        /** Samples sent and not yet acknowledged at a time. */
        inFlight: Type.Integer({ minimum: 1, maximum: 1000, default: 16 }),
        /** A larger encoded sample goes in parts of this size: the broker's limit. */
        maxMessageBytes: Type.Integer({ minimum: 16_384, default: 1_000_000 }),
      },
      { additionalProperties: false, default: {} },
    ),
    /** Threads of the detector; 0: as many as there are cores. */
    threads: Type.Integer({ minimum: 0, maximum: 64, default: 0 }),
    /** Overrides of what the hub asks for. */
    mining: Type.Optional(Type.Partial(MiningSettings)),
  },
  strict,
)
export type AgentConfig = Static<typeof AgentConfig>

export const HubConfig = Type.Object(
  {
    dataFolder: Type.String({ minLength: 1, default: './muninn-data/hub' }),
    host: Type.String({ default: '127.0.0.1' }),
    /** 0: any free port. */
    port: Type.Integer({ minimum: 0, maximum: 65_535, default: 8080 }),
    mqttPort: Type.Integer({ minimum: 0, maximum: 65_535, default: 1883 }),
    /** What devices are told to connect to; left out: mqtt://host:mqttPort. */
    publicMqttUrl: Type.Optional(Type.String({ pattern: '^mqtts?://.+' })),
    /** An external broker (mqtt:// or mqtts://, with user and password) instead of the embedded one. */
    broker: Type.Optional(Type.String({ pattern: '^mqtts?://.+' })),
    /** postgres://… instead of SQLite in the data folder. */
    database: Type.Optional(Type.String({ pattern: '^postgres(ql)?://.+' })),
    /** Largest picture taken, in pixels, checked before decoding. */
    maxPixels: Type.Integer({ minimum: 1, default: 50_000_000 }),
    /** The demo street: samples carry their truth and may label themselves. */
    demo: Type.Boolean({ default: false }),
  },
  { additionalProperties: false, default: {} },
)
export type HubConfig = Static<typeof HubConfig>
