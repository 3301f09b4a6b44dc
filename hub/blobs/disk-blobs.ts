/** Blobs in a folder: aa/aabb…; written aside, synced, renamed, so that a name always stands for the whole file. */
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readFile, rename, rm, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { MuninnError } from '../../protocol/errors.ts'
import type { FileReference } from '../../protocol/manifest.ts'
import type { Blobs } from './blobs.ts'
import type { DiskSpace } from './disk-space.ts'

export class DiskBlobs implements Blobs {
  readonly #folder: string
  readonly #aside: string
  readonly #space: DiskSpace

  /** @param space told of writes that fail for want of room */
  constructor({ folder, space }: { folder: string; space: DiskSpace }) {
    this.#folder = folder
    this.#space = space
    this.#aside = join(folder, 'aside')
  }

  /** Half-written files of a hub that was killed are of no use. */
  async start(): Promise<void> {
    await rm(this.#aside, { recursive: true, force: true })
    await mkdir(this.#aside, { recursive: true })
    // All 256 folders at once: one per new file would cost two more waits for the disk each.
    for (let first = 0; first < 256; first++)
      await mkdir(join(this.#folder, first.toString(16).padStart(2, '0')), { recursive: true })
    await syncFolder(this.#folder)
  }

  async put(bytes: Uint8Array): Promise<FileReference> {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    if (await this.has(sha256)) return { sha256, bytes: bytes.length }
    const aside = join(this.#aside, randomUUID())
    return await this.#space.writing(async () => {
      const file = await open(aside, 'wx')
      try {
        await file.writeFile(bytes)
        await file.sync()
      } catch (error) {
        // What was written so far is of no use, and a full disk needs the room.
        await unlink(aside)
        throw error
      } finally {
        await file.close()
      }
      await this.#take(aside, sha256)
      return { sha256, bytes: bytes.length }
    })
  }

  async putStream(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<FileReference> {
    const aside = join(this.#aside, randomUUID())
    const hash = createHash('sha256')
    let bytes = 0
    return await this.#space.writing(async () => {
      const file = await open(aside, 'wx')
      try {
        for await (const chunk of source) {
          bytes += chunk.length
          if (bytes > maxBytes) throw new MuninnError('TOO_LARGE', `the file is larger than the ${maxBytes} bytes allowed`)
          hash.update(chunk)
          await file.write(chunk)
        }
        await file.sync()
      } catch (error) {
        await file.close()
        await unlink(aside)
        throw error
      }
      await file.close()
      const sha256 = hash.digest('hex')
      await this.#take(aside, sha256)
      return { sha256, bytes }
    })
  }

  async #take(aside: string, sha256: string): Promise<void> {
    const path = this.#path(sha256)
    await rename(aside, path)
    await syncFolder(dirname(path))
  }

  async get(sha256: string): Promise<Buffer> {
    return await orNotFound(sha256, readFile(this.#path(sha256)))
  }

  async stream(sha256: string): Promise<Readable> {
    await this.size(sha256)
    return createReadStream(this.#path(sha256))
  }

  async size(sha256: string): Promise<number> {
    return (await orNotFound(sha256, stat(this.#path(sha256)))).size
  }

  async has(sha256: string): Promise<boolean> {
    return await stat(this.#path(sha256)).then(
      () => true,
      () => false,
    )
  }

  async remove(sha256: string): Promise<void> {
    await rm(this.#path(sha256), { force: true })
  }

  #path(sha256: string): string {
    return join(this.#folder, sha256.slice(0, 2), sha256)
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function orNotFound<T>(sha256: string, reading: Promise<T>): Promise<T> {
  try {
    return await reading
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')
      throw new MuninnError('NOT_FOUND', `there is no file ${sha256}`, { cause })
    throw cause
  }
}
