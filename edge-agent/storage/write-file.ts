/** Files that power may fail on at any instruction: written aside, synced, renamed, and the folder synced. */
import { randomBytes } from 'node:crypto'
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

const asidePrefix = '.aside-'

/** Makes the folder's own entries (creations, renames, removals) durable. */
export async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | undefined
  try {
    handle = await open(folder, 'r')
    await handle.sync()
  } finally {
    await handle?.close()
  }
}

/** Moves a finished and synced file to its place, durably. */
export async function moveDurably(from: string, to: string): Promise<void> {
  await rename(from, to)
  await syncFolder(dirname(to))
  if (dirname(from) !== dirname(to)) await syncFolder(dirname(from))
}

/** After this resolves the file holds exactly `bytes`; before, it holds what it held. Never anything between. */
export async function writeDurably(path: string, bytes: Uint8Array | string): Promise<void> {
  const aside = join(dirname(path), `${asidePrefix}${randomBytes(6).toString('hex')}-${basename(path)}`)
  try {
    const handle = await open(aside, 'wx', 0o600)
    try {
      await handle.writeFile(bytes)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await moveDurably(aside, path)
  } catch (error) {
    await rm(aside, { force: true })
    throw error
  }
}

/** Removes what a crash left half-written. Returns how many there were. */
export async function removeTorn(folder: string): Promise<number> {
  const torn = (await readdir(folder)).filter((name) => name.startsWith(asidePrefix))
  for (const name of torn) await rm(join(folder, name), { force: true })
  return torn.length
}
