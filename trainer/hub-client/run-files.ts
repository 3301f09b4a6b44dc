/** The files of a run, fetched from the hub once and kept by their hash. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MuninnError } from '../../protocol/errors.ts'
import type { DatasetRecord } from '../../protocol/http/datasets.ts'
import { type LabelledSample, notExhaustive } from '../data/sample.ts'
import { writeAside } from '../files/write-aside.ts'
import type { HubApi } from './hub-api.ts'

/** Requests under way at a time. */
const parallel = 4

export class RunFiles {
  readonly #api: HubApi
  readonly #folder: string

  constructor({ api, folder }: { api: HubApi; folder: string }) {
    this.#api = api
    this.#folder = folder
  }

  /** Bytes under their SHA-256, from the folder or the hub. @throws MuninnError BAD_HASH */
  async fetch(sha256: string, path: string, signal: AbortSignal): Promise<string> {
    const file = join(this.#folder, sha256.slice(0, 2), sha256)
    if (existsSync(file)) return file
    const bytes = new Uint8Array(await (await this.#api.request('GET', path, undefined, { signal })).arrayBuffer())
    const found = createHash('sha256').update(bytes).digest('hex')
    if (found !== sha256) throw new MuninnError('BAD_HASH', `${path} came with the hash ${found}`)
    await writeAside(file, bytes)
    return file
  }

  /** Files of pictures, in their order. */
  async pictures(images: readonly string[], { signal, onFile }: { signal: AbortSignal; onFile: () => void }): Promise<string[]> {
    const paths: string[] = []
    await inParallel(images.length, async (i) => {
      signal.throwIfAborted()
      paths[i] = await this.fetch(images[i]!, `/api/blobs/${images[i]}`, signal)
      onFile()
    })
    return paths
  }

  async model(sha256: string, signal: AbortSignal): Promise<Uint8Array> {
    return await readFile(await this.fetch(sha256, `/api/models/${sha256}/file`, signal))
  }

  /** The file that training goes on from: the float one where the deployed model is int8. */
  async trainingFile(model: string, sha256: string, signal: AbortSignal): Promise<Uint8Array> {
    return await readFile(await this.fetch(sha256, `/api/models/${model}/training-file`, signal))
  }

  /** Pictures of the records, with labels as indices into `classes`; those of other classes are left out. */
  async samples(
    records: readonly DatasetRecord[],
    { classes, signal, onFile }: { classes: readonly string[]; signal: AbortSignal; onFile: () => void },
  ): Promise<LabelledSample[]> {
    const samples: LabelledSample[] = new Array(records.length)
    await inParallel(records.length, async (i) => {
      signal.throwIfAborted()
      const { image, annotations, notExhaustive: partial = [] } = records[i]!
      const path = await this.fetch(image, `/api/blobs/${image}`, signal)
      const labels = annotations.flatMap(({ box, label }) =>
        classes.includes(label) ? [{ box, label: classes.indexOf(label) }] : [],
      )
      const unknown = partial.map((name) => classes.indexOf(name)).filter((label) => label >= 0)
      samples[i] = { path, labels: [...labels, ...unknown.map(notExhaustive)] }
      onFile()
    })
    return samples
  }
}

async function inParallel(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    for (let i = next++; i < count; i = next++) await work(i)
  }
  await Promise.all(Array.from({ length: parallel }, worker))
}
