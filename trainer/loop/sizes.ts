/** Multi-scale training (YOLOv2, Redmon and Farhadi 2017): the size of the input changes every few steps, so that objects of all sizes are learnt. */
import { MuninnError } from '../../protocol/errors.ts'
import type { Recipe } from '../../protocol/recipe.ts'
import { inEnglish, say } from '../../protocol/sentences.ts'
import type { Input } from '../data/augment.ts'
import { resized } from '../detector/core.ts'
import { Random } from '../detector/random.ts'
import type { Start } from './start.ts'

/** What every size is a multiple of: the coarsest grid's stride. */
const multiple = 32
/** Steps with one size: long enough that making its session anew costs next to nothing. */
const stepsPerSize = 25

/** The sizes whose longer side lies within a share of the input's, smallest first; the proportions stay as far as whole strides allow. */
export function sizesAround({ width, height }: Input, share: number): Input[] {
  const longest = Math.max(width, height)
  const sizes: Input[] = []
  for (let side = multiple; side <= longest * (1 + share) + 1e-9; side += multiple) {
    if (side < longest * (1 - share) - 1e-9) continue
    const of = (own: number) =>
      own === longest ? side : Math.max(multiple, Math.round((own * side) / longest / multiple) * multiple)
    sizes.push(side === longest ? { width, height } : { width: of(width), height: of(height) })
  }
  return sizes
}

/** The sizes of a training's pictures. A base whose nodes fix its size has one. */
export function sizesFor(
  { core, specification, width, height }: Pick<Start, 'core' | 'specification' | 'width' | 'height'>,
  { multiScale }: Pick<Recipe, 'multiScale'>,
  onLog: (words: string) => void,
): Input[] {
  const own = { width, height }
  if (multiScale === 0) return [own]
  const sizes = sizesAround(own, multiScale)
  try {
    for (const size of sizes) resized(core, specification, size)
    const told = sizes.map((size) => `${size.width} x ${size.height}`).join(', ')
    if (sizes.length > 1) onLog(inEnglish(say('log.sizes', { sizes: told })))
    return sizes
  } catch (error) {
    if (!(error instanceof MuninnError)) throw error
    onLog(inEnglish(say('log.one-size', { cause: error.message })))
    return [own]
  }
}

/**
 * The size of a step: the input's own in the first block, by which the time is reckoned, and in the closing part, so that the statistics of
 * BatchNormalization are those of the deployed size; else drawn, the same for a seed however often the training was interrupted.
 */
export function sizeAt(
  at: number,
  { input, sizes, steps, closing, seed }: { input: Input; sizes: readonly Input[]; steps: number; closing: number; seed: number },
): Input {
  const block = Math.floor(at / stepsPerSize)
  if (sizes.length < 2 || block === 0 || at >= steps * (1 - closing)) return input
  return sizes[new Random(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(block, 0xc2b2ae35)).integer(sizes.length)]!
}
