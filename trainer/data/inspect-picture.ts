/** Looks at a picture once: its bytes' hash, its size as shown, a small grey copy to tell near-duplicates by; and where its boxes are. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import sharp from 'sharp'
import { area, type Box, clip } from '../../protocol/boxes.ts'
import { MuninnError } from '../../protocol/errors.ts'
import type { DeclaredPicture } from './declared.ts'
import { maxPixels } from './picture.ts'

/** As the hub compares samples. */
const thumbnailSide = 16

export interface Inspected {
  readonly sha256: string
  /** As stored, before EXIF turns it. */
  readonly stored: { readonly width: number; readonly height: number }
  /** EXIF's orientation, 1 to 8. */
  readonly orientation: number
  readonly thumbnail: Uint8Array
}

/** Decodes the whole picture, so that a cut-off file is found before training. @throws MuninnError BAD_PICTURE without the name */
export async function inspectPicture(path: string): Promise<Inspected> {
  try {
    const bytes = await readFile(path)
    if (bytes.length === 0) throw new Error('it is empty')
    const options = { limitInputPixels: maxPixels, failOn: 'error' } as const
    const { width, height, orientation = 1 } = await sharp(bytes, options).metadata()
    const thumbnail = await sharp(bytes, options)
      .rotate()
      .flatten()
      .greyscale()
      .resize(thumbnailSide, thumbnailSide, { fit: 'fill' })
      .raw()
      .toBuffer()
    return { sha256: createHash('sha256').update(bytes).digest('hex'), stored: { width, height }, orientation, thumbnail }
  } catch (cause) {
    throw new MuninnError('BAD_PICTURE', cause instanceof Error ? cause.message.split('\n')[0]! : String(cause), { cause })
  }
}

/** The size that people see: orientations 5 to 8 lie on their side. */
export const shownSize = ({ stored, orientation }: Pick<Inspected, 'stored' | 'orientation'>) =>
  orientation >= 5 ? { width: stored.height, height: stored.width } : stored

/**
 * A declared box in pixels of the picture as it is shown, which is what models see. Shares are of the shown picture. Pixels are of the
 * stored file, unless the annotation gives a size that only the shown picture has; one of another scale is scaled.
 * @returns null when nothing of it is inside the picture
 */
export function placeBox(
  corners: readonly number[],
  unit: DeclaredPicture['unit'],
  picture: Pick<Inspected, 'stored' | 'orientation'>,
): Box | null {
  const { stored, orientation } = picture
  const shown = shownSize(picture)
  const of = unit === null || unit === 'shares' ? stored : unit
  const turned = orientation >= 5 && like(of, shown) && !like(of, stored)
  const [fx, fy] =
    unit === 'shares'
      ? [shown.width, shown.height]
      : like(of, stored) || turned
        ? [(turned ? shown : stored).width / of.width, (turned ? shown : stored).height / of.height]
        : [1, 1]
  const scaled: Box = [corners[0]! * fx, corners[1]! * fy, corners[2]! * fx, corners[3]! * fy]
  const box = clip(unit === 'shares' || turned ? scaled : turn(scaled, picture), shown.width, shown.height)
  return area(box) > 0 ? box : null
}

/** Of the same shape, within a hundredth. */
const like = (a: { width: number; height: number }, b: { width: number; height: number }): boolean =>
  Math.abs((a.width * b.height) / (a.height * b.width) - 1) < 0.01

/** From the stored file to the shown picture (EXIF 2.32, tag 0x0112). */
function turn(
  [x1, y1, x2, y2]: Box,
  { stored: { width: w, height: h }, orientation }: Pick<Inspected, 'stored' | 'orientation'>,
): Box {
  switch (orientation) {
    case 2:
      return [w - x2, y1, w - x1, y2]
    case 3:
      return [w - x2, h - y2, w - x1, h - y1]
    case 4:
      return [x1, h - y2, x2, h - y1]
    case 5:
      return [y1, x1, y2, x2]
    case 6:
      return [h - y2, x1, h - y1, x2]
    case 7:
      return [h - y2, w - x2, h - y1, w - x1]
    case 8:
      return [y1, w - x2, y2, w - x1]
    default:
      return [x1, y1, x2, y2]
  }
}
