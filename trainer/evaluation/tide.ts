/**
 * What each kind of error costs: TIDE (Bolya, Foley, Hays and Hoffman 2020, "TIDE: A General Toolbox for Identifying Object Detection
 * Errors", section 2). Each kind is mended by an oracle alone, and the rise in AP50 is its price. Decided in the order of the authors' code.
 */
import { type Box, iou } from '../../protocol/boxes.ts'
import { curveOf, meanOf, type Ranking } from './average-precision.ts'
import type { EvaluatedPicture } from './coco.ts'
import { liesIn, type Prediction, type Truth } from './matching.ts'

/**
 * `Cls`: right place, wrong class. `Loc`: right class, poor box. `Both`: wrong class and poor box. `Dupe`: an object found a second time.
 * `Bkg`: nothing is there. `Miss`: an object that no detection comes near.
 */
export const errorKinds = ['Cls', 'Loc', 'Both', 'Dupe', 'Bkg', 'Miss'] as const
export type ErrorKind = (typeof errorKinds)[number]

export interface ErrorSplit {
  readonly AP50: number
  /** Rise in AP50 were this kind mended, and how many there are. The rises need not add up to 1 - AP50: one mended error bares another. */
  readonly kinds: Readonly<Record<ErrorKind, { readonly dAP: number; readonly count: number }>>
  /** Rise were every false positive gone, or every missed object found. */
  readonly falsePositive: number
  readonly falseNegative: number
}

const foreground = 0.5
const background = 0.1
/** Detections a picture. */
const most = 100

/** A detection as a point of its class's curve. */
interface Point {
  readonly label: number
  readonly score: number
  readonly right: boolean
}

/** An object and the best detection that would have found it, were it mended. */
interface Wanted {
  readonly truth: Truth
  found: boolean
  best: Prediction | null
}

interface Fault {
  readonly kind: Exclude<ErrorKind, 'Miss'>
  readonly prediction: Prediction
  readonly wanted: Wanted | null
}

interface Examined {
  readonly right: Point[]
  readonly faults: Fault[]
  /** Labels of objects that are missed, and of those that no mended error would find. */
  readonly unfound: number[]
  readonly missed: number[]
}

/** @param classes labels 0 ... classes - 1; classes without a true box are left out of the mean, as in COCO */
export function errorSplit(pictures: readonly EvaluatedPicture[], classes: number): ErrorSplit {
  const parts = pictures.map(examine)
  const all: Examined = {
    right: parts.flatMap(({ right }) => right),
    faults: parts.flatMap(({ faults }) => faults),
    unfound: parts.flatMap(({ unfound }) => unfound),
    missed: parts.flatMap(({ missed }) => missed),
  }
  const positives = new Array<number>(classes).fill(0)
  for (const { truths } of pictures) for (const { label, ignore } of truths) if (!ignore) positives[label]!++
  const counted = [...positives.keys()].filter((label) => positives[label]! > 0)
  const less = (labels: readonly number[]) => {
    const left = [...positives]
    for (const label of labels) left[label]!--
    return left
  }
  const wrong = ({ prediction: { label, score } }: Fault): Point => ({ label, score, right: false })
  const of = (points: readonly Point[], left = positives) => precision(points, left, counted)
  const AP50 = of([...all.right, ...all.faults.map(wrong)])
  // A negative rise is an effect of the 101 recall levels, so it counts as none (as in the authors' code).
  const rise = (value: number) => Math.max(0, value - AP50)
  const mended = (kind: Exclude<ErrorKind, 'Miss'>) =>
    of([...all.right, ...all.faults.flatMap((fault) => (fault.kind === kind ? mend(fault) : [wrong(fault)]))])
  const kinds = Object.fromEntries(
    errorKinds.map((kind) => [
      kind,
      kind === 'Miss'
        ? { dAP: rise(of([...all.right, ...all.faults.map(wrong)], less(all.missed))), count: all.missed.length }
        : { dAP: rise(mended(kind)), count: all.faults.filter((fault) => fault.kind === kind).length },
    ]),
  ) as Record<ErrorKind, { dAP: number; count: number }>
  return {
    AP50,
    kinds,
    falsePositive: rise(of(all.right)),
    falseNegative: rise(of([...all.right, ...all.faults.map(wrong)], less(all.unfound))),
  }
}

