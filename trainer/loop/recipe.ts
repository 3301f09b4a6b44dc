/** What a recipe means for the pictures of each step. */
import type { Recipe } from '../../protocol/recipe.ts'
import type { Augmentation } from '../data/augment.ts'

/** What is done to the pictures of a step. */
export function augmentationAt(recipe: Recipe, step: number, steps: number): Augmentation {
  const closing = step >= steps * (1 - recipe.closing)
  const open = (share: number) => (closing ? 0 : share)
  return {
    mosaic: open(recipe.mosaic),
    mixup: open(recipe.mixup),
    copyPaste: open(recipe.copyPaste),
    plain: recipe.plain,
    scale: recipe.scale,
    colour: recipe.colour,
  }
}
