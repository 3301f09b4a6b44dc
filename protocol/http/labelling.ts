/** Samples, tasks and annotations: what the Label and Data pages talk about. */
import { type Static, Type } from 'typebox'
import { BoxSchema, ClassName, Detection, Id, Reason, Sha256, Share, Time } from '../primitives.ts'

const strict = { additionalProperties: false }
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** A box that a person stands behind. `source` says where it began. */
export const Annotation = Type.Object(
  { box: BoxSchema, label: ClassName, source: Type.Enum(['model', 'person', 'truth', 'import']) },
  strict,
)
export type Annotation = Static<typeof Annotation>

export const TaskState = Type.Enum(['open', 'leased', 'accepted', 'rejected'])
export type TaskState = Static<typeof TaskState>

/** Which part a sample plays: assigned once, by camera, day and near-duplicate cluster. `held-out` is never trained on. */
export const Split = Type.Enum(['train', 'held-out'])
export type Split = Static<typeof Split>

export const SampleView = Type.Object(
  {
    id: Sha256,
    device: Id,
    camera: Id,
    capturedAt: Time,
    receivedAt: Time,
    width: Type.Integer(),
    height: Type.Integer(),
    bytes: Type.Integer(),
    model: nullable(Sha256),
    detections: Type.Array(Detection),
    reasons: Type.Array(Reason),
    score: Share,
    audit: Type.Boolean(),
    split: Split,
    /** The near-duplicate cluster it belongs to. */
    cluster: Type.Integer(),
    task: nullable(Type.Integer()),
    taskState: nullable(TaskState),
    /** The demo street's own truth is known for this one. */
    hasTruth: Type.Boolean(),
    /** Latest accepted annotations; null while none. */
    annotations: nullable(Type.Array(Annotation)),
  },
  strict,
)
export type SampleView = Static<typeof SampleView>

/** GET /api/samples: newest first. `cursor` comes from the last page. */
export const SampleQuery = Type.Object(
  {
    camera: Type.Optional(Id),
    device: Type.Optional(Id),
    reason: Type.Optional(Reason),
    state: Type.Optional(TaskState),
    split: Type.Optional(Split),
    label: Type.Optional(ClassName),
    cursor: Type.Optional(Type.String({ maxLength: 128 })),
    limit: Type.Integer({ minimum: 1, maximum: 200, default: 60 }),
  },
  strict,
)
export const SamplePage = Type.Object(
  { samples: Type.Array(SampleView), next: nullable(Type.String()), total: Type.Integer() },
  strict,
)

export const Task = Type.Object(
  {
    id: Type.Integer(),
    sample: SampleView,
    state: TaskState,
    /** Counts up with each change; `submit` must name the one it saw. */
    version: Type.Integer(),
    /** Highest first. Below 0: something held out looks like it, and nothing will be learnt from its label. */
    priority: Type.Number(),
    leasedBy: nullable(Type.String()),
    leaseExpiresAt: nullable(Time),
    /** What the label page starts from: the last annotations, else the model's boxes above its thresholds. */
    boxes: Type.Array(
      Type.Object({ box: BoxSchema, label: ClassName, source: Annotation.properties.source, score: nullable(Share) }, strict),
    ),
  },
  strict,
)
export type Task = Static<typeof Task>

/** POST /api/tasks/lease: the next tasks for this person; their running leases are given again first. */
export const LeaseTasks = Type.Object(
  { count: Type.Integer({ minimum: 1, maximum: 20, default: 1 }), sample: Type.Optional(Sha256) },
  strict,
)
export const LeasedTasks = Type.Object({ tasks: Type.Array(Task), open: Type.Integer() }, strict)

/** POST /api/tasks/:id/submit. `rejected`: the picture cannot or need not be labelled. An empty list of annotations says "nothing there". */
export const Submit = Type.Object(
  {
    version: Type.Integer(),
    verdict: Type.Enum(['accepted', 'rejected']),
    annotations: Type.Array(Annotation, { maxItems: 1000 }),
    /** Time a person spent on it, for honest cost figures. */
    milliseconds: Type.Integer({ minimum: 0, default: 0 }),
  },
  strict,
)

export const QueueCounts = Type.Object(
  {
    open: Type.Integer(),
    leased: Type.Integer(),
    accepted: Type.Integer(),
    rejected: Type.Integer(),
    sinceSnapshot: Type.Integer(),
    needed: Type.Integer(),
  },
  strict,
)
export type QueueCounts = Static<typeof QueueCounts>

/** GET /api/samples/:id/history: append-only. */
export const HistoryEntry = Type.Object(
  {
    at: Time,
    by: Type.String(),
    verdict: Type.Enum(['accepted', 'rejected', 'reopened']),
    annotations: Type.Array(Annotation),
    milliseconds: Type.Integer(),
  },
  strict,
)
export type HistoryEntry = Static<typeof HistoryEntry>

/** POST /api/demo: the known truth of the demo street answers the queue; and which weather the demo camera shows. */
export const Demo = Type.Object({ selfLabel: Type.Enum(['off', 'person', 'at-once']) }, strict)
export type Demo = Static<typeof Demo>
