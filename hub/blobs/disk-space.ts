/** Knows whether the disk is full: told by writes that failed for it, and asked anew by a small write until one succeeds. */
import { randomUUID } from 'node:crypto'
import { open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { MuninnError } from '../../protocol/errors.ts'
import { say } from '../../protocol/sentences.ts'

/** Of the file system (errno 28 and 122), of SQLite (sqlite.org, "Result and error codes") and of PostgreSQL (appendix A). */
const fullCodes: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 'SQLITE_FULL', '53100'])
/** As much as a small sample. */
const probeBytes = 64 * 1024

export class DiskSpace {
  readonly #folder: string
  #full = false

  constructor({ folder }: { folder: string }) {
    this.#folder = folder
  }

  /** Runs what writes. @throws MuninnError UNAVAILABLE in place of an error that says that the disk is full; any other error as it is */
  async writing<T>(write: () => Promise<T>): Promise<T> {
    try {
      const result = await write()
      this.#full = false
      return result
    } catch (error) {
      if (!isFull(error)) throw error
      this.#full = true
      throw diskFull(error)
    }
  }

  /** Bytes that are free, and whether the last write failed for want of them: where it did, another one is tried now. */
  async look(): Promise<{ free: number; full: boolean }> {
    if (this.#full) await this.writing(() => this.#probe()).catch(() => {})
    const { bavail, bsize } = await statfs(this.#folder)
    return { free: bavail * bsize, full: this.#full }
  }

  async #probe(): Promise<void> {
    const path = join(this.#folder, `probe-${randomUUID()}`)
    try {
      const file = await open(path, 'wx')
      try {
        await file.writeFile(new Uint8Array(probeBytes))
        await file.sync()
      } finally {
        await file.close()
      }
    } finally {
      await rm(path, { force: true })
    }
  }
}

/** knex gives the driver's error, with its code, on. */
export const isFull = (error: unknown): boolean => error instanceof Error && 'code' in error && fullCodes.has(error.code)
export const diskFull = (cause: unknown) => new MuninnError('UNAVAILABLE', say('error.disk-full'), { cause })
