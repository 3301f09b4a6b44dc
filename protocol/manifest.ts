/** What stands beside a deployed ONNX file: classes, thresholds, digests, lineage, metrics. Signed by the hub, checked by the device. */
import { type Static, Type } from 'typebox'
import { Bytes, ClassName, Detection, Sha256, Share, Time } from './primitives.ts'

const strict = { additionalProperties: false }

/** A content-addressed file that travels over `models/{sha256}/{n}`. */
export const FileReference = Type.Object(
  { sha256: Sha256, bytes: Type.Integer({ minimum: 1, maximum: 512 * 1024 * 1024 }) },
  strict,
)
export type FileReference = Static<typeof FileReference>

/** How a picture becomes the model's input: `letterbox` keeps the aspect (pad 114, picture at the top left), `stretch` does not. */
export const ModelInput = Type.Object(
  {
    width: Type.Integer({ minimum: 32, maximum: 4096 }),
    height: Type.Integer({ minimum: 32, maximum: 4096 }),
    resize: Type.Enum(['letterbox', 'stretch']),
  },
  strict,
)
export type ModelInput = Static<typeof ModelInput>

export const ModelManifest = Type.Object(
  {
    v: Type.Literal(1),
    name: Type.String({ minLength: 1, maxLength: 128 }),
    /** Counts up per project; what people call "version 7". */
    version: Type.Integer({ minimum: 0 }),
    /** The ONNX file. */
    file: FileReference,
    input: ModelInput,
    classes: Type.Array(ClassName, { minItems: 1, maxItems: 1000 }),
    /** Score from which a detection counts, by class name; the file itself gives scores down to 0.05. */
    thresholds: Type.Record(Type.String(), Share),
    architecture: Type.String({ maxLength: 128 }),
    createdAt: Time,
    lineage: Type.Object(
      {
        base: Type.Union([Sha256, Type.Null()]),
        dataset: Type.Union([Sha256, Type.Null()]),
        run: Type.Union([Type.Integer(), Type.Null()]),
      },
      strict,
    ),
    /** e.g. { mAP50: 0.71, 'mAP50-95': 0.44 } on held-out samples */
    metrics: Type.Record(Type.String(), Type.Number()),
    /** A SelfTest in CBOR, fetched like the model; null for a model that came from outside without one. */
    selfTest: Type.Union([FileReference, Type.Null()]),
  },
  strict,
)
export type ModelManifest = Static<typeof ModelManifest>

/** The manifest's JSON text exactly as signed (Ed25519, RFC 8032), so that no canonical form is needed. */
export const SignedManifest = Type.Object(
  { manifest: Type.String({ maxLength: 65_536 }), signature: Type.String({ maxLength: 128 }) },
  strict,
)
export type SignedManifest = Static<typeof SignedManifest>

/** Frames and what the model must give on them (within 2 px and 0.05 of the score) before a device switches to it. CBOR. */
export const SelfTest = Type.Object(
  {
    v: Type.Literal(1),
    frames: Type.Array(Type.Object({ jpeg: Bytes, detections: Type.Array(Detection, { maxItems: 1000 }) }, strict), {
      minItems: 1,
      maxItems: 16,
    }),
  },
  strict,
)
export type SelfTest = Static<typeof SelfTest>
