/** A JPEG as the model's input, the way the cameras make it: letterboxed or stretched uint8 RGB. */
import sharp from 'sharp'
import { letterboxScale } from '../../protocol/boxes.ts'
import { MuninnError } from '../../protocol/errors.ts'
import type { ModelInput } from '../../protocol/manifest.ts'
import type { InputScale } from './read-detections.ts'

const padding = 114

export interface PictureTensor {
  /** uint8 [1, H, W, 3] */
  readonly tensor: Uint8Array
  readonly picture: { width: number; height: number }
  readonly scale: InputScale
}

/** @throws MuninnError BAD_PICTURE */
export async function pictureTensor(jpeg: Uint8Array, input: ModelInput, maxPixels = 50_000_000): Promise<PictureTensor> {
  try {
    const image = sharp(jpeg, { limitInputPixels: maxPixels, failOn: 'error' })
    const { width, height } = await image.metadata()
    const fit = letterboxScale({ width, height }, input)
    const inner =
      input.resize === 'stretch'
        ? { width: input.width, height: input.height }
        : { width: Math.max(1, Math.round(width * fit)), height: Math.max(1, Math.round(height * fit)) }
    const { data } = await image
      .toColourspace('srgb')
      .removeAlpha()
      .resize({ ...inner, fit: 'fill', kernel: 'linear' })
      .extend({
        right: input.width - inner.width,
        bottom: input.height - inner.height,
        background: { r: padding, g: padding, b: padding },
      })
      .raw()
      .toBuffer({ resolveWithObject: true })
    const scale = input.resize === 'stretch' ? { x: input.width / width, y: input.height / height } : { x: fit, y: fit }
    return { tensor: new Uint8Array(data), picture: { width, height }, scale }
  } catch (cause) {
    throw new MuninnError('BAD_PICTURE', `a picture cannot be decoded: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    })
  }
}
