/** The worst pictures, small enough to stand in the page. */
import sharp from 'sharp'
import { maxPixels } from '../data/picture.ts'
import type { LabelledSample } from '../data/sample.ts'
import type { WorstPicture } from '../evaluation/worst.ts'
import type { ShownBox, WorstShown } from './content.ts'

const longestSide = 480
const quality = 72

/** @param names how people know the samples */
export async function showWorst(
  worst: readonly WorstPicture[],
  { samples, names, classes }: { samples: readonly LabelledSample[]; names: readonly string[]; classes: readonly string[] },
): Promise<WorstShown[]> {
  return await Promise.all(
    worst.map(async ({ index, missed, spurious, predictions }) => {
      const { path, labels } = samples[index]!
      const picture = sharp(path, { limitInputPixels: maxPixels })
      const { autoOrient } = await picture.metadata()
      const jpeg = await picture
        .rotate()
        .flatten({ background: '#727272' })
        .resize({ width: longestSide, height: longestSide, fit: 'inside', withoutEnlargement: true })
        .jpeg({ quality })
        .toBuffer()
      const shown = ({ box, label }: { box: ShownBox['box']; label: number }): ShownBox => ({ box, label: classes[label] ?? '?' })
      return {
        name: names[index] ?? '',
        width: autoOrient.width,
        height: autoOrient.height,
        jpeg: jpeg.toString('base64'),
        truths: labels.filter(({ ignore }) => !ignore).map((each) => ({ ...shown(each), wrong: missed.includes(each) })),
        said: predictions.map((each) => ({ ...shown(each), score: each.score, wrong: spurious.includes(each) })),
      }
    }),
  )
}
