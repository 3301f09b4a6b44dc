/**
 * The optimiser on the processor: the rules of update-graph.ts as one pass over the vectors. As a graph they are two dozen passes, each over
 * vectors larger than the caches, with as many vectors in between.
 */
import type { adam, UpdateRule } from './update-graph.ts'

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
  readonly vectors: Readonly<Record<Moved, Float32Array>>
  readonly gradient: Float32Array
  /** Factor of the gradient, which clips it. */
  readonly factor: number
  /** Factors of the learning rate, and weight decay, each [P]. */
  readonly rateScale: Float32Array
  readonly decay: Float32Array
}

/** Elements whose squares are added up by themselves, so that the sum does not hang on how the vector is shared out. They fit in a core's cache. */
const stretch = 32_768

/** A vector of `size` in a range for each thread, none of which cuts a stretch. */
export function rangesOf(size: number, threads: number): Range[] {
  const stretches = Math.ceil(size / stretch)
  const edge = (thread: number) => Math.min(size, Math.floor((stretches * thread) / threads) * stretch)
  return Array.from({ length: threads }, (_, thread) => [edge(thread), thread === threads - 1 ? size : edge(thread + 1)])
}

/**
 * Writes the weighted mean of some gradients to the first of them; the weights add up to 1. Added in their order, whichever thread made them:
 * the same seed gives the same numbers with any number of threads.
 * @returns the sum of squares of each stretch of the range
 */
export function takeMean(gradients: readonly Float32Array[], weights: readonly number[], [begin, end]: Range): number[] {
  const sums: number[] = []
  for (let from = begin; from < end; from += stretch) {
    const to = Math.min(end, from + stretch)
    const [mean, ...more] = gradients.map((each) => each.subarray(from, to))
    scale(mean!, weights[0]!)
    for (const [i, each] of more.entries()) addScaled(mean!, each, weights[i + 1]!)
    sums.push(squaresOf(mean!))
  }
  return sums
}

function scale(values: Float32Array, factor: number): void {
  for (let i = 0; i < values.length; i++) values[i]! *= factor
}

function addScaled(sum: Float32Array, more: Float32Array, factor: number): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += more[i]! * factor
}

function squaresOf(values: Float32Array): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!
  return sum
}

/** Factor that brings a gradient of this L2 norm down to `clip` where it is longer. */
export const clipping = (norm: number, clip: number): number => Math.min(1, clip / (norm + 1e-6))

/** Changes the vectors where they lie: with as many again to write to, the streams would push each other out of a core's nearest cache. */
export function applyUpdate(update: Update, [begin, end]: Range): void {
  const { rule } = update
  // In many short calls: V8 compiles what is called often best, and a long loop in a rare call late.
  for (let from = begin; from < end; from += stretch) {
    const range = [from, Math.min(end, from + stretch)] as const
    if ('momentum' in rule) momentum(update, rule, range)
    else adamW(update, rule, range)
  }
}

function adamW(update: Update, { beta1, beta2, epsilon }: typeof adam, [begin, end]: Range): void {
  const { vectors, gradient, factor, rateScale, decay, rate, correction1, correction2, averageDecay } = update
  const { parameters, moment1, moment2, average } = vectors
  for (let i = begin; i < end; i++) {
    const g = gradient[i]! * factor
    const m = beta1 * moment1[i]! + (1 - beta1) * g
    const v = beta2 * moment2[i]! + (1 - beta2) * g * g
    const old = parameters[i]!
    const p = old - rate * rateScale[i]! * ((m * correction1) / (Math.sqrt(v * correction2) + epsilon) + decay[i]! * old)
    moment1[i] = m
    moment2[i] = v
    parameters[i] = p
    average[i] = averageDecay * average[i]! + (1 - averageDecay) * p
  }
}

function momentum(update: Update, rule: Extract<UpdateRule, { momentum: number }>, [begin, end]: Range): void {
  const { vectors, gradient, factor, rateScale, decay, rate, averageDecay } = update
  const { parameters, moment1, average } = vectors
  for (let i = begin; i < end; i++) {
    const old = parameters[i]!
    const g = gradient[i]! * factor + decay[i]! * old
    const m = rule.momentum * moment1[i]! + g
    const p = old - rate * rateScale[i]! * (rule.nesterov ? g + rule.momentum * m : m)
    moment1[i] = m
    parameters[i] = p
    average[i] = averageDecay * average[i]! + (1 - averageDecay) * p
  }
}
