/** Dataset versions, training runs, evaluation, gate, model versions, and the trainer's side of the API. */
import { type Static, Type } from 'typebox'
import { ModelInput, ModelManifest } from '../manifest.ts'
import { ClassName, Sha256, Share, Time } from '../primitives.ts'
import { RecipeChanges } from '../recipe.ts'
import { Said, Words } from '../sentences.ts'
import { Annotation, Split } from './labelling.ts'

const strict = { additionalProperties: false }
const nullable = <T extends Type.TSchema>(schema: T, options: { default?: null } = {}) =>
  Type.Union([schema, Type.Null()], options)

export const DatasetVersion = Type.Object(
  {
    id: Type.Integer(),
    /** SHA-256 of its records' canonical text: same content, same digest. */
    digest: Sha256,
    createdAt: Time,
    createdBy: Type.String(),
    classes: Type.Array(ClassName),
    train: Type.Integer(),
    heldOut: Type.Integer(),
    annotations: Type.Integer(),
    perClass: Type.Record(Type.String(), Type.Integer()),
    /**
     * Labelled pictures to learn from that are not in it, by why: chosen at random for evaluation; in the near-duplicate cluster of a
     * held-out picture; a near-duplicate of a held-out picture of another cluster.
     */
    leftOut: Type.Object({ audit: Type.Integer(), cluster: Type.Integer(), lookalike: Type.Integer() }, strict),
  },
  strict,
)
export type DatasetVersion = Static<typeof DatasetVersion>

/** GET /api/datasets/:id/records: `image` is a blob (GET /api/blobs/:sha256) and the sample's id. */
export const DatasetRecord = Type.Object(
  {
    image: Sha256,
    width: Type.Integer(),
    height: Type.Integer(),
    camera: Type.String(),
    capturedAt: Time,
    audit: Type.Boolean(),
    cluster: Type.Integer(),
    split: Split,
    annotations: Type.Array(Annotation),
    /** Classes that were added after it was labelled: nobody looked for them. Left out where there are none. */
    notExhaustive: Type.Optional(Type.Array(ClassName)),
  },
  strict,
)
export type DatasetRecord = Static<typeof DatasetRecord>

export const TrainingSettings = Type.Object(
  {
    /** Upper bound for the training itself; the loop plans its epochs to fit. */
    minutes: Type.Number({ minimum: 0.1, maximum: 10_000, default: 30 }),
    inputSize: Type.Integer({ minimum: 64, maximum: 1280, multipleOf: 32, default: 320 }),
    /** null: the trainer chooses from the number of pictures. */
    epochs: Type.Union([Type.Integer({ minimum: 1, maximum: 10_000 }), Type.Null()], { default: null }),
    learningRate: Type.Union([Type.Number({ exclusiveMinimum: 0, maximum: 1 }), Type.Null()], { default: null }),
    batch: Type.Integer({ minimum: 1, maximum: 256, default: 8 }),
    seed: Type.Integer({ minimum: 0, default: 1 }),
    /** `auto`: the model goes out as int8 where that is much quicker and loses next to nothing; `off`: always as float. */
    quantize: Type.Enum(['auto', 'off'], { default: 'auto' }),
    recipe: RecipeChanges,
    /** Share of the training spent on choosing learning rate and augmentation by short trials; null: they are taken as they are. */
    choose: nullable(Type.Number({ minimum: 0.1, maximum: 0.9 }), { default: null }),
    /** Pictures of the label queue, at most, from which it learns without labels. */
    unlabelled: Type.Integer({ minimum: 0, maximum: 2000, default: 0 }),
    /** Model that labels those; null: the training is its own teacher. */
    teacher: nullable(Sha256, { default: null }),
  },
  { additionalProperties: false, default: {} },
)
export type TrainingSettings = Static<typeof TrainingSettings>

const Interval = Type.Object({ value: Type.Number(), low: Type.Number(), high: Type.Number() }, strict)

