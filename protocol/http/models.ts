/** Model versions, what the gate said of them, and models brought in. */
import { type Static, Type } from 'typebox'
import { ModelInput, ModelManifest } from '../manifest.ts'
import { ClassName, Sha256, Share, Time } from '../primitives.ts'
import { Said } from '../sentences.ts'

const strict = { additionalProperties: false }
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** `reasons`: what speaks against it first. */
export const GateResult = Type.Object({ passed: Type.Boolean(), reasons: Type.Array(Said), at: Time }, strict)
export type GateResult = Static<typeof GateResult>

export const ModelVersion = Type.Object(
  {
    sha256: Sha256,
    manifest: ModelManifest,
    createdAt: Time,
    /** `champion`: in production; `challenger`: passed the gate and waits; `candidate`: not gated, or failed; `retired`: was champion. */
    role: Type.Enum(['champion', 'challenger', 'candidate', 'retired']),
    run: nullable(Type.Integer()),
    gate: nullable(GateResult),
    /** The float file that training goes on from, where the model itself is int8. */
    trainingFile: nullable(Sha256),
    /** devices that report running it now */
    devices: Type.Integer(),
  },
  strict,
)
export type ModelVersion = Static<typeof ModelVersion>

/** POST /api/models?meta=<JSON of this> with the ONNX file as octet-stream: brings an adopted model in. */
export const ImportModel = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 128 }),
    classes: Type.Array(ClassName, { minItems: 1, maxItems: 1000 }),
    input: ModelInput,
    thresholds: Type.Optional(Type.Record(Type.String(), Share)),
    architecture: Type.Optional(Type.String({ maxLength: 128 })),
    /** Make it the champion at once: the first model of a project has nobody to beat. */
    champion: Type.Boolean({ default: false }),
  },
  strict,
)
