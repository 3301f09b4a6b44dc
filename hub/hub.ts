/** Composes the hub: every part in one named object, built top to bottom; start() and stop() mirror each other. */
import { join } from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import type { Knex } from 'knex'
import type { HubConfig } from '../protocol/config.ts'
import { MuninnError } from '../protocol/errors.ts'
import { type App, buildApp } from './app.ts'
import { Access } from './auth/access.ts'
import { Accounts } from './auth/accounts.ts'
import { DeviceSecrets } from './auth/device-secrets.ts'
import { TokenRepository } from './auth/token-repository.ts'
import { UserRepository } from './auth/user-repository.ts'
import type { Blobs } from './blobs/blobs.ts'
import { DiskBlobs } from './blobs/disk-blobs.ts'
import { DiskSpace } from './blobs/disk-space.ts'
import type { Broker } from './broker/broker.ts'
import { EmbeddedBroker } from './broker/embedded-broker.ts'
import { ExternalBroker } from './broker/external-broker.ts'
import { migrate, openDatabase } from './database/database.ts'
import { DatasetRepository } from './datasets/dataset-repository.ts'
import { Datasets } from './datasets/datasets.ts'
import { LabelledRepository } from './datasets/labelled-repository.ts'
import { DemoRepository } from './demo/demo-repository.ts'
import { SelfLabeller } from './demo/self-labeller.ts'
import { Events } from './events/events.ts'
import { DesiredStates } from './fleet/desired.ts'
import { DeviceRepository } from './fleet/device-repository.ts'
import { Fleet } from './fleet/fleet.ts'
import { Ingest } from './ingest/ingest.ts'
import { Messages, peekId } from './ingest/messages.ts'
import { Metrics } from './metrics/metrics.ts'
import { OverviewRepository } from './overview/overview-repository.ts'
import { Distribution } from './registry/distribution.ts'
import { ModelRepository } from './registry/model-repository.ts'
import { Registry } from './registry/registry.ts'
import { Signer } from './registry/signer.ts'
import { RolloutRepository } from './rollouts/rollout-repository.ts'
import { Rollouts } from './rollouts/rollouts.ts'
import { Loop } from './rounds/loop.ts'
import { RoundRepository } from './rounds/round-repository.ts'
import { Rounds } from './rounds/rounds.ts'
import { RunRepository } from './runs/run-repository.ts'
import { Runs } from './runs/runs.ts'
import { TrainerDesk } from './runs/trainer-desk.ts'
import { SampleRepository } from './samples/sample-repository.ts'
import { SettingsRepository } from './settings/settings-repository.ts'
import { TaskRepository } from './tasks/task-repository.ts'
import { Tasks } from './tasks/tasks.ts'

export interface HubOptions {
  readonly log: FastifyBaseLogger
  /** Full rights for the program that starts the hub. */
  readonly bootstrapToken?: string
  /** Milliseconds since 1970; tests set their own. */
  readonly now?: () => number
}

export interface HubParts {
  readonly config: HubConfig
  readonly log: FastifyBaseLogger
  readonly now: () => number
  readonly knex: Knex
  readonly blobs: Blobs
  readonly space: DiskSpace
  readonly events: Events
  readonly broker: Broker
  readonly access: Access
  readonly accounts: Accounts
  readonly metrics: Metrics
  readonly tokens: TokenRepository
  readonly settings: SettingsRepository
  readonly samples: SampleRepository
  readonly tasks: Tasks
  readonly labelled: LabelledRepository
  readonly datasets: Datasets
  readonly signer: Signer
  readonly models: ModelRepository
  readonly registry: Registry
  readonly devices: DeviceRepository
  readonly desired: DesiredStates
  readonly fleet: Fleet
  readonly runRows: RunRepository
  readonly runs: Runs
  readonly desk: TrainerDesk
  readonly rollouts: Rollouts
  readonly rounds: Rounds
  readonly loop: Loop
  readonly overview: OverviewRepository
  readonly demo: DemoRepository
}

export interface Hub extends HubParts {
  readonly app: App
  /** Listens when it returns. */
  start(): Promise<{ readonly url: string; readonly mqttUrl: string }>
  stop(): Promise<void>
}