/** One model file on the held-out samples. */
export const Evaluation = Type.Object(
  {
    model: Sha256,
    images: Type.Integer(),
    mAP50: Interval,
    'mAP50-95': Interval,
    perClass: Type.Array(
      Type.Object(
        {
          label: ClassName,
          truths: Type.Integer(),
          AP50: Type.Number(),
          'AP50-95': Type.Number(),
          /** Best-F1 score: what the manifest proposes as the deployment threshold. */
          threshold: Share,
          /** Precision at 101 recall levels 0, 0.01, ... 1 (IoU 0.5). */
          precision: Type.Array(Type.Number()),
        },
        strict,
      ),
    ),
    /** Frames with the most wrong with them, worst first. */
    worst: Type.Array(
      Type.Object(
        {
          image: Sha256,
          missed: Type.Integer(),
          spurious: Type.Integer(),
          detections: Type.Array(Type.Object({ box: Annotation.properties.box, label: ClassName, score: Share }, strict)),
        },
        strict,
      ),
    ),
    millisecondsPerImage: Type.Number(),
  },
  strict,
)
export type Evaluation = Static<typeof Evaluation>

const QuantizedFile = Type.Object(
  {
    mAP50: Type.Number(),
    'mAP50-95': Type.Number(),
    /** Median at batch 1 with one thread. */
    milliseconds: Type.Number(),
    bytes: Type.Integer(),
  },
  strict,
)

/** The float file and its int8 file on the same held-out pictures; `proposed`: the int8 one is the challenger. */
export const Quantization = Type.Object(
  { proposed: Type.Boolean(), reasons: Type.Array(Type.String()), float: QuantizedFile, int8: QuantizedFile },
  strict,
)
export type Quantization = Static<typeof Quantization>

const ErrorKind = Type.Object({ dAP: Type.Number(), count: Type.Integer() }, strict)

/** What kinds of errors a model makes on the held-out samples, and whether its scores mean probabilities. */
export const Analysis = Type.Object(
  {
    /** [truth][said] at the proposed thresholds, in the order of `perClass`; the last row and column are the background. */
    confusion: Type.Array(Type.Array(Type.Integer())),
    /** Rise in AP50 were each kind of error mended alone (TIDE, Bolya et al. 2020). */
    errors: Type.Object(
      {
        AP50: Type.Number(),
        kinds: Type.Object(
          { Cls: ErrorKind, Loc: ErrorKind, Both: ErrorKind, Dupe: ErrorKind, Bkg: ErrorKind, Miss: ErrorKind },
          strict,
        ),
        falsePositive: Type.Number(),
        falseNegative: Type.Number(),
      },
      strict,
    ),
    /** Expected calibration error and its bins: mean score and share of right detections. */
    calibration: Type.Object(
      {
        ECE: Type.Number(),
        bins: Type.Array(
          Type.Object(
            {
              low: Type.Number(),
              high: Type.Number(),
              count: Type.Integer(),
              confidence: Type.Number(),
              precision: Type.Number(),
            },
            strict,
          ),
        ),
      },
      strict,
    ),
  },
  strict,
)
export type Analysis = Static<typeof Analysis>

/** What a trainer says of a finished run. `difference` is challenger minus champion, paired bootstrap over images. */
export const RunReport = Type.Object(
  {
    challenger: Evaluation,
    champion: nullable(Evaluation),
    difference: nullable(Type.Object({ mAP50: Interval, 'mAP50-95': Interval }, strict)),
    /** Of the challenger; reports of older trainers lack it. */
    analysis: Type.Optional(Analysis),
    trainMinutes: Type.Number(),
    steps: Type.Integer(),
    device: Type.String(),
    /** null: no int8 file was made. */
    quantization: Type.Optional(nullable(Quantization)),
  },
  strict,
)
export type RunReport = Static<typeof RunReport>

