/** Times files against each other: in turn, picture by picture, so that whatever else the machine does slows all of them alike. */
import ort from 'onnxruntime-node'

export interface Pace {
  readonly threads: number
  /** Median of each file. */
  readonly milliseconds: readonly number[]
  /** Median over the rounds of the first file's time over the second's. */
  readonly ratio: number
}

const warmUp = 5
const rounds = 50

export const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

/** @param files with sessions as a device opens them */
export async function race(
  files: readonly [Uint8Array, Uint8Array],
  { threads, image, shape, signal }: { threads: number; image: Uint8Array; shape: readonly number[]; signal?: AbortSignal },
): Promise<Pace> {
  const sessions: ort.InferenceSession[] = []
  try {
    for (const file of files)
      sessions.push(
        await ort.InferenceSession.create(file, {
          intraOpNumThreads: threads,
          interOpNumThreads: 1,
          graphOptimizationLevel: 'all',
        }),
      )
    const times: number[][] = files.map(() => [])
    for (let round = 0; round < warmUp + rounds; round++) {
      signal?.throwIfAborted()
      for (const [i, session] of sessions.entries()) {
        const start = performance.now()
        await session.run({ image: new ort.Tensor('uint8', image, shape) })
        if (round >= warmUp) times[i]!.push(performance.now() - start)
      }
    }
    return { threads, milliseconds: times.map(median), ratio: median(times[0]!.map((time, round) => time / times[1]![round]!)) }
  } finally {
    for (const session of sessions) await session.release()
  }
}