export async function buildHub(config: HubConfig, { log, bootstrapToken, now = Date.now }: HubOptions): Promise<Hub> {
  const knex = openDatabase({ folder: config.dataFolder, ...(config.database && { url: config.database }) })
  const space = new DiskSpace({ folder: config.dataFolder })
  const blobs = new DiskBlobs({ folder: join(config.dataFolder, 'blobs'), space })
  const signer = new Signer({ path: join(config.dataFolder, 'signing-key.pem') })
  const events = new Events()

  const tokens = new TokenRepository({ knex })
  const settings = new SettingsRepository({ knex })
  const labelled = new LabelledRepository({ knex })
  const datasetRows = new DatasetRepository({ knex })
  const models = new ModelRepository({ knex })
  const devices = new DeviceRepository({ knex })
  const runRows = new RunRepository({ knex })
  const rolloutRows = new RolloutRepository({ knex })
  const roundRows = new RoundRepository({ knex })
  const samples = new SampleRepository({ knex })
  const taskRows = new TaskRepository({ knex })
  const overview = new OverviewRepository({ knex })

  const demo = new DemoRepository({ knex })
  const metrics = new Metrics({ space, overview, devices, runs: runRows, rollouts: rolloutRows, now })

  const secrets = new DeviceSecrets({ devices })
  const accounts = new Accounts({ users: new UserRepository({ knex }), now })
  const access = new Access({
    bootstrapToken,
    tokenOwner: async (hash) => (await tokens.findByHash(hash)) ?? null,
    sessionOf: (request) => accounts.sessionOf(request),
  })

  const messages = new Messages({
    isKnown: (device) => fleet.knows(device),
    handlers: {
      status: (device, status) => fleet.onStatus(device, status),
      telemetry: (device, telemetry) => fleet.onTelemetry(device, telemetry),
      deployment: (device, deployment) => fleet.onDeployment(device, deployment),
      preview: (device, preview) => fleet.onPreview(device, preview),
      sample: (device, sample) => ingest.take(device, sample),
    },
    onRefused: async ({ device, kind, payload, error }) => {
      const words = error instanceof Error ? error.message : String(error)
      log.warn({ device, kind, reason: words }, 'message refused')
      metrics.messageRefused(kind, error instanceof MuninnError ? error.code : 'INTERNAL')
      // The hub's own faults are no reason for a device to forget a sample: it sends it again.
      if (kind !== 'sample' || !(error instanceof MuninnError) || error.status >= 500) return
      // Removed by mistake, it may be enrolled again: what it holds must not be lost by then.
      if (error.code === 'NO_TOPIC_RIGHT') return
      const id = peekId(payload)
      if (id !== null) await ingest.acknowledge(device, [], [{ id, reason: `${error.code}: ${words}`.slice(0, 2000) }])
    },
  })
  const broker: Broker = config.broker
    ? new ExternalBroker({
        url: config.broker,
        onMessage: messages.receive,
        onState: (words) => log.warn(words),
        onReturn: () => {
          desired.publishAnew().catch((error: unknown) => log.error({ err: error }, 'the broker is back, its files are not'))
        },
      })
    : new EmbeddedBroker({
        host: config.host,
        port: config.mqttPort,
        authenticate: (device, password) => secrets.check(device, password),
        onMessage: messages.receive,
        onRefused: (what) => {
          log.warn(what, 'device refused')
          metrics.deviceRefused(what.action)
        },
      })

  const ingest = new Ingest({
    knex,
    samples,
    settings,
    blobs,
    space,
    broker,
    events,
    maxPixels: config.maxPixels,
    now,
    onTaken: (_device, outcome) => metrics.sampleTaken(outcome),
  })
  const tasks = new Tasks({ knex, tasks: taskRows, samples, models, settings, overview, events, now })
  const registry = new Registry({ knex, models, devices, blobs, signer, events })
  const distribution = new Distribution({
    models,
    devices,
    blobs,
    broker,
    onError: (sha256, error) => log.error({ sha256, err: error }, 'a model file cannot be published'),
  })
  const desired = new DesiredStates({ devices, models, settings, distribution, broker, now })
  const fleet = new Fleet({
    knex,
    devices,
    models,
    desired,
    signer,
    broker,
    events,
    now,
    mqttUrl: () => config.publicMqttUrl ?? broker.url,
    onDeploymentEnded: (state) => metrics.deploymentEnded(state),
    countSamples: (ids) => labelled.samplesByDevice(ids),
  })
  const datasets = new Datasets({ datasets: datasetRows, labelled, settings, blobs, events, now })
  const runs = new Runs({ runs: runRows, datasets: datasetRows, snapshots: datasets, models, settings, events, now })
  const desk = new TrainerDesk({
    knex,
    runs: runRows,
    views: runs,
    datasets: datasetRows,
    models,
    registry,
    settings,
    blobs,
    events,
    now,
  })
  const rollouts = new Rollouts({ knex, rollouts: rolloutRows, models, devices, settings, desired, events, now })
  const rounds = new Rounds({
    knex,
    rounds: roundRows,
    runs,
    runRows,
    rollouts,
    rolloutRows,
    datasets: datasetRows,
    labelled,
    models,
    settings,
    events,
    now,
  })
  const loop = new Loop({
    rollouts,
    rounds,
    desk,
    events,
    onError: (error) => log.error({ err: error }, 'the loop stumbled; it tries again'),
  })

  const labeller = new SelfLabeller({
    demo,
    tasks,
    samples,
    onError: (error) => log.error({ err: error }, 'the demo labeller stumbled'),
  })

  const parts: HubParts = {
    config,
    log,
    now,
    knex,
    blobs,
    space,
    events,
    broker,
    access,
    accounts,
    metrics,
    tokens,
    settings,
    samples,
    tasks,
    labelled,
    datasets,
    signer,
    models,
    registry,
    devices,
    desired,
    fleet,
    runRows,
    runs,
    desk,
    rollouts,
    rounds,
    loop,
    overview,
    demo,
  }
  const app = await buildApp(parts)

  return {
    ...parts,
    app,
    start: async () => {
      await migrate(knex)
      await blobs.start()
      signer.start()
      await fleet.start()
      await broker.start()
      await desired.publish()
      await desk.start()
      loop.start()
      if (config.demo) labeller.start()
      const url = await app.listen({ host: config.host, port: config.port })
      return { url, mqttUrl: config.publicMqttUrl ?? broker.url }
    },
    stop: async () => {
      await app.close()
      await labeller.stop()
      await loop.stop()
      await broker.stop()
      await messages.settled()
      await knex.destroy()
    },
  }
}
