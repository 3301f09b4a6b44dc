/** Devices, rollouts, settings, overview, live events. */
import { type Static, Type } from 'typebox'
import { MiningSettings } from '../mining.ts'
import { ClassName, Detection, Id, Sha256, Share, Time } from '../primitives.ts'
import { Words } from '../sentences.ts'
import { Deployment, Status, Telemetry } from '../topics.ts'
import { Demo, QueueCounts } from './labelling.ts'
import { GateResult } from './models.ts'
import { TrainingSettings } from './training-settings.ts'

const strict = { additionalProperties: false }
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

export const Device = Type.Object(
  {
    id: Id,
    name: Type.String(),
    site: Type.String(),
    createdAt: Time,
    online: Type.Boolean(),
    lastSeen: nullable(Time),
    /** Device clock minus hub clock when its last status came, milliseconds. */
    clockSkew: nullable(Type.Number()),
    status: nullable(Status),
    telemetry: nullable(Telemetry),
    deployment: nullable(Deployment),
    /** The model it should run. */
    desired: nullable(Sha256),
    samples: Type.Integer(),
  },
  strict,
)
export type Device = Static<typeof Device>

/** GET /api/devices. `cursor` comes from the last page. */
export const DeviceQuery = Type.Object(
  {
    /** Part of the id, name or site; upper and lower case are the same. */
    search: Type.Optional(Type.String({ maxLength: 128 })),
    online: Type.Optional(Type.Boolean()),
    /** `last-seen`: the latest first; `site`: and by id within one. */
    sort: Type.Enum(['id', 'site', 'last-seen'], { default: 'id' }),
    cursor: Type.Optional(Type.String({ maxLength: 256 })),
    limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
  },
  strict,
)
export const DevicePage = Type.Object(
  { devices: Type.Array(Device), next: nullable(Type.String()), total: Type.Integer() },
  strict,
)

/** POST /api/devices */
export const NewDevice = Type.Object(
  { id: Id, name: Type.Optional(Type.String({ maxLength: 128 })), site: Type.Optional(Type.String({ maxLength: 128 })) },
  strict,
)
/** The answer; the password is shown this once. `config` is an agent.yaml ready to use. */
export const Enrolment = Type.Object(
  { device: Id, password: Type.String(), mqttUrl: Type.String(), publicKey: Type.String(), config: Type.String() },
  strict,
)
export type Enrolment = Static<typeof Enrolment>

/** GET /api/devices/:id/previews: asks the device to send previews for the next seconds and gives the last ones (JPEG under /previews/:camera). */
export const PreviewView = Type.Object(
  { camera: Id, at: Time, width: Type.Integer(), height: Type.Integer(), detections: Type.Array(Detection) },
  strict,
)
export const Previews = Type.Object({ previews: Type.Array(PreviewView) }, strict)

/** POST /api/rollouts */
export const NewRollout = Type.Object(
  {
    model: Sha256,
    /** Devices of the first wave; left out: chosen by the hub. */
    canaries: Type.Optional(Type.Array(Id)),
    /** A challenger that failed the gate goes out only with a written reason. */
    override: Type.Optional(Type.String({ minLength: 5, maxLength: 1000 })),
  },
  strict,
)
export const RolloutState = Type.Enum(['running', 'paused', 'finished', 'rolled-back'])
const rolloutItself = {
  id: Type.Integer(),
  model: Sha256,
  previous: nullable(Sha256),
  state: RolloutState,
  reason: Words,
  createdAt: Time,
  createdBy: Type.String(),
  finishedAt: nullable(Time),
  /** Index of the wave that runs. */
  wave: Type.Integer(),
}
/** GET /api/rollouts: newest first */
export const RolloutSummary = Type.Object(rolloutItself, strict)
export type RolloutSummary = Static<typeof RolloutSummary>
/** Devices of a wave that are named. */
export const namedOfWave = 40
/** A wave may be of thousands of devices: they are counted by state; named are the first of them, those that said no before all others. */
export const RolloutWave = Type.Object(
  {
    states: Type.Record(Type.String(), Type.Integer()),
    devices: Type.Array(Type.Object({ device: Id, state: Type.String(), reason: Type.String() }, strict), {
      maxItems: namedOfWave,
    }),
  },
  strict,
)
export type RolloutWave = Static<typeof RolloutWave>
/** GET /api/rollouts/:id */
export const Rollout = Type.Object({ ...rolloutItself, waves: Type.Array(RolloutWave) }, strict)
export type Rollout = Static<typeof Rollout>
/** POST /api/rollouts/:id/act */
export const RolloutAction = Type.Object(
  { action: Type.Enum(['pause', 'resume', 'rollback']), reason: Type.String({ maxLength: 1000, default: '' }) },
  strict,
)

