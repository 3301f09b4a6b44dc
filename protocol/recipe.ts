/** What a training does with its pictures, as plain numbers: what a hub's settings, a run and `muninn train --recipe` name. `npm run bench:few-labels` compares others with the defaults. */
import { type Static, Type } from 'typebox'
import { Share } from './primitives.ts'

/** Bounds of `rateDecay`. */
export const ratesOfStages = { minimum: 0.05, maximum: 1 }

export const Recipe = Type.Object(
  {
    /** Share of batches' pictures that are made of four (YOLOv4, Bochkovskiy et al. 2020). */
    mosaic: Share,
    /** Share of the mosaics that are blended with one more picture (mixup for detectors, Zhang et al. 2019). */
    mixup: Share,
    /** Share of pictures, mosaics or not, into which objects of another are pasted (Ghiasi et al. 2021). */
    copyPaste: Share,
    /** Share of the pictures that are shown as they will be evaluated. */
    plain: Share,
    /** How much pictures are scaled: 1 is 0.6 to 1.5 times, 0 not at all. */
    scale: Type.Number({ minimum: 0, maximum: 2 }),
    /** How much their light is changed: 1 as published for YOLOX, about; 0 not at all. */
    colour: Type.Number({ minimum: 0, maximum: 2 }),
    /** Last share of the steps without mosaic, mixup and pasting (YOLOX closes its augmentation so). */
    closing: Share,
    /** Classes in fewer than this share of pictures are shown more often (repeat factor sampling, Gupta et al. 2019); 0: never. */
    repeatBelow: Share,
    /**
     * Share of each epoch that is old pictures: those that the base model's own training had with the same boxes. A data set version holds
     * every accepted label, the old ones too, so nothing is forgotten for want of pictures; this only changes how often the old ones come
     * beside the new. null: as many as there are.
     */
    replay: Type.Union([Share, Type.Null()]),
    /** Share of each epoch that a teacher has labelled, where there are such pictures; null: as many as there are. */
    pseudo: Type.Union([Share, Type.Null()]),
    /** Sides of the input are drawn from the multiples of 32 within this share of it, every few steps; 0: all steps have the same. */
    multiScale: Type.Number({ minimum: 0, maximum: 0.5 }),
    /**
     * Looks (one each twentieth of the steps) without a better mAP on pictures kept back from training, after which it goes straight to its
     * closing part; 0: it takes all its steps.
     */
    patience: Type.Integer({ minimum: 0, maximum: 20 }),
    /**
     * Where a training goes on from a model: factor of the learning rate for each stage of the backbone further from the head (discriminative
     * fine-tuning, Howard and Ruder 2018). null: a half for a detector that was adopted, whose first layers have learnt of more pictures than
     * people here will ever label; 1 for the built-in one, which has seen little else than its own camera.
     */
    rateDecay: Type.Union([Type.Number(ratesOfStages), Type.Null()]),
    /** Nesterov momentum of stochastic gradient descent (Sutskever et al. 2013), 0.9 as YOLOX was published; 0: AdamW. */
    momentum: Type.Number({ minimum: 0, maximum: 0.99 }),
    /** Share of the pictures that is kept back from training, to fit on it what a score is worth; 0: scores stay as they are. */
    calibrate: Share,
  },
  { additionalProperties: false },
)
export type Recipe = Static<typeof Recipe>

/** What is not as by default. */
export const RecipeChanges = Type.Partial(Recipe, { additionalProperties: false, default: {} })
export type RecipeChanges = Static<typeof RecipeChanges>

export const defaultRecipe: Recipe = {
  mosaic: 0.5,
  mixup: 0,
  copyPaste: 0,
  plain: 0.15,
  scale: 1,
  colour: 1,
  closing: 0.2,
  repeatBelow: 0,
  replay: null,
  pseudo: 0.4,
  multiScale: 0,
  patience: 0,
  rateDecay: null,
  momentum: 0,
  calibrate: 0,
}
