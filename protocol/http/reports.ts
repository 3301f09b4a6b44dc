/** What a trainer says of a finished run: both models on the held-out samples, and the kinds of errors. */
import { type Static, Type } from 'typebox'
import { ClassName, Sha256, Share } from '../primitives.ts'
import { Words } from '../sentences.ts'
import { Annotation } from './labelling.ts'

const strict = { additionalProperties: false }
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

const Interval = Type.Object({ value: Type.Number(), low: Type.Number(), high: Type.Number() }, strict)

/** One model file on the held-out samples. */
export const Evaluation = Type.Object(
  {
    model: Sha256,
    images: Type.Integer(),
    mAP50: Interval,
    'mAP50-95': Interval,
    perClass: Type.Array(
      Type.Object(
        {
          label: ClassName,
          truths: Type.Integer(),
          AP50: Type.Number(),
          'AP50-95': Type.Number(),
          /** Best-F1 score: what the manifest proposes as the deployment threshold. */
          threshold: Share,
          /** Precision at 101 recall levels 0, 0.01, ... 1 (IoU 0.5). */
          precision: Type.Array(Type.Number()),
        },
        strict,
      ),
    ),
    /** Frames with the most wrong with them, worst first. */
    worst: Type.Array(
      Type.Object(
        {
          image: Sha256,
          missed: Type.Integer(),
          spurious: Type.Integer(),
          detections: Type.Array(Type.Object({ box: Annotation.properties.box, label: ClassName, score: Share }, strict)),
        },
        strict,
      ),
    ),
    millisecondsPerImage: Type.Number(),
  },
  strict,
)
export type Evaluation = Static<typeof Evaluation>

const QuantizedFile = Type.Object(
  {
    mAP50: Type.Number(),
    'mAP50-95': Type.Number(),
    /** Median at batch 1 with one thread. */
    milliseconds: Type.Number(),
    bytes: Type.Integer(),
  },
  strict,
)

/** The float file and its int8 file on the same held-out pictures; `proposed`: the int8 one is the challenger. */
export const Quantization = Type.Object(
  { proposed: Type.Boolean(), reasons: Type.Array(Type.String()), float: QuantizedFile, int8: QuantizedFile },
  strict,
)
export type Quantization = Static<typeof Quantization>

const ErrorKind = Type.Object({ dAP: Type.Number(), count: Type.Integer() }, strict)

/** What kinds of errors a model makes on the held-out samples, and whether its scores mean probabilities. */
export const Analysis = Type.Object(
  {
    /** [truth][said] at the proposed thresholds, in the order of `perClass`; the last row and column are the background. */
    confusion: Type.Array(Type.Array(Type.Integer())),
    /** Rise in AP50 were each kind of error mended alone (TIDE, Bolya et al. 2020). */
    errors: Type.Object(
      {
        AP50: Type.Number(),
        kinds: Type.Object(
          { Cls: ErrorKind, Loc: ErrorKind, Both: ErrorKind, Dupe: ErrorKind, Bkg: ErrorKind, Miss: ErrorKind },
          strict,
        ),
        falsePositive: Type.Number(),
        falseNegative: Type.Number(),
      },
      strict,
    ),
    /** Expected calibration error and its bins: mean score and share of right detections. */
    calibration: Type.Object(
      {
        ECE: Type.Number(),
        bins: Type.Array(
          Type.Object(
            {
              low: Type.Number(),
              high: Type.Number(),
              count: Type.Integer(),
              confidence: Type.Number(),
              precision: Type.Number(),
            },
            strict,
          ),
        ),
      },
      strict,
    ),
  },
  strict,
)
export type Analysis = Static<typeof Analysis>

/** What a trainer says of a finished run. `difference` is challenger minus champion, paired bootstrap over images. */
export const RunReport = Type.Object(
  {
    challenger: Evaluation,
    champion: nullable(Evaluation),
    difference: nullable(Type.Object({ mAP50: Interval, 'mAP50-95': Interval }, strict)),
    /** Of the challenger; reports of older trainers lack it. */
    analysis: Type.Optional(Analysis),
    trainMinutes: Type.Number(),
    steps: Type.Integer(),
    device: Type.String(),
    /** `device` in parts that a page can say in its own language; reports of older trainers lack it. */
    trainedOn: Type.Optional(Type.Object({ machine: Type.String(), told: Words }, strict)),
    /** null: no int8 file was made. */
    quantization: Type.Optional(nullable(Quantization)),
  },
  strict,
)
export type RunReport = Static<typeof RunReport>
