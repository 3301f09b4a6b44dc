/** What Prometheus may ask for at /metrics. Gauges are read from the database when it asks. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { ErrorCode } from '../../protocol/errors.ts'
import type { DeploymentState } from '../../protocol/topics.ts'
import type { DiskSpace } from '../blobs/disk-space.ts'
import type { RefusedAction } from '../broker/embedded-broker.ts'
import type { DeviceRepository } from '../fleet/device-repository.ts'
import type { OverviewRepository } from '../overview/overview-repository.ts'
import type { RolloutRepository } from '../rollouts/rollout-repository.ts'
import type { RunRepository } from '../runs/run-repository.ts'

interface Parts {
  readonly space: DiskSpace
  readonly overview: OverviewRepository
  readonly devices: DeviceRepository
  readonly runs: RunRepository
  readonly rollouts: RolloutRepository
  readonly now: () => number
}

export class Metrics {
  readonly registry = new Registry()
  readonly #samples: Counter<'outcome'>
  readonly #refusedMessages: Counter<'kind' | 'code'>
  readonly #refusedDevices: Counter<'action'>
  readonly #refusedRequests: Counter<'code'>
  readonly #deployments: Counter<'state'>

  constructor({ space, overview, devices, runs, rollouts, now }: Parts) {
    const registers = [this.registry]
    collectDefaultMetrics({ register: this.registry })
    this.#samples = new Counter({
      name: 'muninn_samples_total',
      help: 'Samples taken in, by outcome',
      labelNames: ['outcome'],
      registers,
    })
    this.#refusedMessages = new Counter({
      name: 'muninn_refused_messages_total',
      help: 'Messages of devices that were not taken, by kind and error code',
      labelNames: ['kind', 'code'],
      registers,
    })
    this.#refusedDevices = new Counter({
      name: 'muninn_refused_actions_total',
      help: 'Connects, publishes and subscribes that a device had no right to',
      labelNames: ['action'],
      registers,
    })
    this.#refusedRequests = new Counter({
      name: 'muninn_refused_requests_total',
      help: 'HTTP requests that were answered with an error, by its code',
      labelNames: ['code'],
      registers,
    })
    this.#deployments = new Counter({
      name: 'muninn_deployments_total',
      help: 'Deployments that devices have reported as ended, by how: a device refuses a model that this hub did not sign',
      labelNames: ['state'],
      registers,
    })
    const byState = <T extends string>(name: string, help: string, counts: () => Promise<Readonly<Record<string, number>>>) =>
      new Gauge<'state' | T>({
        name,
        help,
        labelNames: ['state'],
        registers,
        async collect() {
          this.reset()
          for (const [state, count] of Object.entries(await counts())) this.set({ state } as Record<'state' | T, string>, count)
        },
      })
    const diskFree = new Gauge({
      name: 'muninn_disk_free_bytes',
      help: 'Bytes that are free where the hub keeps its data',
      registers,
      async collect() {
        diskFree.set((await space.look()).free)
      },
    })
    byState('muninn_tasks', 'Labelling tasks by state', () => overview.tasks(now()))
    byState('muninn_runs', 'Training runs by state', async () =>
      Object.fromEntries((await runs.countByState()).map(({ state, count }) => [state, count])),
    )
    byState('muninn_rollouts', 'Rollouts by state', () => rollouts.countByState())
    byState('muninn_devices', 'Devices by presence', async () => {
      const { total, online } = await devices.presence()
      return { online, offline: total - online }
    })
  }

  sampleTaken(outcome: 'stored' | 'duplicate'): void {
    this.#samples.inc({ outcome })
  }

  messageRefused(kind: string, code: string): void {
    this.#refusedMessages.inc({ kind, code })
  }

  requestRefused(code: ErrorCode): void {
    this.#refusedRequests.inc({ code })
  }

  deploymentEnded(state: DeploymentState): void {
    this.#deployments.inc({ state })
  }

  deviceRefused(action: RefusedAction): void {
    this.#refusedDevices.inc({ action })
  }
}
