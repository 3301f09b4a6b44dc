/** The files of a .tar.gz by path (ustar of POSIX.1-1988, with GNU tar's long names), for archives of small fixtures. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

const block = 512

export function readTarGz(path: string): Map<string, Uint8Array> {
  const bytes = gunzipSync(readFileSync(path))
  const text = (from: number, length: number) => bytes.toString('utf8', from, from + length).replace(/\0.*$/s, '')
  const files = new Map<string, Uint8Array>()
  let long: string | undefined
  for (let at = 0; at + block <= bytes.length && bytes[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12), 8)
    const name = long ?? text(at, 100)
    const kind = text(at + 156, 1)
    long = kind === 'L' ? text(at + block, size) : undefined
    if (kind === '0' || kind === '') files.set(name, bytes.subarray(at + block, at + block + size))
    at += block + Math.ceil(size / block) * block
  }
  return files
}
