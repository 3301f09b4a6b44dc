/**
 * Learns from pictures without labels too. Without a teacher the training is its own: the first part learns from the labels alone, its
 * moving average labels the rest, and the second part goes on from there with both (burn-in and mutual learning of Unbiased Teacher, Liu
 * et al., ICLR 2021, with one exchange). With a teacher, which may be larger or of another kind, its detections are learnt from the start.
 */
import { inEnglish, say } from '../../protocol/sentences.ts'
import { labelledByTeacher } from '../data/pseudo-labels.ts'
import { plannedSteps, type TrainOptions, type TrainResult, train } from './train.ts'

export interface Unlabelled {
  /** Pictures of the places that the detector is for. */
  readonly paths: readonly string[]
  /** A deployed file that knows the classes; null: the training is its own. */
  readonly teacher: Uint8Array | null
}

/** Share of the steps before the teacher's labels are asked for. */
const burnIn = 0.5

/** A resume runs the burn-in again when the checkpoint is of the second part: the same seed gives the same teacher. */
export async function trainWithUnlabelled(options: TrainOptions, { paths, teacher }: Unlabelled): Promise<TrainResult> {
  const { samples, classes, threads, signal, onLog = () => {} } = options
  const steps = plannedSteps(options)
  const first = teacher ? 0 : Math.round(steps * burnIn)
  const part = (count: number) => ({ steps: count, minutes: options.minutes && (options.minutes * count) / steps })
  const begun = teacher ? null : await train({ ...options, ...part(first) })
  const labelled = await labelledByTeacher(begun?.model ?? teacher!, { paths, samples, classes, threads, signal })
  const boxes = labelled.flatMap(({ labels }) => labels)
  onLog(
    inEnglish(
      say('log.teacher', {
        pictures: paths.length,
        sure: boxes.filter(({ ignore }) => !ignore).length,
        doubtful: boxes.filter(({ ignore }) => ignore).length,
      }),
    ),
  )
  const result = await train({
    ...options,
    ...part(steps - first),
    base: begun?.model ?? options.base,
    samples: [...samples, ...labelled],
    // Steps are counted through: both parts are one training.
    onProgress:
      options.onProgress &&
      ((progress) => options.onProgress?.({ ...progress, step: progress.step + first, steps: progress.steps + first })),
    onCheckpoint: options.onCheckpoint && (async (bytes, step) => await options.onCheckpoint?.(bytes, step + first)),
    onCandidate: options.onCandidate && (async (model, step) => await options.onCandidate?.(model, step + first)),
  })
  return {
    ...result,
    stopped: result.stopped ?? begun?.stopped ?? null,
    steps: result.steps + (begun?.steps ?? 0),
    seconds: result.seconds + (begun?.seconds ?? 0),
  }
}
