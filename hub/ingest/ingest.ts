/** Takes samples in: checks, writes the picture, commits several at a time, and only then acknowledges (design: invariant 2). */
import { createHash } from 'node:crypto'
import type { Knex } from 'knex'
import { MuninnError } from '../../protocol/errors.ts'
import { type Ack, downTopic, type Sample, type SamplePart } from '../../protocol/topics.ts'
import type { Blobs } from '../blobs/blobs.ts'
import type { DiskSpace } from '../blobs/disk-space.ts'
import type { Broker } from '../broker/broker.ts'
import type { Events } from '../events/events.ts'
import { comparedWith, dayOf, type Known, place } from '../samples/near-duplicates.ts'
import { checkPicture } from '../samples/picture.ts'
import type { SampleRepository, SampleRow } from '../samples/sample-repository.ts'
import type { SettingsRepository } from '../settings/settings-repository.ts'
import { decodePayload } from './messages.ts'
import { PartAssembler } from './part-assembler.ts'

export type Outcome = 'stored' | 'duplicate'

interface Parts {
  readonly knex: Knex
  readonly samples: SampleRepository
  readonly settings: SettingsRepository
  readonly blobs: Blobs
  readonly space: DiskSpace
  readonly broker: Broker
  readonly events: Events
  readonly maxPixels: number
  readonly now: () => number
  readonly onTaken: (device: string, outcome: Outcome) => void
}

interface Waiting {
  readonly device: string
  readonly sample: Sample
  readonly thumbnail: Uint8Array
  readonly settle: (error?: unknown) => void
}

/** Unfinished parts per device: two of the largest samples. */
const maxPartBytes = 32 * 1024 * 1024
/** Of all devices together. */
const maxPartBytesTotal = 256 * 1024 * 1024
const mostPerCommit = 200
const dayMilliseconds = 86_400_000
/** Cameras whose latest pictures are kept in memory, about 100 kB each; the others are read again when they send. */
const camerasRemembered = 500

export class Ingest {
  readonly #parts: Parts
  readonly #assembler = new PartAssembler({ maxBytes: maxPartBytes, maxTotal: maxPartBytesTotal })
  readonly #waiting: Waiting[] = []
  /** What new samples of a camera and day are compared with; read from the database when it is first needed. */
  readonly #known = new Map<string, { day: string; known: Known[] }>()
  #committing = false
  #lastCluster: number | undefined

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Settles when the sample is on disk and acknowledged, or rejects: then it is refused, or the device sends it again. */
  async take(device: string, message: Sample | SamplePart): Promise<void> {
    if ('parts' in message) {
      const whole = this.#assembler.add(device, message)
      if (!whole) return
      const sample = decodePayload('sample', whole)
      if ('parts' in sample) throw new MuninnError('INVALID_INPUT', 'a sample part within sample parts')
      return await this.take(device, sample)
    }
    const hash = createHash('sha256').update(message.jpeg).digest('hex')
    if (hash !== message.id) throw new MuninnError('BAD_HASH', `sample ${message.id} has a picture with another hash`)
    if ((await this.#parts.samples.known([message.id])).has(message.id)) {
      this.#parts.onTaken(device, 'duplicate')
      return await this.acknowledge(device, [message.id])
    }
    const thumbnail = await checkPicture(message.jpeg, message, this.#parts.maxPixels)
    await this.#parts.blobs.put(message.jpeg)
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: unknown) => (error === undefined ? resolve() : reject(error))
      this.#waiting.push({ device, sample: message, thumbnail, settle })
      if (!this.#committing) void this.#commitAll()
    })
  }

  /** Tells a device that it may forget these, or that they will never be taken. */
  async acknowledge(device: string, ids: readonly string[], refused: Ack['refused'] = []): Promise<void> {
    const ack: Ack = { v: 1, ids: [...ids], refused }
    await this.#parts.broker.publish(downTopic(device, 'ack'), JSON.stringify(ack), { retain: false, qos: 1 })
  }

  /** Samples that came in while one commit was on its way to the disk share the next one. */
  async #commitAll(): Promise<void> {
    this.#committing = true
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, mostPerCommit)
      try {
        await this.#commit(batch)
        for (const { settle } of batch) settle()
      } catch (error) {
        for (const { settle } of batch) settle(error)
      }
    }
    // In the same turn in which the list was seen empty: a sample that comes later starts the next pass itself.
    this.#committing = false
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    const { knex, samples, events } = this.#parts
    const { heldOutShare } = await this.#parts.settings.get()
    const known = await samples.known(batch.map(({ sample }) => sample.id))
    const rows = new Map<string, SampleRow>()
    for (const waiting of batch) {
      const { id } = waiting.sample
      if (!known.has(id) && !rows.has(id)) rows.set(id, await this.#row(waiting, heldOutShare))
    }
    try {
      await this.#parts.space.writing(() => knex.transaction(async (trx) => await samples.insert([...rows.values()], trx)))
    } catch (error) {
      // The clusters that were given out are not in the database: read them again.
      this.#known.clear()
      this.#lastCluster = undefined
      throw error
    }
    for (const device of new Set(batch.map((waiting) => waiting.device))) {
      const taken = batch.filter((waiting) => waiting.device === device)
      for (const { sample } of taken) this.#parts.onTaken(device, rows.has(sample.id) ? 'stored' : 'duplicate')
      await this.acknowledge(device, [...new Set(taken.map(({ sample }) => sample.id))])
    }
    if (rows.size > 0) events.emit({ kind: 'sample' })
  }

  async #row({ device, sample, thumbnail }: Waiting, heldOutShare: number): Promise<SampleRow> {
    this.#lastCluster ??= await this.#parts.samples.lastCluster()
    const known = await this.#comparable(device, sample)
    const { id, camera, capturedAt, audit } = sample
    const placed = place(
      { id, camera, capturedAt, audit, thumbnail },
      { known, nextCluster: this.#lastCluster + 1, heldOutShare },
    )
    this.#lastCluster = Math.max(this.#lastCluster, placed.cluster)
    known.unshift({ ...placed, thumbnail })
    if (known.length > comparedWith) known.pop()
    return {
      id,
      device_id: device,
      camera,
      captured_at: capturedAt,
      received_at: this.#parts.now(),
      width: sample.width,
      height: sample.height,
      bytes: sample.jpeg.length,
      model: sample.model,
      detections: JSON.stringify(sample.detections),
      reasons: JSON.stringify(sample.reasons),
      score: sample.score,
      audit,
      ...placed,
      embedding: sample.embedding ? Buffer.from(sample.embedding) : null,
      thumbnail: Buffer.from(thumbnail),
      truth: sample.truth ? JSON.stringify(sample.truth) : null,
    }
  }

  async #comparable(device: string, { camera, capturedAt }: Sample): Promise<Known[]> {
    const key = `${device} ${camera}`
    const day = dayOf(capturedAt)
    const cached = this.#known.get(key)
    // The map's order is that of last use: the first is the one to forget.
    this.#known.delete(key)
    if (cached?.day === day) {
      this.#known.set(key, cached)
      return cached.known
    }
    const from = Date.parse(day)
    const known = await this.#parts.samples.latest(device, camera, from, from + dayMilliseconds)
    this.#known.set(key, { day, known })
    if (this.#known.size > camerasRemembered) this.#known.delete(this.#known.keys().next().value!)
    return known
  }
}
