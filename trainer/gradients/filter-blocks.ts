/**
 * Filters of whole blocks of channels, [co, ci, k, l], as [ci/b, co/b, k, l, b(ci), b(co)]: so the blocked convolution gives their gradient, and
 * what the other two convolutions read is one transposition away, of whole blocks or of each. From and to [co, ci, k, l] it takes two or three.
 */
import type { GraphBuilder, Value } from '../graph/builder.ts'

type FilterShape = readonly [co: number, ci: number, k: number, l: number]

const key = (w: Value) => `filter blocks of ${w.name}`

export const hasWholeBlocks = ([co, ci]: readonly number[], b: number): boolean => b > 0 && co! % b === 0 && ci! % b === 0

/** w [co, ci, k, l] in blocks, if it was made of them. */
export const blocksOf = (g: GraphBuilder, w: Value): Value | undefined => g.made(key(w))

/** a [.., M, N] as [.., N, M]. A transposition of matrices takes a third of one over more axes. */
const turned = (g: GraphBuilder, a: Value, shape: readonly [number, number, number]) =>
  g.transpose(g.reshape(a, shape), [0, 2, 1])

/** The plain filter of what holds the numbers of one in blocks. */
export function plainFilter(g: GraphBuilder, numbers: Value, shape: readonly number[], b: number): Value {
  const [co, ci, k, l] = shape as FilterShape
  const outputFirst = turned(g, numbers, [1, ci / b, co * k * l * b])
  const inputSecond = turned(g, outputFirst, [co / b, k * l * b, ci])
  const w = g.reshape(turned(g, inputSecond, [co * (ci / b), k * l, b]), shape)
  g.once(key(w), () => g.reshape(numbers, [ci / b, co / b, k, l, b, b]))
  return w
}

/** w [co, ci, k, l] in blocks, whatever it was made of. */
export function filterBlocks(g: GraphBuilder, w: Value, b: number): Value {
  const [co, ci, k, l] = w.shape as FilterShape
  return g.once(key(w), () => {
    const outputLast = turned(g, w, [co / b, b, ci * k * l])
    const shape = [ci / b, co / b, k, l, b, b]
    return g.reshape(g.transpose(g.reshape(outputLast, [co / b, ci / b, b, k * l, b]), [1, 0, 3, 2, 4]), shape)
  })
}

/** Of filters in blocks, which stays in them, or undefined. */
export function sumInBlocks(g: GraphBuilder, a: Value, c: Value): Value | undefined {
  const [first, second] = [blocksOf(g, a), blocksOf(g, c)]
  return first && second && plainFilter(g, g.add(first, second), a.shape, first.shape.at(-1)!)
}

/** w [co, ci, k, l] times a factor for each output channel, [co]. */
export function scaledFilter(g: GraphBuilder, w: Value, factors: Value): Value {
  const blocks = blocksOf(g, w)
  if (!blocks) return g.mul(w, g.reshape(factors, [w.shape[0]!, 1, 1, 1]))
  const b = blocks.shape.at(-1)!
  const scaled = g.mul(blocks, g.reshape(factors, [1, w.shape[0]! / b, 1, 1, 1, b]))
  return plainFilter(g, scaled, w.shape, b)
}
