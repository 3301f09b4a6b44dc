/** Pictures from outside, decoded with a limit on their pixels. */
import sharp from 'sharp'
import { MuninnError } from '../../protocol/errors.ts'
import type { Picture } from '../../protocol/letterbox.ts'

// Nobody decodes a picture twice in a row: what libvips would keep of the last ones is memory for nothing.
sharp.cache(false)

/** Larger pictures are refused before they are decoded. */
export const maxPixels = 100_000_000

/** Rotates as EXIF says, drops alpha, makes grey pictures RGB. @throws MuninnError BAD_PICTURE naming the picture */
export async function decodePicture(
  input: string | Uint8Array,
  name = typeof input === 'string' ? input : 'picture',
): Promise<Picture> {
  try {
    const { data, info } = await sharp(input, { limitInputPixels: maxPixels, failOn: 'error' })
      .rotate()
      .flatten({ background: '#727272' })
      .toColourspace('srgb')
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true })
    if (info.channels !== 3) throw new Error(`it has ${info.channels} channels`)
    return { width: info.width, height: info.height, data }
  } catch (cause) {
    throw new MuninnError('BAD_PICTURE', `${name} cannot be decoded: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
}
