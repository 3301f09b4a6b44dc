/** Training runs with their curves and logs. */
import { type Static, Type } from 'typebox'
import { Sha256, Time } from '../primitives.ts'
import { Words } from '../sentences.ts'
import { DatasetVersion } from './datasets.ts'
import { GateResult } from './models.ts'
import { RunReport } from './reports.ts'
import { ChosenSettings, TrainingSettings } from './training-settings.ts'

const strict = { additionalProperties: false }
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

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

/** POST /api/runs. Without `dataset` a snapshot is taken now; without `base` the champion is the base. */
export const NewRun = Type.Object(
  {
    dataset: Type.Optional(Type.Integer()),
    base: Type.Optional(nullable(Sha256)),
    settings: Type.Optional(ChosenSettings),
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