/** One turn of the loop, for the overview. */
export const Round = Type.Object(
  {
    number: Type.Integer(),
    state: Type.Enum(['mining', 'labelling', 'training', 'gate', 'waiting', 'rollout', 'done', 'stopped']),
    /** What it waits for, or why it ended. */
    note: Words,
    startedAt: Time,
    firstSampleAt: nullable(Time),
    trainedAt: nullable(Time),
    deployedAt: nullable(Time),
    labels: Type.Integer(),
    samples: Type.Integer(),
    dataset: nullable(Type.Integer()),
    run: nullable(Type.Integer()),
    rollout: nullable(Type.Integer()),
    modelBefore: nullable(Sha256),
    modelAfter: nullable(Sha256),
    mAP50Before: nullable(Type.Number()),
    mAP50After: nullable(Type.Number()),
    gate: nullable(GateResult),
    /** From the first hard frame to the first device that confirmed the new model. */
    minutes: nullable(Type.Number()),
  },
  strict,
)
export type Round = Static<typeof Round>

/** GET and PUT /api/settings */
export const Settings = Type.Object(
  {
    projectName: Type.String({ minLength: 1, maxLength: 128, default: 'Muninn' }),
    classes: Type.Array(
      Type.Object(
        {
          name: ClassName,
          color: Type.String({ pattern: '^#[0-9a-f]{6}$' }),
          /**
           * When the class was added, which the hub fills in: pictures labelled before say nothing of it. Left out for a project's first
           * classes; 0 once someone said that the earlier pictures were looked through for it, too.
           */
          since: Type.Optional(Time),
        },
        strict,
      ),
      { maxItems: 1000, default: [] },
    ),
    /** Accepted labels (train split) after which a round goes on to training by itself. */
    labelsPerRound: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 100 }),
    autoTrain: Type.Boolean({ default: true }),
    autoDeploy: Type.Boolean({ default: false }),
    leaseSeconds: Type.Integer({ minimum: 30, maximum: 86_400, default: 600 }),
    /** Share of near-duplicate clusters kept for evaluation. */
    heldOutShare: Type.Number({ minimum: 0.05, maximum: 0.9, default: 0.25 }),
    gate: Type.Object(
      {
        /** Least gain of mAP50 (its value). */
        minimumGain: Type.Number({ minimum: -1, maximum: 1, default: 0.01 }),
        /** The lower end of the paired 95 % interval must be above minus this. */
        tolerance: Share,
        /** No class may lose more AP50 than this. */
        maximumClassLoss: Share,
        minimumImages: Type.Integer({ minimum: 1, default: 10 }),
        /** Least mAP50 of a first model, which has no champion to beat: below it, devices do better by motion and novelty alone. */
        firstModelMinimum: Type.Number({ minimum: 0, maximum: 1, default: 0.1 }),
      },
      {
        additionalProperties: false,
        default: { minimumGain: 0.01, tolerance: 0, maximumClassLoss: 0.1, minimumImages: 10, firstModelMinimum: 0.1 },
      },
    ),
    training: TrainingSettings,
    mining: MiningSettings,
    rollout: Type.Object(
      {
        canaries: Type.Integer({ minimum: 1, default: 1 }),
        probationSeconds: Type.Number({ minimum: 0, maximum: 86_400, default: 60 }),
      },
      { additionalProperties: false, default: {} },
    ),
  },
  strict,
)
export type Settings = Static<typeof Settings>

/** GET /api/overview */
export const Overview = Type.Object(
  {
    queue: QueueCounts,
    samples: Type.Object(
      { total: Type.Integer(), lastHour: Type.Integer(), bytes: Type.Integer(), latest: Type.Array(Sha256) },
      strict,
    ),
    devices: Type.Object(
      { total: Type.Integer(), online: Type.Integer(), camerasLive: Type.Integer(), cameras: Type.Integer() },
      strict,
    ),
    /** Bytes that are free where the hub keeps everything; `full`: the last write failed for want of them. */
    disk: Type.Object({ free: Type.Integer(), full: Type.Boolean() }, strict),
    trainers: Type.Integer(),
    champion: nullable(
      Type.Object({ sha256: Sha256, name: Type.String(), version: Type.Integer(), mAP50: nullable(Type.Number()) }, strict),
    ),
    challenger: nullable(
      Type.Object({ sha256: Sha256, name: Type.String(), version: Type.Integer(), mAP50: nullable(Type.Number()) }, strict),
    ),
    run: nullable(Type.Integer()),
    rounds: Type.Array(Round),
    demo: nullable(Demo),
    settings: Type.Object({ autoTrain: Type.Boolean(), autoDeploy: Type.Boolean() }, strict),
  },
  strict,
)
export type Overview = Static<typeof Overview>

/** GET /api/events (server-sent events): which things changed; pages fetch them again. */
export const HubEvent = Type.Object(
  {
    kind: Type.Enum(['sample', 'task', 'dataset', 'run', 'model', 'device', 'telemetry', 'rollout', 'round', 'settings']),
    id: Type.Optional(Type.Union([Type.String(), Type.Integer()])),
  },
  strict,
)
export type HubEvent = Static<typeof HubEvent>
