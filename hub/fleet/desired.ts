/** Tells each device, retained, what it should run and mine. */
import { type Desired, downTopic } from '../../protocol/topics.ts'
import type { Broker } from '../broker/broker.ts'
import type { Distribution } from '../registry/distribution.ts'
import type { ModelRepository, ModelRow } from '../registry/model-repository.ts'
import { signedManifestOf } from '../registry/registry.ts'
import type { SettingsRepository } from '../settings/settings-repository.ts'
import type { DeviceRepository } from './device-repository.ts'

export class DesiredStates {
  readonly #devices: DeviceRepository
  readonly #models: ModelRepository
  readonly #settings: SettingsRepository
  readonly #distribution: Distribution
  readonly #broker: Broker
  readonly #now: () => number

  constructor(parts: {
    devices: DeviceRepository
    models: ModelRepository
    settings: SettingsRepository
    distribution: Distribution
    broker: Broker
    now: () => number
  }) {
    this.#devices = parts.devices
    this.#models = parts.models
    this.#settings = parts.settings
    this.#distribution = parts.distribution
    this.#broker = parts.broker
    this.#now = parts.now
  }

  /**
   * Brings the broker in line with the database: first the files, then the wishes, then what nobody wants any more goes.
   * @param only these devices; left out: all of them
   */
  async publish(only?: readonly string[]): Promise<void> {
    await this.#distribution.sync()
    const settings = await this.#settings.get()
    const models = new Map<string, ModelRow | undefined>()
    for (const device of only ? await this.#devices.some(only) : await this.#devices.list()) {
      const wanted = device.desired_model
      if (wanted !== null && !models.has(wanted)) models.set(wanted, await this.#models.find(wanted))
      const model = wanted === null ? undefined : models.get(wanted)
      const desired: Desired = {
        v: 1,
        deployment: device.desired_deployment,
        model: model ? signedManifestOf(model) : null,
        probationSeconds: settings.rollout.probationSeconds,
        mining: settings.mining,
        at: this.#now(),
      }
      await this.#broker.publish(downTopic(device.id, 'desired'), JSON.stringify(desired), { retain: true, qos: 1 })
    }
  }

  /** As `publish`, for a broker that may have lost everything. */
  async publishAnew(): Promise<void> {
    this.#distribution.forgetPublished()
    await this.publish()
  }

  /** A device that was removed leaves nothing behind. */
  async forget(device: string): Promise<void> {
    await this.#broker.publish(downTopic(device, 'desired'), '', { retain: true, qos: 1 })
    await this.#distribution.sync()
  }
}
