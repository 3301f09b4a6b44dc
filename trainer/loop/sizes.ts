/** Multi-scale training (YOLOv2, Redmon and Farhadi 2017): the size of the input changes every few steps, so that objects of all sizes are learnt. */
import type { Input } from '../data/augment.ts'
import { Random } from '../detector/random.ts'

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
