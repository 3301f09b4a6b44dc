/** The last small picture of each camera that someone looks at: in memory only, as it is worth nothing a minute later. */
import type { Preview } from '../../protocol/topics.ts'

/** Older ones would show something that is not there any more. */
const keepMilliseconds = 60_000
const mostPerDevice = 256

export class PreviewStore {
  readonly #now: () => number
  readonly #devices = new Map<string, Map<string, { preview: Preview; receivedAt: number }>>()

  constructor({ now }: { now: () => number }) {
    this.#now = now
  }

  put(device: string, preview: Preview): void {
    const cameras = this.#devices.get(device) ?? new Map()
    this.#devices.set(device, cameras)
    if (cameras.size < mostPerDevice || cameras.has(preview.camera))
      cameras.set(preview.camera, { preview, receivedAt: this.#now() })
  }

  /** Those that are fresh, by camera. */
  list(device: string): Preview[] {
    const cameras = this.#devices.get(device)
    if (!cameras) return []
    for (const [camera, { receivedAt }] of cameras) if (receivedAt < this.#now() - keepMilliseconds) cameras.delete(camera)
    if (cameras.size === 0) this.#devices.delete(device)
    return [...cameras.values()].map(({ preview }) => preview).sort((a, b) => (a.camera < b.camera ? -1 : 1))
  }

  forget(device: string): void {
    this.#devices.delete(device)
  }
}