/** An object can be found once: the best detection does it, the others are suppressed. */
function mend({ kind, prediction, wanted }: Fault): Point[] {
  if (!wanted || wanted.found || wanted.best !== prediction) return []
  return [{ label: kind === 'Cls' ? wanted.truth.label : prediction.label, score: prediction.score, right: true }]
}

function examine({ truths, predictions }: EvaluatedPicture): Examined {
  const regions = truths.filter(({ ignore }) => ignore)
  const wanted = truths.filter(({ ignore }) => !ignore).map((truth): Wanted => ({ truth, found: false, best: null }))
  const right: Point[] = []
  const rest: Prediction[] = []
  for (const prediction of predictions.toSorted((a, b) => b.score - a.score).slice(0, most)) {
    const { label, score, box } = prediction
    const [best, shared] = nearest(
      wanted.filter(({ found, truth }) => !found && truth.label === label),
      box,
    )
    if (best && shared >= foreground) {
      best.found = true
      right.push({ label, score, right: true })
    } else if (!liesIn(regions, prediction)) rest.push(prediction)
  }
  const faults = rest.map((prediction) => faultOf(prediction, wanted))
  const unfound = wanted.filter(({ found }) => !found)
  return {
    right,
    faults,
    unfound: unfound.map(({ truth }) => truth.label),
    missed: unfound.filter(({ best }) => best === null).map(({ truth }) => truth.label),
  }
}

function faultOf(prediction: Prediction, wanted: readonly Wanted[]): Fault {
  const { box, label } = prediction
  const [own, ownShared] = nearest(
    wanted.filter(({ truth }) => truth.label === label),
    box,
  )
  const [other, otherShared] = nearest(
    wanted.filter(({ truth }) => truth.label !== label),
    box,
  )
  const would = (kind: 'Loc' | 'Cls', of: Wanted): Fault => {
    if (!of.found && (of.best === null || of.best.score < prediction.score)) of.best = prediction
    return { kind, prediction, wanted: of }
  }
  if (own && ownShared >= background && ownShared < foreground) return would('Loc', own)
  if (other && otherShared >= foreground) return would('Cls', other)
  if (own && ownShared >= foreground) return { kind: 'Dupe', prediction, wanted: null }
  return { kind: Math.max(ownShared, otherShared) <= background ? 'Bkg' : 'Both', prediction, wanted: null }
}

function nearest(among: readonly Wanted[], box: Box): [Wanted | null, number] {
  let best: Wanted | null = null
  let most = 0
  for (const each of among) {
    const shared = iou(box, each.truth.box)
    if (best === null || shared > most) [best, most] = [each, shared]
  }
  return [best, most]
}

/** Mean AP50 over the classes; one of which nothing is left to find and nothing is said is left out. */
function precision(points: readonly Point[], positives: readonly number[], counted: readonly number[]): number {
  const values: number[] = []
  for (const label of counted) {
    const own = points.filter((point) => point.label === label).sort((a, b) => b.score - a.score)
    if (positives[label] === 0 && own.length === 0) continue
    const ranking: Ranking = {
      scores: Float64Array.from(own, ({ score }) => score),
      picture: new Int32Array(own.length),
      outcome: [Int8Array.from(own, (point) => Number(point.right))],
      positives: Int32Array.of(positives[label]!),
    }
    const curve = curveOf(ranking, 0)
    values.push(curve ? meanOf(curve.precision) : 0)
  }
  return values.length > 0 ? meanOf(values) : 1
}
