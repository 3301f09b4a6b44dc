/** What tells families apart whose maps look alike: the last convolutions that a value comes from, and those below them. */
import { elementCount, type Node } from '../onnx/graph.ts'
import type { Foreign } from './foreign.ts'

/** Convolutions that a value comes from without another between them, in the order in which they run. */
export function lastConvolutions(foreign: Foreign, name: string): Node[] {
  const found = new Set<Node>()
  const reached = new Set([name])
  for (const each of reached) {
    const node = foreign.maker(each)
    if (node?.op === 'Conv') found.add(node)
    else for (const input of node?.inputs ?? []) reached.add(input)
  }
  return foreign.graph.nodes.filter((node) => found.has(node))
}

/** The only last convolution that a value comes from; undefined where there are several. */
function convolutionBehind(foreign: Foreign, name: string | undefined): Node | undefined {
  if (name === undefined) return undefined
  const [node, ...more] = lastConvolutions(foreign, name)
  return more.length === 0 ? node : undefined
}

/**
 * Whether the convolutions below the last ones of these maps have the same filters in every grid, up to a factor for each: that of its own
 * BatchNormalization, which exporters fold into them. The last ones themselves differ in RTMDet, and do not in FCOS and its kin.
 */
export function sharesFilters(foreign: Foreign, maps: readonly string[]): boolean {
  const last = maps.map((map) => convolutionBehind(foreign, map))
  const below = last.map((node) => convolutionBehind(foreign, node?.inputs[0]))
  return haveSameFilters(foreign, below) && !haveSameFilters(foreign, last)
}

/** Cosine of the angle between filters that differ by a factor alone, after rounding to 8 bits; and how many of them must, for some are dead. */
const sameDirection = 0.99
const mostly = 0.95

function haveSameFilters(foreign: Foreign, convolutions: readonly (Node | undefined)[]): boolean {
  const weights = convolutions.map((node) => node && foreign.constant(node.inputs[1]!))
  const [first, ...others] = weights
  if (!first || others.length === 0) return false
  return others.every((other) => {
    if (other?.shape.join() !== first.shape.join()) return false
    const count = first.shape[0]!
    const size = elementCount(first.shape) / count
    const same = Array.from({ length: count }, (_, filter) => {
      let [ab, aa, bb] = [0, 0, 0]
      for (let i = filter * size; i < (filter + 1) * size; i++) {
        const [a, b] = [Number(first.data[i]), Number(other.data[i])]
        ab += a * b
        aa += a * a
        bb += b * b
      }
      return Math.abs(ab) >= sameDirection * Math.sqrt(aa * bb)
    })
    return same.filter(Boolean).length >= mostly * count
  })
}

/** Whether one of the two convolutions below a map's last one sees each channel alone, as YOLO26's classes have it. */
export function comesThroughDepthwise(foreign: Foreign, map: string): boolean {
  const below = convolutionBehind(foreign, convolutionBehind(foreign, map)?.inputs[0])
  const further = convolutionBehind(foreign, below?.inputs[0])
  return [below, further].some((node) => {
    const [channels, perGroup] = node ? foreign.shape(node.inputs[1]!) : []
    return perGroup === 1 && Number(node!.attributes.group ?? 1) === channels
  })
}
