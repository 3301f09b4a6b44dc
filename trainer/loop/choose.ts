/** Chooses learning rate and augmentation for the data at hand: short trainings on a part of the pictures, judged on the rest of them. */
import { MuninnError } from '../../protocol/errors.ts'
import type { Recipe } from '../../protocol/recipe.ts'
import { inEnglish, say } from '../../protocol/sentences.ts'
import { objectsOf } from '../data/sample.ts'
import { validationCut } from '../data/validation-cut.ts'
import { precisionOf, score } from '../evaluation/compare.ts'
import { measureModel } from '../evaluation/measure.ts'
import { halve, rungsOf } from './halving.ts'
import { startFrom } from './start.ts'
import { peakRate, plannedSteps, type TrainOptions, train } from './train.ts'

export interface Choice {
  readonly name: string
  /** Factor of the learning rate that would be taken. */
  readonly rate: number
  readonly recipe: Partial<Recipe>
}

/** What few labels were seen to disagree about; the first is what is done when nothing is chosen. */
export const choices: readonly Choice[] = [
  { name: 'as by default', rate: 1, recipe: {} },
  { name: 'twice the rate', rate: 2, recipe: {} },
  { name: 'half of the rate', rate: 0.5, recipe: {} },
  { name: 'twice the rate, mild', rate: 2, recipe: { scale: 0.5, colour: 0.5, mosaic: 0.25 } },
]

/** Share of the training pictures that candidates are judged on. */
const judgedShare = 0.25
/** With fewer pictures than this the judgement is noise. */
const fewest = 24
/** A training of fewer steps than this says nothing. */
const leastSteps = 20

/**
 * Options with the winner's settings and the steps that are left; the candidates' trainings take `share` of the steps (and of the minutes).
 * Every rung trains anew with a whole schedule, for half a cosine says little about where a whole one ends.
 */
export async function chosen(
  options: TrainOptions,
  { share, candidates = choices }: { share: number; candidates?: readonly Choice[] },
): Promise<TrainOptions> {
  const { samples, classes, onLog = () => {}, seed = 1, threads, signal } = options
  const steps = plannedSteps(options)
  const budget = Math.floor(steps * share)
  const rungs = rungsOf(candidates.length, budget)
  const { training, validation } = validationCut(samples, judgedShare, seed)
  if (samples.length < fewest || validation.every((sample) => objectsOf(sample).length === 0))
    throw new MuninnError('NOT_READY', `${samples.length} pictures are too few to choose settings by; ${fewest} are wanted`)
  if (rungs.some((rung) => rung.budget < leastSteps))
    throw new MuninnError('INVALID_INPUT', `${budget} steps are too few to choose among ${candidates.length} settings`)
  const peak = peakRate(options, startFrom({ ...options, onLog: undefined }).specification)
  const settings = ({ rate, recipe }: Choice) => ({
    rate: peak * rate,
    recipe: { ...options.recipe, ...recipe },
  })
  const { best } = await halve(candidates, budget, async (candidate, trial) => {
    const { model } = await train({
      ...options,
      ...settings(candidate),
      // A trial is judged after all its steps.
      recipe: { ...settings(candidate).recipe, patience: 0 },
      samples: training,
      steps: trial,
      minutes: options.minutes && (options.minutes * trial) / steps,
      resume: null,
      onCheckpoint: undefined,
      onCandidate: undefined,
      onProgress: undefined,
      onLog: undefined,
    })
    const { pictures } = await measureModel(model, { samples: validation, classes, threads, signal })
    const value = precisionOf(score(pictures, classes.length))['mAP50-95']
    onLog(
      inEnglish(say('log.trial', { name: candidate.name, value: value.toFixed(3), pictures: validation.length, steps: trial })),
    )
    return value
  })
  onLog(inEnglish(say('log.chosen', { name: best.name })))
  return { ...options, ...settings(best), steps: steps - budget, minutes: options.minutes && options.minutes * (1 - share) }
}
