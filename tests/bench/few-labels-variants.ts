/** What is compared: each variant differs from `base` (the trainer's defaults) by what it names. */
import type { TrainOptions } from '../../trainer/loop/train.ts'

export interface Variant {
  readonly words: string
  readonly options: Pick<TrainOptions, 'recipe' | 'rate'>
  /** The rest of the pool without its labels; half of the steps before, half with the teacher's labels. */
  readonly unlabelled?: true
  /** Share of the steps spent on choosing the settings. */
  readonly choose?: number
  /** Trained by few-labels-torch.py instead. */
  readonly python?: true
}

export const variants: Readonly<Record<string, Variant>> = {
  base: { words: 'the defaults', options: {} },
  bare: {
    words: 'no augmentation at all',
    options: { recipe: { mosaic: 0, mixup: 0, copyPaste: 0, plain: 1 } },
  },
  pytorch: { words: 'an ordinary PyTorch loop with the same recipe', options: {}, python: true },
  'self-train': {
    words: 'half of the steps with labels of its own average on unlabelled pictures',
    options: {},
    unlabelled: true,
  },
  choose: { words: 'half of the steps spent on choosing rate and augmentation by successive halving', options: {}, choose: 0.5 },
  calibrated: { words: 'a fifth of the labels kept back to fit what a score is worth', options: { recipe: { calibrate: 0.2 } } },
  'no-mosaic': { words: 'no mosaic', options: { recipe: { mosaic: 0 } } },
  'more-mosaic': { words: 'mosaic for 4 of 5 pictures', options: { recipe: { mosaic: 0.8 } } },
  mixup: { words: 'half of the mosaics mixed with another picture', options: { recipe: { mixup: 0.5 } } },
  'copy-paste': { words: 'objects pasted into half of the pictures', options: { recipe: { copyPaste: 0.5 } } },
  repeat: { words: 'rare classes (below 0.3 of the pictures) repeated', options: { recipe: { repeatBelow: 0.3 } } },
  'multi-scale': { words: 'sides of the input within 0.3 of its own', options: { recipe: { multiScale: 0.3 } } },
  patience: { words: 'cut short after 4 looks without a gain on 0.15 of the labels', options: { recipe: { patience: 4 } } },
  sgd: { words: 'SGD with Nesterov momentum 0.9 instead of AdamW', options: { recipe: { momentum: 0.9 } } },
  mild: { words: 'half of the change in size and light', options: { recipe: { scale: 0.5, colour: 0.5 } } },
  'no-close': { words: 'mosaic to the very end', options: { recipe: { closing: 0 } } },
  'early-close': { words: 'the last 0.4 without mosaic', options: { recipe: { closing: 0.4 } } },
  ...Object.fromEntries(
    ['3.5e-4', '7e-4', '1.4e-3', '2.8e-3', '5.6e-3', '1.12e-2'].map((rate) => [
      `rate-${rate}`,
      { words: `a learning rate of ${rate}`, options: { rate: Number(rate) } },
    ]),
  ),
  'even-rate': { words: 'all stages at one learning rate', options: { recipe: { rateDecay: 1 } } },
  'steep-rate': {
    words: 'each stage further from the head at a third of the learning rate',
    options: { recipe: { rateDecay: 1 / 3 } },
  },
}
