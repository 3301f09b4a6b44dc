/** Model versions: brings files in, signs their manifests, knows who is champion. */
import type { Knex } from 'knex'
import type { Static } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import { GateResult, type ImportModel, type ModelVersion } from '../../protocol/http/models.ts'
import { type FileReference, ModelManifest, type SignedManifest } from '../../protocol/manifest.ts'
import { parseJson } from '../../protocol/parse.ts'
import { say } from '../../protocol/sentences.ts'
import type { Blobs } from '../blobs/blobs.ts'
import type { Events } from '../events/events.ts'
import type { DeviceRepository } from '../fleet/device-repository.ts'
import type { ModelRepository, ModelRole, ModelRow } from './model-repository.ts'
import { checkDeployedForm } from './onnx-form.ts'
import type { Signer } from './signer.ts'

export type NewModel = Pick<
  ModelManifest,
  'name' | 'file' | 'input' | 'classes' | 'architecture' | 'lineage' | 'metrics' | 'selfTest'
> & {
  readonly thresholds: Readonly<Record<string, number>>
  readonly role: ModelRole
  readonly gate: GateResult | null
  /** SHA-256 of the float file (already a blob) where the model is int8. */
  readonly trainingFile: string | null
}

/** A class for which nobody proposed a threshold. */
const usualThreshold = 0.4

export class Registry {
  readonly #knex: Knex
  readonly #models: ModelRepository
  readonly #devices: DeviceRepository
  readonly #blobs: Blobs
  readonly #signer: Signer
  readonly #events: Events

  constructor(parts: {
    knex: Knex
    models: ModelRepository
    devices: DeviceRepository
    blobs: Blobs
    signer: Signer
    events: Events
  }) {
    this.#knex = parts.knex
    this.#models = parts.models
    this.#devices = parts.devices
    this.#blobs = parts.blobs
    this.#signer = parts.signer
    this.#events = parts.events
  }

  /**
   * Checks that a blob is a model that devices can run.
   * @throws MuninnError NOT_FOUND, BAD_MODEL
   */
  async checkFile(sha256: string): Promise<FileReference> {
    const bytes = await this.#blobs.get(sha256)
    checkDeployedForm(bytes)
    return { sha256, bytes: bytes.length }
  }

  /** Makes and signs the manifest. Call within a transaction, as the version counts up. */
  async add(model: NewModel, run: number | null, at: number, trx: Knex.Transaction): Promise<ModelRow> {
    const version = await this.#models.nextVersion(trx)
    const manifest: ModelManifest = {
      v: 1,
      name: model.name,
      version,
      file: model.file,
      input: model.input,
      classes: model.classes,
      thresholds: Object.fromEntries(model.classes.map((label) => [label, model.thresholds[label] ?? usualThreshold])),
      architecture: model.architecture,
      createdAt: at,
      lineage: model.lineage,
      metrics: model.metrics,
      selfTest: model.selfTest,
    }
    const row: ModelRow = {
      sha256: model.file.sha256,
      version,
      ...this.#signer.sign(manifest),
      created_at: at,
      role: model.role,
      run_id: run,
      gate: model.gate && JSON.stringify(model.gate),
      training_file: model.trainingFile,
    }
    await this.#models.insert(row, trx)
    return row
  }

  /**
   * Brings an adopted model in (already a blob). As champion only where there is none yet: later ones go through a rollout.
   * The same file again gives the version that is there.
   */
  async import(sha256: string, meta: Static<typeof ImportModel>, at: number): Promise<ModelVersion> {
    const file = await this.checkFile(sha256)
    const added = await this.#knex.transaction(async (trx) => {
      if (await this.#models.find(sha256, trx)) return false
      if (meta.champion && (await this.#models.champion(trx))) throw new MuninnError('NOT_READY', say('error.champion-exists'))
      await this.add(
        {
          name: meta.name,
          file,
          input: meta.input,
          classes: meta.classes,
          thresholds: meta.thresholds ?? {},
          architecture: meta.architecture ?? 'imported',
          lineage: { base: null, dataset: null, run: null },
          metrics: {},
          selfTest: null,
          role: meta.champion ? 'champion' : 'candidate',
          gate: null,
          trainingFile: null,
        },
        null,
        at,
        trx,
      )
      if (meta.champion) for (const { id } of await this.#devices.list(trx)) await this.#devices.desire(id, sha256, trx)
      return true
    })
    if (added) this.#events.emit({ kind: 'model', id: sha256 })
    return await this.get(sha256)
  }

  /** Newest first. */
  async list(): Promise<ModelVersion[]> {
    const running = await this.#devices.countByRunning()
    return (await this.#models.list()).map((row) => view(row, running))
  }

  /** @throws MuninnError NOT_FOUND */
  async get(sha256: string): Promise<ModelVersion> {
    const row = await this.#models.find(sha256)
    if (!row) throw new MuninnError('NOT_FOUND', `there is no model ${sha256}`)
    return view(row, await this.#devices.countByRunning())
  }
}

export const manifestOf = (row: ModelRow): ModelManifest => parseJson(ModelManifest, row.manifest, `manifest of ${row.sha256}`)
export const signedManifestOf = ({ manifest, signature }: ModelRow): SignedManifest => ({ manifest, signature })

function view(row: ModelRow, running: ReadonlyMap<string, number>): ModelVersion {
  return {
    sha256: row.sha256,
    manifest: manifestOf(row),
    createdAt: row.created_at,
    role: row.role,
    run: row.run_id,
    gate: row.gate === null ? null : parseJson(GateResult, row.gate, 'stored gate result'),
    trainingFile: row.training_file,
    devices: running.get(row.sha256) ?? 0,
  }
}
