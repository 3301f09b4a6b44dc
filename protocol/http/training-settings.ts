/** How a run trains: the project's settings, and what was chosen for one run. */
import { type Static, Type } from 'typebox'
import { Sha256 } from '../primitives.ts'
import { RecipeChanges } from '../recipe.ts'

const strict = { additionalProperties: false }
const nullable = <T extends Type.TSchema>(schema: T, options: { default?: null } = {}) =>
  Type.Union([schema, Type.Null()], options)

export const TrainingSettings = Type.Object(
  {
    /** Upper bound for the training itself; the loop plans its epochs to fit. */
    minutes: Type.Number({ minimum: 0.1, maximum: 10_000, default: 30 }),
    inputSize: Type.Integer({ minimum: 64, maximum: 1280, multipleOf: 32, default: 320 }),
    /** null: the trainer chooses from the number of pictures. */
    epochs: Type.Union([Type.Integer({ minimum: 1, maximum: 10_000 }), Type.Null()], { default: null }),
    learningRate: Type.Union([Type.Number({ exclusiveMinimum: 0, maximum: 1 }), Type.Null()], { default: null }),
    batch: Type.Integer({ minimum: 1, maximum: 256, default: 8 }),
    seed: Type.Integer({ minimum: 0, default: 1 }),
    /** `auto`: the model goes out as int8 where that is much quicker and loses next to nothing; `off`: always as float. */
    quantize: Type.Enum(['auto', 'off'], { default: 'auto' }),
    recipe: RecipeChanges,
    /** Share of the training spent on choosing learning rate and augmentation by short trials; null: they are taken as they are. */
    choose: nullable(Type.Number({ minimum: 0.1, maximum: 0.9 }), { default: null }),
    /** Pictures of the label queue, at most, from which it learns without labels. */
    unlabelled: Type.Integer({ minimum: 0, maximum: 2000, default: 0 }),
    /** Model that labels those; null: the training is its own teacher. */
    teacher: nullable(Sha256, { default: null }),
  },
  { additionalProperties: false, default: {} },
)
export type TrainingSettings = Static<typeof TrainingSettings>

/** The same type without its default: what is left out stays out, and the project's settings count. */
function bare<T extends Type.TSchema>(schema: T): T {
  const { default: _, ...rest } = schema as T & { default?: unknown }
  return rest as T
}
const { minutes, inputSize, epochs, learningRate, batch, seed, quantize, recipe, choose, unlabelled, teacher } =
  TrainingSettings.properties

/** What somebody chose of it; what is left out stays out. */
export const ChosenSettings = Type.Partial(
  Type.Object({
    minutes: bare(minutes),
    inputSize: bare(inputSize),
    epochs: bare(epochs),
    learningRate: bare(learningRate),
    batch: bare(batch),
    seed: bare(seed),
    quantize: bare(quantize),
    recipe: bare(recipe),
    choose: bare(choose),
    unlabelled: bare(unlabelled),
    teacher: bare(teacher),
  } satisfies Record<keyof TrainingSettings, Type.TSchema>),
  strict,
)
