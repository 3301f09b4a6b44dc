/** A teacher's detections as labels of pictures that nobody has labelled. */
import type { Label } from '../detector/targets.ts'
import { type Found, PictureDetector } from '../inference/detector.ts'
import { decodePicture } from './picture.ts'
import { type LabelledSample, notExhaustive } from './sample.ts'

/** Of the objects that are to be expected, this share is taken as sure; the rest is doubtful. */
const sureShare = 0.6

/**
 * Score by class from which a detection is taken for an object: the labelled pictures say how many boxes of a class to expect in a
 * picture, and as many of the best are taken (label distribution matching: LabelMatch, Chen et al., CVPR 2022). Scores of one training
 * are not those of another, so a fixed threshold would not do.
 */
export function thresholdsOf(
  scores: readonly (readonly number[])[],
  { expected, share = sureShare }: { expected: readonly number[]; share?: number },
): number[] {
  return scores.map((own, label) => {
    const count = Math.round((expected[label] ?? 0) * share)
    return count === 0 ? Number.POSITIVE_INFINITY : (own.toSorted((a, b) => b - a)[count - 1] ?? 0)
  })
}

/** Boxes per picture by class, over the pictures in which it was looked for. */
export function boxesPerPicture(samples: readonly LabelledSample[], classes: number): number[] {
  const counts = Array<number>(classes).fill(0)
  const pictures = Array<number>(classes).fill(samples.length)
  for (const { labels } of samples) {
    const partial = new Set(labels.flatMap(({ label, classOnly }) => (classOnly ? [label] : [])))
    for (const label of partial) pictures[label]!--
    for (const { label, ignore } of labels) if (!ignore && !partial.has(label)) counts[label]!++
  }
  return counts.map((count, label) => count / Math.max(1, pictures[label]!))
}

/** Sure detections are labels, doubtful ones regions from which nothing is learnt, and the rest is background. */
export function pseudoLabels(found: readonly Found[], sure: readonly number[], doubtful: readonly number[]): Label[] {
  return found.flatMap(({ box, label, score }) => {
    if (score >= sure[label]!) return [{ box, label }]
    return score >= doubtful[label]! ? [{ box, label, ignore: true }] : []
  })
}

/** @param paths pictures without labels @param samples those with, of the same kind of places */
export async function labelledByTeacher(
  teacher: Uint8Array,
  {
    paths,
    samples,
    classes,
    threads,
    signal,
  }: {
    paths: readonly string[]
    samples: readonly LabelledSample[]
    classes: readonly string[]
    threads?: number
    signal?: AbortSignal
  },
): Promise<LabelledSample[]> {
  const detector = await PictureDetector.load(teacher, { threads })
  try {
    const labelOf = detector.specification.classes.map((name) => classes.indexOf(name))
    const found: Found[][] = []
    for (const path of paths) {
      signal?.throwIfAborted()
      const { found: all } = await detector.detect(await decodePicture(path))
      found.push(all.flatMap((each) => (labelOf[each.label]! >= 0 ? [{ ...each, label: labelOf[each.label]! }] : [])))
    }
    const scores = classes.map((_, label) => found.flat().flatMap((each) => (each.label === label ? [each.score] : [])))
    const expected = boxesPerPicture(samples, classes.length).map((count) => count * paths.length)
    const sure = thresholdsOf(scores, { expected })
    // As many again beyond what is expected may be objects that the teacher ranks low.
    const doubtful = thresholdsOf(scores, { expected, share: 2 - sureShare })
    // A teacher that lacks a class says nothing of it: its pictures must not make background of the class's objects.
    const lacking = [...classes.keys()].filter((label) => !labelOf.includes(label)).map(notExhaustive)
    return paths.map((path, i) => ({ path, labels: [...pseudoLabels(found[i]!, sure, doubtful), ...lacking], pseudo: true }))
  } finally {
    await detector.stop()
  }
}
