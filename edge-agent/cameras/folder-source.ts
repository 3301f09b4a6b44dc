/** A folder of pictures, in the order of their names, as a camera. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'
import { MuninnError } from '../../protocol/errors.ts'
import type { Picture } from '../../protocol/letterbox.ts'
import { inEnglish, say } from '../../protocol/sentences.ts'
import type { Source, SourceOptions } from './source.ts'

const pictureNames = /\.(jpe?g|png|webp|bmp|tiff?|avif)$/i
export const maxPixels = 50_000_000

export async function readPicture(path: string): Promise<Picture> {
  const { data, info } = await sharp(path, { limitInputPixels: maxPixels, failOn: 'error' })
    .rotate()
    .flatten({ background: '#727272' })
    .toColourspace('srgb')
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
  return { width: info.width, height: info.height, data }
}

/** Pictures that cannot be decoded are passed over and told once at the end of a round. */
export async function* folderSource(
  { source, framesPerSecond, loop, realTime }: SourceOptions,
  tell: (words: string) => void,
): Source {
  const names = (await readdir(source))
    .filter((name) => pictureNames.test(name))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
  if (names.length === 0) throw new MuninnError('INVALID_INPUT', inEnglish(say('camera.empty-folder', { source })))
  do {
    let broken = 0
    for (const name of names) {
      let picture: Picture
      try {
        picture = await readPicture(join(source, name))
      } catch (error) {
        broken++
        const cause = error instanceof Error ? error.message : String(error)
        tell(inEnglish(say('camera.passed-over', { source: name, cause })))
        continue
      }
      yield { capturedAt: Date.now(), picture: () => picture, dispose: () => {} }
      if (realTime) await sleep(1000 / (framesPerSecond || 1))
    }
    if (broken === names.length)
      throw new MuninnError('BAD_PICTURE', inEnglish(say('camera.broken-folder', { count: broken, source })))
  } while (loop)
}
