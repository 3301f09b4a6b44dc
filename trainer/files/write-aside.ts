/** Writes a file so that a crash leaves either the old one or the whole new one: aside, fsync, rename, fsync of the folder. */
import { mkdir, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

export async function writeAside(path: string, data: Uint8Array | string): Promise<void> {
  const folder = dirname(path)
  await mkdir(folder, { recursive: true })
  const aside = `${path}.${process.pid}.part`
  const file = await open(aside, 'w')
  try {
    await file.writeFile(data)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(aside, path)
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
