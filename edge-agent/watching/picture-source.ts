/** Pictures one after another without a decoder process: the demo street and folders of pictures. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { MuninnError } from '../../protocol/errors.ts'
import type { LabelledBox } from '../../protocol/primitives.ts'
import type { Picture } from '../../protocol/letterbox.ts'
import { type Condition, conditions, renderStreet } from '../demo/street.ts'

export interface SourcePicture extends Picture {
  readonly truth?: readonly LabelledBox[]
}

export interface PictureSource {
  /** Frames a second at the source's own speed. */
  readonly framesPerSecond: number
  /** How many there are; null: no end. */
  readonly length: number | null
  /** @param seconds since the camera started, at the source's own speed */
  picture(index: number, seconds: number): Promise<SourcePicture>
}

/** The base detector knows the street by day; what follows is what it has to learn. */
const dayEnds = 30
const weatherLasts = 90

function conditionAt(seconds: number): Condition {
  if (seconds < dayEnds) return 'day'
  return Math.floor((seconds - dayEnds) / weatherLasts) % 2 === 0 ? 'dusk' : 'rain'
}

/**
 * `demo://street?seed=1&condition=dusk`; without a condition the day ends after half a minute.
 * @throws MuninnError INVALID_INPUT
 */
export function streetSource(source: string): PictureSource {
  const url = new URL(source)
  const seed = Number(url.searchParams.get('seed') ?? 1)
  const asked = url.searchParams.get('condition')
  const condition = conditions.find((each) => each === asked)
  if (url.host !== 'street' || !Number.isInteger(seed) || (asked !== null && !condition)) {
    throw new MuninnError('INVALID_INPUT', `${source}: demo://street?seed=1&condition=${conditions.join('|')} is what can be drawn`)
  }
  return {
    framesPerSecond: 5,
    length: null,
    picture: (_, seconds) => renderStreet({ seed, seconds, condition: condition ?? conditionAt(seconds) }),
  }
}

const isPicture = (name: string) => /\.(jpe?g|png|webp|bmp|tiff?)$/i.test(name)

/** Pictures of a folder (or of its `images/`) in the order of their names. */
export async function folderSource(folder: string, maxPixels: number): Promise<PictureSource> {
  const entries = await readdir(folder, { withFileTypes: true })
  const inner = entries.find((entry) => entry.name === 'images' && entry.isDirectory())
  const place = inner && !entries.some(({ name }) => isPicture(name)) ? join(folder, 'images') : folder
  const names = (await readdir(place)).filter(isPicture).sort()
  if (names.length === 0) throw new MuninnError('NOT_FOUND', `${folder}: there is no picture in this folder`)
  return {
    framesPerSecond: 5,
    length: names.length,
    picture: async (index) => {
      const path = join(place, names[index % names.length]!)
      try {
        const { data, info } = await sharp(path, { limitInputPixels: maxPixels, failOn: 'error' })
          .rotate()
          .flatten({ background: '#727272' })
          .toColourspace('srgb')
          .removeAlpha()
          .raw()
          .toBuffer({ resolveWithObject: true })
        return { width: info.width, height: info.height, data }
      } catch (cause) {
        throw new MuninnError('BAD_PICTURE', `${path}: ${cause instanceof Error ? cause.message : cause}`, { cause })
      }
    },
  }
}
