/**
 * The optimiser on the processor: the rules of update-graph.ts as one pass over the vectors. As a graph they are two dozen passes, each over
 * vectors larger than the caches, with as many vectors in between.
 */
import { instantiate, type SharedMemory } from '../../protocol/web-assembly.ts'
import type { UpdateRule } from './update-graph.ts'
import { kernels } from './update-kernels.ts'
import type { SharedVector } from './vectors.ts'

/** What a step changes of a state, each [P]. */
export type Moved = 'parameters' | 'moment1' | 'moment2' | 'average'

/** Half-open range of elements. */
export type Range = readonly [number, number]

interface Rates {
  readonly rate: number
  /** 1 / (1 - beta1^t) and 1 / (1 - beta2^t). */
  readonly correction1: number
  readonly correction2: number
  readonly averageDecay: number
}

export interface Update extends Rates {
  readonly rule: UpdateRule
  readonly vectors: Readonly<Record<Moved, SharedVector>>
  readonly gradient: SharedVector
  /** Factor of the gradient, which clips it. */
  readonly factor: number
  /** Factors of the learning rate, and weight decay, each [P]. */
  readonly rateScale: SharedVector
  readonly decay: SharedVector
}

/** Elements whose squares are added up by themselves, so that the sum does not hang on how the vector is shared out. They fit in a core's cache. */
const stretch = 32_768

/** A vector of `size` in a range for each thread, none of which cuts a stretch. */
export function rangesOf(size: number, threads: number): Range[] {
  const stretches = Math.ceil(size / stretch)
  const edge = (thread: number) => Math.min(size, Math.floor((stretches * thread) / threads) * stretch)
  return Array.from({ length: threads }, (_, thread) => [edge(thread), thread === threads - 1 ? size : edge(thread + 1)])
}

/** Factor that brings a gradient of this L2 norm down to `clip` where it is longer. */
export const clipping = (norm: number, clip: number): number => Math.min(1, clip / (norm + 1e-6))

interface Kernels {
  mean(into: number, of: number, end: number, weight: number, weightOf: number): number
  // biome-ignore format: addresses first, then numbers
  adamW(
    parameters: number, end: number, moment1: number, moment2: number, average: number, gradient: number, rateScale: number, decay: number,
    factor: number, rate: number, averageDecay: number, beta1: number, beta2: number, epsilon: number, correction1: number, correction2: number,
  ): void
  // biome-ignore format: addresses first, then numbers
  momentum(
    parameters: number, end: number, moment: number, average: number, gradient: number, rateScale: number, decay: number,
    factor: number, rate: number, averageDecay: number, momentum: number, ofGradient: number, ofMoment: number,
  ): void
}

/** The loops over vectors that lie in one memory. */
export class Updater {
  readonly #kernels: Kernels

  constructor(memory: SharedMemory) {
    this.#kernels = instantiate<Kernels>(kernels, { vectors: { memory } })
  }

  /**
   * Writes the weighted mean of some gradients to the first of them; the weights add up to 1. Added in their order, whichever thread made
   * them: the same seed gives the same numbers with any number of threads.
   * @returns the sum of squares of each stretch of the range
   */
  takeMean([mean, ...more]: readonly SharedVector[], [weight, ...weights]: readonly number[], [begin, end]: Range): number[] {
    const sums: number[] = []
    for (let from = begin; from < end; from += stretch) {
      const at = (vector: SharedVector) => vector.byteOffset + 4 * from
      const to = mean!.byteOffset + 4 * Math.min(end, from + stretch)
      // Alone it is itself; else the first pass of two weighs both.
      let squares = more.length > 0 ? 0 : this.#kernels.mean(at(mean!), at(mean!), to, weight!, 0)
      for (const [i, each] of more.entries())
        squares = this.#kernels.mean(at(mean!), at(each), to, i === 0 ? weight! : 1, weights[i]!)
      sums.push(squares)
    }
    return sums
  }

  /** Changes the vectors where they lie: with as many again to write to, the streams would push each other out of a core's nearest cache. */
  applyUpdate(update: Update, [begin, end]: Range): void {
    const { rule, vectors, gradient, factor, rateScale, decay, rate, correction1, correction2, averageDecay } = update
    const at = (vector: SharedVector) => vector.byteOffset + 4 * begin
    const [parameters, to] = [at(vectors.parameters), vectors.parameters.byteOffset + 4 * end]
    const [moment1, moment2, average] = [at(vectors.moment1), at(vectors.moment2), at(vectors.average)]
    const given = [at(gradient), at(rateScale), at(decay), factor, rate, averageDecay] as const
    if ('momentum' in rule) {
      const [ofGradient, ofMoment] = rule.nesterov ? [1, rule.momentum] : [0, 1]
      this.#kernels.momentum(parameters, to, moment1, average, ...given, rule.momentum, ofGradient, ofMoment)
    } else {
      const { beta1, beta2, epsilon } = rule
      this.#kernels.adamW(parameters, to, moment1, moment2, average, ...given, beta1, beta2, epsilon, correction1, correction2)
    }
  }
}
