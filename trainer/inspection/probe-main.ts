/**
 * The probing process, started by probe.ts with the path, how much memory it may take, whether only running is asked for, and a picture size. What
 * happens to it happens to nobody else. Its memory is watched before anything of the file is touched.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { MuninnError } from '../../protocol/errors.ts'
import type { ProbeMessage } from './inspection.ts'

const say = (message: ProbeMessage) => new Promise<void>((resolve) => process.send?.(message, () => resolve()))

const [path, mebibytes, depth, pixels] = process.argv.slice(2)
const guard = new Worker(new URL('./memory-guard.js', import.meta.url), { workerData: Number(mebibytes) })
await once(guard, 'message')
guard.unref()

try {
  const { probeFile } = await import('./probe-file.ts')
  const [width, height] = pixels?.split('x').map(Number) ?? []
  await probeFile(path!, { whole: depth === 'whole', ...(width && height && { size: { width, height } }) }, say)
} catch (error) {
  const message = error instanceof Error ? error.message : String(error)
  await say({ kind: 'failed', code: error instanceof MuninnError ? error.code : 'BAD_MODEL', message })
}
process.disconnect()
