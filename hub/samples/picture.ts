/** Looks at a JPEG before it is taken in: its header and limits first, then a small grey picture of it. */
import sharp from 'sharp'
import { MuninnError } from '../../protocol/errors.ts'
import { thumbnailSide } from './near-duplicates.ts'

/**
 * @returns the grey thumbnail, `thumbnailSide` squared bytes
 * @throws MuninnError BAD_PICTURE when it is no JPEG, has more pixels than allowed, another size than said, or cannot be decoded
 */
export async function checkPicture(
  jpeg: Uint8Array,
  said: { width: number; height: number },
  maxPixels: number,
): Promise<Uint8Array> {
  if (jpeg[0] !== 0xff || jpeg[1] !== 0xd8) throw new MuninnError('BAD_PICTURE', 'the picture is not a JPEG')
  try {
    // limitInputPixels is checked against the header: nothing is decoded of a larger one.
    const picture = sharp(jpeg, { limitInputPixels: maxPixels, failOn: 'truncated' })
    const { width, height, format } = await picture.metadata()
    if (format !== 'jpeg') throw new MuninnError('BAD_PICTURE', `the picture is ${format}, not JPEG`)
    if (width * height > maxPixels)
      throw new MuninnError('BAD_PICTURE', `${width} x ${height} pixels; at most ${maxPixels} are taken`)
    if (width !== said.width || height !== said.height)
      throw new MuninnError(
        'BAD_PICTURE',
        `the picture has ${width} x ${height} pixels, the message says ${said.width} x ${said.height}`,
      )
    return await picture.greyscale().resize(thumbnailSide, thumbnailSide, { fit: 'fill', kernel: 'linear' }).raw().toBuffer()
  } catch (error) {
    if (error instanceof MuninnError) throw error
    throw new MuninnError(
      'BAD_PICTURE',
      `the picture cannot be decoded: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }
}

/** A smaller copy for lists; the stored picture itself when it is not wider. */
export async function narrowed(jpeg: Uint8Array, width: number, maxPixels: number): Promise<Buffer> {
  return await sharp(jpeg, { limitInputPixels: maxPixels })
    .resize({ width, withoutEnlargement: true })
    .jpeg({ quality: 80 })
    .toBuffer()
}
