/** Puts a file together out of its retained pieces and believes it only when its SHA-256 fits. */
import { existsSync, writeSync } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { MuninnError } from '../../protocol/errors.ts'
import type { FileReference } from '../../protocol/manifest.ts'
import { inEnglish, say } from '../../protocol/sentences.ts'
import { pieceBytes } from '../../protocol/topics.ts'
import { moveDurably } from '../storage/write-file.ts'
import { hashFile } from './model-store.ts'

/** Where pieces come from: the link, or anything that can ask for them. */
export interface PieceSource {
  watchPieces(sha256: string, missing: () => readonly number[], handler: (piece: number, bytes: Uint8Array) => void): () => void
  askAgain(sha256: string): Promise<void>
}

export interface FetchOptions {
  readonly file: FileReference
  readonly source: PieceSource
  /** Folder for the unfinished and the finished file. */
  readonly folder: string
  readonly signal: AbortSignal
  /** Told after each piece. */
  readonly onProgress: (share: number) => void
  /** Told when pieces stay away. */
  readonly onWaiting?: (missing: number) => void
  /** Milliseconds without a new piece after which the missing ones are asked for again. */
  readonly patience?: number
}

/**
 * @returns path of the whole, synced file
 * @throws MuninnError BAD_HASH when all pieces are there and the file is another one; the signal's reason when aborted
 */
export async function fetchFile({ file, folder, ...options }: FetchOptions): Promise<string> {
  const whole = join(folder, file.sha256)
  if ((await hashFile(whole)) === file.sha256) return whole
  const aside = `${whole}.part`
  const handle = await open(aside, 'w', 0o600)
  try {
    await gather(handle, { file, ...options })
    await handle.sync()
  } catch (error) {
    await handle.close()
    await rm(aside, { force: true })
    throw error
  }
  await handle.close()
  const hash = await hashFile(aside)
  if (hash !== file.sha256) {
    await rm(aside, { force: true })
    throw new MuninnError('BAD_HASH', inEnglish(say('update.other-hash', { came: String(hash), promised: file.sha256 })))
  }
  if (existsSync(whole)) await rm(whole)
  await moveDurably(aside, whole)
  return whole
}

function gather(handle: FileHandle, options: Omit<FetchOptions, 'folder'>): Promise<void> {
  const { file, source, signal, onProgress, onWaiting, patience = 20_000 } = options
  const count = Math.ceil(file.bytes / pieceBytes)
  const have = new Set<number>()
  const missing = () =>
    have.size === 0 ? [] : Array.from({ length: count }, (_, piece) => piece).filter((piece) => !have.has(piece))

  return new Promise((resolve, reject) => {
    const ask = () => {
      onWaiting?.(count - have.size)
      void source.askAgain(file.sha256)
      timer = setTimeout(ask, patience)
    }
    let timer = setTimeout(ask, patience)
    const finish = (error?: unknown) => {
      clearTimeout(timer)
      stopWatching()
      signal.removeEventListener('abort', aborted)
      if (error === undefined) resolve()
      else reject(error)
    }
    const aborted = () => finish(signal.reason)
    const stopWatching = source.watchPieces(file.sha256, missing, (piece, bytes) => {
      const expected = Math.min(pieceBytes, file.bytes - piece * pieceBytes)
      // A piece that is not of this file's size is another's mistake; the right one may still come.
      if (piece >= count || bytes.byteLength !== expected || have.has(piece)) return
      have.add(piece)
      timer.refresh()
      try {
        // In step with the line: what cannot be written at once must wait in the socket, not in our memory.
        writeSync(handle.fd, bytes, 0, bytes.byteLength, piece * pieceBytes)
      } catch (error) {
        finish(error)
        return
      }
      onProgress(have.size / count)
      if (have.size === count) finish()
    })
    if (signal.aborted) aborted()
    else signal.addEventListener('abort', aborted)
  })
}
