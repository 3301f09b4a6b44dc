/** Devices: enrols them, hears what they say, asks them for pictures. */
import type { Knex } from 'knex'
import type { Static } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import type { Device, DevicePage, DeviceQuery, Enrolment, NewDevice } from '../../protocol/http/fleet.ts'
import { say } from '../../protocol/sentences.ts'
import { type Deployment, downTopic, type Preview, type Status, type Telemetry, type Watch } from '../../protocol/topics.ts'
import { hashSecret, newSecret } from '../auth/device-secrets.ts'
import type { Broker } from '../broker/broker.ts'
import type { Events } from '../events/events.ts'
import type { ModelRepository } from '../registry/model-repository.ts'
import type { Signer } from '../registry/signer.ts'
import { agentYaml, reachableBroker } from './agent-yaml.ts'
import type { DesiredStates } from './desired.ts'
import type { DeviceRepository } from './device-repository.ts'
import { deploymentOf, viewDevice } from './device-view.ts'
import { PreviewStore } from './previews.ts'

/** How long a device sends pictures after each time it was asked. */
const watchSeconds = 15

/** States of a deployment after which nothing more comes. */
const ended: ReadonlySet<Deployment['state']> = new Set(['confirmed', 'refused', 'rolled-back'])

interface Parts {
  readonly knex: Knex
  readonly devices: DeviceRepository
  readonly models: ModelRepository
  readonly desired: DesiredStates
  readonly signer: Signer
  readonly broker: Broker
  readonly events: Events
  readonly now: () => number
  /** What devices are told to connect to; known once the broker listens. */
  readonly mqttUrl: () => string
  readonly onDeploymentEnded: (state: Deployment['state']) => void
  /** How many samples came from each of these devices; one that sent none is left out. */
  readonly countSamples: (devices: readonly string[]) => Promise<ReadonlyMap<string, number>>
}

export class Fleet {
  readonly #parts: Parts
  readonly #previews: PreviewStore
  readonly #askedAt = new Map<string, number>()
  /** Enrolled ones that have spoken: each of their messages asks. */
  readonly #known = new Set<string>()

  constructor(parts: Parts) {
    this.#parts = parts
    this.#previews = new PreviewStore({ now: parts.now })
  }

  /** Before the broker: an external one tells at once, by retained messages, who is there. */
  async start(): Promise<void> {
    await this.#parts.devices.allOffline()
  }

  /** A new device starts with the champion, if there is one. @throws MuninnError VERSION_CONFLICT when the name is taken */
  async enrol({ id, name, site }: Static<typeof NewDevice>, hostname: string): Promise<Enrolment> {
    const { knex, devices, models, now } = this.#parts
    const password = newSecret()
    const password_hash = hashSecret(password)
    const created = await knex.transaction(async (trx) => {
      const champion = (await models.champion(trx))?.sha256 ?? null
      const row = { id, name: name || id, site: site ?? '', created_at: now(), password_hash }
      return await devices.insert({ ...row, desired_model: champion, desired_deployment: champion ? 1 : 0 }, trx)
    })
    if (!created) throw new MuninnError('VERSION_CONFLICT', say('error.device-exists', { id }))
    await this.#parts.desired.publish([id])
    this.#parts.events.emit({ kind: 'device', id })
    return this.#enrolment(id, password, hostname)
  }

