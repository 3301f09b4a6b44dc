/** Runs the manifest's frames through a fresh detector: the file must give here what it gave where it was gated. */
import { decode } from 'cborg'
import { MuninnError } from '../../protocol/errors.ts'
import { type ModelManifest, SelfTest } from '../../protocol/manifest.ts'
import { parse } from '../../protocol/parse.ts'
import type { Detection } from '../../protocol/primitives.ts'
import { inEnglish, say } from '../../protocol/sentences.ts'
import type { Detector } from '../detector/detector.ts'
import { pictureTensor } from './picture-tensor.ts'
import { readDetections, thresholdOf } from './read-detections.ts'

export const tolerance = { pixels: 2, score: 0.05 } as const

/**
 * The first thing that differs, in words, or null. Order does not matter; a detection that is missing or new counts only when its score
 * is clear of the class's threshold by the tolerance, for at the threshold itself rounding decides.
 * @param pixels how far each side of a box may be off
 */
export function difference(
  expected: readonly Detection[],
  got: readonly Detection[],
  options: { thresholds: Readonly<Record<string, number>>; pixels?: number },
): string | null {
  const pixels = options.pixels ?? tolerance.pixels
  const clear = ({ label, score }: Detection) => score >= thresholdOf(options.thresholds, label) + tolerance.score
  const same = (a: Detection, b: Detection) =>
    a.label === b.label &&
    Math.abs(a.score - b.score) <= tolerance.score &&
    a.box.every((side, index) => Math.abs(side - b.box[index]!) <= pixels)
  const words = ({ label, score, box }: Detection) => `${label} ${score.toFixed(2)} at ${box.map(Math.round).join(' ')}`
  const unused = new Set(got)
  for (const wanted of [...expected].sort((a, b) => b.score - a.score)) {
    const match = [...unused].find((each) => same(wanted, each))
    if (match) unused.delete(match)
    else if (clear(wanted)) {
      const near = got.find(({ label }) => label === wanted.label)
      return inEnglish(
        near
          ? say('update.other-detection', { wanted: words(wanted), nearest: words(near) })
          : say('update.missing-detection', { wanted: words(wanted) }),
      )
    }
  }
  const extra = [...unused].find(clear)
  return extra ? inEnglish(say('update.extra-detection', { extra: words(extra) })) : null
}

/**
 * @param encoded a SelfTest in CBOR; null: the model is only loaded and run on a grey frame
 * @throws MuninnError BAD_MODEL saying what differs
 */
export async function runSelfTest(detector: Detector, manifest: ModelManifest, encoded: Uint8Array | null): Promise<void> {
  const { input, classes: labels, thresholds } = manifest
  if (detector.width !== input.width || detector.height !== input.height) {
    throw new MuninnError(
      'BAD_MODEL',
      inEnglish(
        say('update.other-size', {
          width: detector.width,
          height: detector.height,
          wantedWidth: input.width,
          wantedHeight: input.height,
        }),
      ),
    )
  }
  const grey = new Uint8Array(input.width * input.height * 3).fill(114)
  readDetections(await detector.detect(grey), { labels, picture: input, scale: { x: 1, y: 1 } })
  if (!encoded) return
  const { frames } = parse(SelfTest, decode(encoded), 'self-test')
  for (const [index, frame] of frames.entries()) {
    const { tensor, picture, scale } = await pictureTensor(frame.jpeg, input)
    const got = readDetections(await detector.detect(tensor), { labels, picture, scale })
    // A large picture shrinks on its way into the model: two pixels of the input are more of the picture's.
    const pixels = tolerance.pixels * Math.max(1, 1 / Math.min(scale.x, scale.y))
    const fault = difference(frame.detections, got, { thresholds, pixels })
    if (fault) throw new MuninnError('BAD_MODEL', inEnglish(say('update.self-test', { number: index + 1, cause: fault })))
  }
}
