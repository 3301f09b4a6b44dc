/** The trainer's side of the API (bearer token with the role `trainer`): leases, heartbeats, the end of a run. */
import { type Static, Type } from 'typebox'
import { ModelInput, ModelManifest } from '../manifest.ts'
import { ClassName, Sha256, Share } from '../primitives.ts'
import { RunReport } from './reports.ts'
import { LogLine, MetricPoint, Run, RunProgress } from './runs.ts'

const strict = { additionalProperties: false }
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** POST /api/trainer/lease -> 200 RunLease, or 204 when there is nothing to do. */
export const LeaseRun = Type.Object(
  {
    trainer: Type.String({ minLength: 1, maxLength: 128 }),
    device: Type.String({ maxLength: 256 }),
    /** A lease that it was given before it was started again: whoever has it may go on at once; the old lease is worth nothing then. */
    held: Type.Optional(Type.Object({ run: Type.Integer(), lease: Type.String({ minLength: 1, maxLength: 64 }) }, strict)),
  },
  strict,
)
export const RunLease = Type.Object(
  {
    run: Run,
    /** Must be named in every later call; a call with a lease that ran out gets LEASE_LOST. */
    lease: Type.String(),
    leaseSeconds: Type.Number(),
    baseManifest: nullable(ModelManifest),
    /** SHA-256 of the file to go on from (GET /api/models/{base}/training-file): the float file where the deployed one is int8. */
    baseTrainingFile: nullable(Sha256),
    championManifest: nullable(ModelManifest),
    /** Version that the base model was trained on: pictures that it had with the same boxes are the old ones. null: not known. */
    baseDataset: nullable(Type.Integer()),
    /** Pictures of the label queue as it was when the run was made (GET /api/blobs/:sha256). */
    unlabelled: Type.Array(Sha256),
    /** Step of the last checkpoint the hub has; GET /api/trainer/runs/:id/checkpoint. null: none. */
    checkpointStep: nullable(Type.Integer()),
  },
  strict,
)
export type RunLease = Static<typeof RunLease>

/** POST /api/trainer/runs/:id/heartbeat (header `muninn-lease`) */
export const Heartbeat = Type.Object(
  { progress: RunProgress, points: Type.Array(MetricPoint, { maxItems: 5000 }), lines: Type.Array(LogLine, { maxItems: 5000 }) },
  strict,
)
export const HeartbeatAnswer = Type.Object({ cancel: Type.Boolean() }, strict)
// PUT  /api/trainer/runs/:id/checkpoint?step=N   octet-stream; GET the same path gives the last one
// PUT  /api/trainer/runs/:id/model               octet-stream: the ONNX file -> FileReference
// PUT  /api/trainer/runs/:id/training-file       octet-stream: the float file of an int8 model -> FileReference
// PUT  /api/trainer/runs/:id/self-test           octet-stream: SelfTest in CBOR -> FileReference
// PUT  /api/trainer/runs/:id/report              octet-stream: the report as an HTML page -> FileReference; may be left out
/** POST /api/trainer/runs/:id/finish */
export const FinishRun = Type.Object(
  {
    report: RunReport,
    model: Sha256,
    selfTest: nullable(Sha256),
    /** The float file that an int8 model was made from, so that the next run can go on from it. */
    trainingFile: Type.Optional(nullable(Sha256)),
    input: ModelInput,
    classes: Type.Array(ClassName, { minItems: 1 }),
    thresholds: Type.Record(Type.String(), Share),
    architecture: Type.String(),
  },
  strict,
)
/** POST /api/trainer/runs/:id/fail. `retry`: another attempt may help. */
export const FailRun = Type.Object({ error: Type.String({ maxLength: 8000 }), retry: Type.Boolean() }, strict)
