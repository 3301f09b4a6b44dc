/** One training with all that a person may ask for around it: settings chosen first, pictures without labels learnt from too. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { Type } from 'typebox'
import { MuninnError } from '../../protocol/errors.ts'
import { parse, parseJson } from '../../protocol/parse.ts'
import { Recipe, RecipeChanges } from '../../protocol/recipe.ts'
import { writeAside } from '../files/write-aside.ts'
import { chosen } from './choose.ts'
import { trainWithUnlabelled, type Unlabelled } from './self-train.ts'
import { type TrainOptions, type TrainResult, train } from './train.ts'

/** What was chosen, kept so that a training that goes on does not choose again. */
const Chosen = Type.Object({
  rate: Type.Number({ exclusiveMinimum: 0 }),
  steps: Type.Integer({ minimum: 1 }),
  minutes: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
  recipe: RecipeChanges,
})

export interface Beyond {
  /** Share of the training that may be spent on choosing its settings; null: they are as they are. */
  readonly choose?: number | null
  readonly unlabelled?: Unlabelled | null
  /** Where the choice is kept. */
  readonly keptAt: string
}

export async function trainBeyondLabels(options: TrainOptions, { choose, unlabelled, keptAt }: Beyond): Promise<TrainResult> {
  const settled = choose ? await settle(options, { choose, keptAt }) : options
  return unlabelled ? await trainWithUnlabelled(settled, unlabelled) : await train(settled)
}

async function settle(options: TrainOptions, { choose, keptAt }: { choose: number; keptAt: string }): Promise<TrainOptions> {
  if (existsSync(keptAt)) return { ...options, ...parseJson(Chosen, await readFile(keptAt, 'utf8'), keptAt) }
  const settled = await chosen(options, { share: choose })
  const { rate, steps, minutes, recipe } = settled
  await writeAside(keptAt, JSON.stringify(parse(Chosen, { rate, steps, recipe, ...(minutes && { minutes }) }, 'chosen settings')))
  return settled
}

/** A recipe from 'mixup=0.5,copyPaste=0.3'. @throws MuninnError INVALID_INPUT naming what is wrong */
export function parseRecipe(text: string | undefined): RecipeChanges {
  if (text === undefined) return {}
  const entries = text.split(',').map((each) => {
    const [name, value, ...more] = each.split('=').map((part) => part.trim())
    if (!name || !value || more.length > 0 || !Number.isFinite(Number(value)))
      throw new MuninnError('INVALID_INPUT', `--recipe ${text}: 'name=number,name=number' is wanted, with the names ${names}`)
    return [name, Number(value)] as const
  })
  return parse(RecipeChanges, Object.fromEntries(entries), `--recipe ${text} (names: ${names})`)
}

const names = Object.keys(Recipe.properties).join(', ')