/** `reasons`: what speaks against it first. */
export const GateResult = Type.Object({ passed: Type.Boolean(), reasons: Type.Array(Said), at: Time }, strict)
export type GateResult = Static<typeof GateResult>

export const RunState = Type.Enum(['queued', 'running', 'finished', 'failed', 'cancelled'])
export type RunState = Static<typeof RunState>

/** A point of the live curves; `values` e.g. { loss: 1.2, box: 0.4, learningRate: 0.001, 'mAP50': 0.5 }. */
export const MetricPoint = Type.Object(
  { step: Type.Integer({ minimum: 0 }), at: Time, values: Type.Record(Type.String(), Type.Number()) },
  strict,
)
export type MetricPoint = Static<typeof MetricPoint>

export const RunProgress = Type.Object(
  {
    phase: Type.Enum(['fetching', 'training', 'evaluating', 'quantizing', 'exporting', 'uploading']),
    step: Type.Integer({ minimum: 0 }),
    steps: Type.Integer({ minimum: 0 }),
    etaSeconds: nullable(Type.Number({ minimum: 0 })),
    imagesPerSecond: nullable(Type.Number({ minimum: 0 })),
  },
  strict,
)
export type RunProgress = Static<typeof RunProgress>

export const Run = Type.Object(
  {
    id: Type.Integer(),
    state: RunState,
    dataset: DatasetVersion,
    /** Model that training starts from; null: from the street detector that comes with Muninn. */
    base: nullable(Sha256),
    champion: nullable(Sha256),
    settings: TrainingSettings,
    createdAt: Time,
    createdBy: Type.String(),
    startedAt: nullable(Time),
    finishedAt: nullable(Time),
    trainer: nullable(Type.String()),
    attempts: Type.Integer(),
    progress: nullable(RunProgress),
    error: nullable(Words),
    /** SHA-256 of the model it made. */
    model: nullable(Sha256),
    gate: nullable(GateResult),
    report: nullable(RunReport),
    /** Whether there is a page with everything: GET /api/runs/:id/report.html */
    page: Type.Boolean(),
  },
  strict,
)
export type Run = Static<typeof Run>

/** The same type without its default: what is left out stays out, and the project's settings count. */
function bare<T extends Type.TSchema>(schema: T): T {
  const { default: _, ...rest } = schema as T & { default?: unknown }
  return rest as T
}
const { minutes, inputSize, epochs, learningRate, batch, seed, quantize, recipe, choose, unlabelled, teacher } =
  TrainingSettings.properties

/** POST /api/runs. Without `dataset` a snapshot is taken now; without `base` the champion is the base. */
export const NewRun = Type.Object(
  {
    dataset: Type.Optional(Type.Integer()),
    base: Type.Optional(nullable(Sha256)),
    settings: Type.Optional(
      Type.Partial(
        Type.Object({
          minutes: bare(minutes),
          inputSize: bare(inputSize),
          epochs: bare(epochs),
          learningRate: bare(learningRate),
          batch: bare(batch),
          seed: bare(seed),
          quantize: bare(quantize),
          recipe: bare(recipe),
          choose: bare(choose),
          unlabelled: bare(unlabelled),
          teacher: bare(teacher),
        } satisfies Record<keyof TrainingSettings, Type.TSchema>),
        strict,
      ),
    ),
  },
  strict,
)

export const LogLine = Type.Object({ at: Time, text: Type.String({ maxLength: 4000 }) }, strict)
export type LogLine = Static<typeof LogLine>
/** GET /api/runs/:id/metrics and /logs?after=N */
export const Metrics = Type.Object({ points: Type.Array(MetricPoint) }, strict)
export const Logs = Type.Object(
  {
    lines: Type.Array(
      /** `said`: the hub's own lines, `text` in every language; null for those of the trainer. */
      Type.Object({ n: Type.Integer(), at: Time, text: Type.String(), said: nullable(Words) }, strict),
    ),
  },
  strict,
)

// ---- the trainer's side (bearer token with the role `trainer`)

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

// ---- models

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
