/** Frames with what the model gives on them: a device must get the same before it switches. */
import { readFile } from 'node:fs/promises'
import { encode } from 'cborg'
import sharp from 'sharp'
import type { SelfTest } from '../../protocol/manifest.ts'
import { decodePicture } from '../data/picture.ts'
import type { LabelledSample } from '../data/sample.ts'
import { PictureDetector } from '../inference/detector.ts'

const frames = 2
/** Detections below may come and go with the last bit of another processor. */
const leastScore = 0.2
const longestSide = 960

/** A SelfTest in CBOR from pictures with the most to see; null when there is none. */
export async function makeSelfTest(
  model: Uint8Array,
  { samples, threads }: { samples: readonly LabelledSample[]; threads?: number },
): Promise<Uint8Array | null> {
  const chosen = samples.toSorted((a, b) => b.labels.length - a.labels.length).slice(0, frames)
  if (chosen.length === 0) return null
  const detector = await PictureDetector.load(model, { threads })
  try {
    const { classes } = detector.specification
    const made: SelfTest['frames'] = []
    for (const { path } of chosen) {
      const jpeg = await sharp(await readFile(path))
        .resize({ width: longestSide, height: longestSide, fit: 'inside', withoutEnlargement: true })
        .jpeg({ quality: 90 })
        .toBuffer()
      const { found } = await detector.detect(await decodePicture(jpeg, path))
      const detections = found
        .filter(({ score }) => score >= leastScore)
        .map(({ box, label, score }) => ({ box: [...box] as [number, number, number, number], label: classes[label]!, score }))
      made.push({ jpeg: new Uint8Array(jpeg), detections })
    }
    return encode({ v: 1, frames: made } satisfies SelfTest)
  } finally {
    await detector.stop()
  }
}