  /** A new password; the old one is worth nothing from now on. @throws MuninnError NOT_FOUND */
  async rotate(id: string, hostname: string): Promise<Enrolment> {
    const password = newSecret()
    if (!(await this.#parts.devices.change(id, { password_hash: hashSecret(password) }))) throw missing(id)
    await this.#parts.broker.disconnect(id)
    this.#parts.events.emit({ kind: 'device', id })
    return this.#enrolment(id, password, hostname)
  }

  /** Its samples and labels stay. @throws MuninnError NOT_FOUND */
  async remove(id: string): Promise<void> {
    if (!(await this.#parts.devices.delete(id))) throw missing(id)
    this.#known.delete(id)
    await this.#parts.broker.disconnect(id)
    await this.#parts.desired.forget(id)
    this.#previews.forget(id)
    this.#askedAt.delete(id)
    this.#parts.events.emit({ kind: 'device', id })
  }

  async page(query: Static<typeof DeviceQuery>): Promise<Static<typeof DevicePage>> {
    const { rows, next, total } = await this.#parts.devices.page(query)
    const samples = await this.#parts.countSamples(rows.map(({ id }) => id))
    return { devices: rows.map((row) => viewDevice(row, samples.get(row.id) ?? 0)), next, total }
  }

  /** @throws MuninnError NOT_FOUND */
  async get(id: string): Promise<Device> {
    const row = await this.#parts.devices.find(id)
    if (!row) throw missing(id)
    return viewDevice(row, (await this.#parts.countSamples([id])).get(id) ?? 0)
  }

  /** Asks the device for pictures (at most every few seconds) and gives those it has sent. @throws MuninnError NOT_FOUND */
  async watch(id: string): Promise<Preview[]> {
    const { devices, broker, now } = this.#parts
    if (!(await devices.find(id))) throw missing(id)
    if (now() - (this.#askedAt.get(id) ?? 0) > (watchSeconds * 1000) / 3) {
      this.#askedAt.set(id, now())
      const watch: Watch = { v: 1, seconds: watchSeconds }
      await broker.publish(downTopic(id, 'watch'), JSON.stringify(watch), { retain: false, qos: 1 })
    }
    return this.#previews.list(id)
  }

  /** @throws MuninnError NOT_FOUND when there is none of the last minute */
  preview(id: string, camera: string): Preview {
    const found = this.#previews.list(id).find((preview) => preview.camera === camera)
    if (!found) throw new MuninnError('NOT_FOUND', `no picture of ${camera} in the last minute`)
    return found
  }

  // ---- what devices say

  async knows(id: string): Promise<boolean> {
    if (this.#known.has(id)) return true
    const known = await this.#parts.devices.exists(id)
    if (known) this.#known.add(id)
    return known
  }

  async onStatus(id: string, status: Status): Promise<void> {
    const now = this.#parts.now()
    // A last will was written when the device connected, and the broker publishes it: its clock and its hour say nothing.
    const seen = status.online ? { last_seen: now, clock_skew: status.at - now } : {}
    const cameras_live = status.cameras.filter(({ state }) => state === 'live').length
    const told = {
      online: status.online,
      status: JSON.stringify(status),
      running_model: status.model,
      cameras: status.cameras.length,
      cameras_live,
    }
    if (await this.#parts.devices.change(id, { ...told, ...seen })) this.#parts.events.emit({ kind: 'device', id })
  }

  async onTelemetry(id: string, telemetry: Telemetry): Promise<void> {
    const change = { telemetry: JSON.stringify(telemetry), last_seen: this.#parts.now(), online: true }
    if (await this.#parts.devices.change(id, change)) this.#parts.events.emit({ kind: 'telemetry', id })
  }

  async onDeployment(id: string, deployment: Deployment): Promise<void> {
    const row = await this.#parts.devices.find(id)
    if (!row) return
    await this.#parts.devices.change(id, { deployment: JSON.stringify(deployment) })
    this.#parts.events.emit({ kind: 'device', id })
    const before = deploymentOf(row)
    // Told again at each connect.
    const news = before?.deployment !== deployment.deployment || before.state !== deployment.state
    if (news && ended.has(deployment.state)) this.#parts.onDeploymentEnded(deployment.state)
  }

  async onPreview(id: string, preview: Preview): Promise<void> {
    this.#previews.put(id, preview)
  }

  /** @param hostname by which whoever asks reaches the hub */
  #enrolment(device: string, password: string, hostname: string): Enrolment {
    const mqttUrl = reachableBroker(this.#parts.mqttUrl(), hostname)
    const facts = { device, password, mqttUrl, publicKey: this.#parts.signer.publicKey }
    return { ...facts, config: agentYaml(facts) }
  }
}

const missing = (id: string) => new MuninnError('NOT_FOUND', say('error.no-device', { id }))
