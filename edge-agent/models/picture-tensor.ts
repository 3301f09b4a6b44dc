/** A JPEG as the model's input, by the same function that training, evaluation and the cameras use. */
import sharp from 'sharp'
import { MuninnError } from '../../protocol/errors.ts'
import { fitPicture } from '../../protocol/letterbox.ts'
import type { ModelInput } from '../../protocol/manifest.ts'
import type { InputScale } from './read-detections.ts'

export interface PictureTensor {
  /** uint8 [1, H, W, 3] */
  readonly tensor: Uint8Array
  readonly picture: { width: number; height: number }
  readonly scale: InputScale
}

/** @throws MuninnError BAD_PICTURE */
export async function pictureTensor(jpeg: Uint8Array, input: ModelInput, maxPixels = 50_000_000): Promise<PictureTensor> {
  try {
    const { data, info } = await sharp(jpeg, { limitInputPixels: maxPixels, failOn: 'error' })
      .toColourspace('srgb')
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true })
    const picture = { width: info.width, height: info.height }
    const { tensor, fit } = fitPicture({ ...picture, data }, input)
    return { tensor, picture, scale: { x: fit.scaleX, y: fit.scaleY } }
  } catch (cause) {
    throw new MuninnError('BAD_PICTURE', `a picture cannot be decoded: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    })
  }
}
