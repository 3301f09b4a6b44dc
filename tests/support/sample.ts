/** Real samples: small JPEGs that differ from each other. */
import sharp from 'sharp'
import type { Sample } from '../../protocol/topics.ts'
import { sha256 } from './labelled-sample.ts'

/** A frame that looks unlike that of any other number: blocks of colour drawn from a generator seeded with it. */
export async function makeSample(number: number, change: Partial<Sample> = {}): Promise<Sample> {
  const [width, height] = [96, 64]
  const jpeg = await sharp(Buffer.from(blocks(number)), { raw: { width: 6, height: 4, channels: 3 } })
    .resize(width, height, { kernel: 'nearest' })
    .jpeg()
    .toBuffer()
  return {
    v: 1,
    id: sha256(jpeg),
    camera: 'camera-1',
    capturedAt: Date.now(),
    width,
    height,
    jpeg: new Uint8Array(jpeg),
    model: null,
    detections: [{ box: [4, 4, 40, 40], label: 'car', score: 0.3 }],
    reasons: ['low-confidence'],
    score: 0.5,
    audit: false,
    ...change,
  }
}

/** Numerical Recipes' linear congruential generator. */
function blocks(seed: number): number[] {
  let state = (seed * 2_654_435_761) >>> 0
  return Array.from({ length: 6 * 4 * 3 }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state >>> 24
  })
}
