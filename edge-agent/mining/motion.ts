/** Movement that no detection explains. */
import type { MiningSettings } from '../../protocol/mining.ts'
import type { Finding, Observation, Thumbnail } from './observation.ts'

/** Grey levels by which a cell must change to count as moving: above sensor noise, which averaging over a cell has lowered; less in the dark. */
const changeAt = (light: number) => Math.min(12, 5 + 0.07 * light)

/**
 * Share of a frame's cells that moved and that no detection covers. A change of the whole light (a cloud, the camera's exposure) is taken
 * off first.
 */
export function unexplainedMotion(before: Thumbnail, { thumbnail, detections, width, height }: Observation): number | null {
  if (!thumbnail || thumbnail.width !== before.width || thumbnail.height !== before.height) return null
  const count = thumbnail.grey.length
  let light = 0
  let level = 0
  for (let cell = 0; cell < count; cell++) {
    light += thumbnail.grey[cell]! - before.grey[cell]!
    level += thumbnail.grey[cell]!
  }
  light /= count
  const minChange = changeAt(level / count)
  let moved = 0
  for (let cell = 0; cell < count; cell++) {
    if (Math.abs(thumbnail.grey[cell]! - before.grey[cell]! - light) < minChange) continue
    const x = ((cell % thumbnail.width) + 0.5) * (width / thumbnail.width)
    const y = (Math.floor(cell / thumbnail.width) + 0.5) * (height / thumbnail.height)
    if (!detections.some(({ box: [x1, y1, x2, y2] }) => x >= x1 && x <= x2 && y >= y1 && y <= y2)) moved++
  }
  return moved / count
}

/** `motion-without-detection`: without a thumbnail to say where it moved, only a frame with no detection that counts at all. */
export function findMotion(
  observation: Observation,
  options: { before: Thumbnail | null; counted: number; settings: Pick<MiningSettings, 'motion'> },
): Finding | null {
  const { before, counted, settings } = options
  if (observation.motion < settings.motion) return null
  const unexplained = (before && unexplainedMotion(before, observation)) ?? (counted === 0 ? observation.motion : 0)
  if (unexplained < settings.motion || unexplained <= 0) return null
  // Four times the asked amount is as good as it gets: a large object near the camera.
  return { reason: 'motion-without-detection', score: 0.2 + 0.4 * Math.min(1, unexplained / (4 * settings.motion || 1)) }
}
