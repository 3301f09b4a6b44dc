/** What a training starts from where nobody has a model yet: a network that has seen real streets needs fewer labels than random weights. */
import { readFile } from 'node:fs/promises'
import type { RecipeChanges } from '../../protocol/recipe.ts'

export const streetBase = (): Promise<Uint8Array> => readFile(new URL('../../../trainer/base/street.onnx', import.meta.url))

/**
 * AdamW's peak rate from there, twice that of a detector which knows its cameras already: this one has the more to learn (README.md beside
 * this file has both). null with momentum, whose rate is another matter.
 */
export const streetRate = ({ momentum = 0 }: RecipeChanges): number | null => (momentum > 0 ? null : 1.4e-3)
