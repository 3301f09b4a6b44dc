/** Files by their content: what everything big is kept in. */
import type { Readable } from 'node:stream'
import type { FileReference } from '../../protocol/manifest.ts'

export interface Blobs {
  start(): Promise<void>
  /** On disk for good when it returns. The same bytes again are kept once. */
  put(bytes: Uint8Array): Promise<FileReference>
  /** As `put`, without holding the file in memory. @throws MuninnError TOO_LARGE */
  putStream(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<FileReference>
  /** @throws MuninnError NOT_FOUND */
  get(sha256: string): Promise<Buffer>
  /** @throws MuninnError NOT_FOUND */
  stream(sha256: string): Promise<Readable>
  /** Bytes. @throws MuninnError NOT_FOUND */
  size(sha256: string): Promise<number>
  has(sha256: string): Promise<boolean>
  remove(sha256: string): Promise<void>
}
