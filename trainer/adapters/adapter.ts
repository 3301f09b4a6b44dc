/** What an adapter is: it knows one family of foreign detectors and writes the nodes around it that make a deployed model's core. */
import { MuninnError } from '../../protocol/errors.ts'
import type { Specification } from '../detector/specification.ts'
import type { GraphBuilder } from '../graph/builder.ts'
import type { Graph } from '../onnx/graph.ts'

export interface Adopted {
  /** `image` uint8 [1, H, W, 3] to the rows that the specification names. */
  readonly core: Graph
  readonly specification: Specification
  readonly width: number
  readonly height: number
}

/** @throws MuninnError BAD_MODEL naming what is not as this family has it */
export type Adapter = (graph: Graph, classes: readonly string[]) => Adopted

export const misfit = (family: string, words: string) => new MuninnError('BAD_MODEL', `this is no ${family} detector: ${words}`)

/** The one image input [1, 3, H, W] of a foreign graph. */
export function pictureInput(graph: Graph, family: string): { name: string; width: number; height: number } {
  const [input, ...more] = graph.inputs
  const [batch, channels, height, width] = input?.shape ?? []
  if (
    !input ||
    more.length > 0 ||
    batch !== 1 ||
    channels !== 3 ||
    typeof height !== 'number' ||
    typeof width !== 'number' ||
    input.type !== 'float32'
  ) {
    throw misfit(
      family,
      `it must have one float32 input [1, 3, H, W], it has ${graph.inputs.map(({ name, type, shape }) => `${name} ${type} [${shape.join(', ')}]`).join('; ')}`,
    )
  }
  return { name: input.name, width, height }
}

/** The feature map that the embedding is pooled from: the last of the coarsest with the most channels up to 512. */
export function coarsestFeature(g: GraphBuilder): string {
  let best: { name: string; pixels: number; channels: number } | undefined
  for (const { op, outputs } of g.graph.nodes) {
    const { name, shape } = g.value(outputs[0]!)
    const [batch, channels, height, width] = shape as [number, number, number, number]
    if (shape.length !== 4 || batch !== 1 || channels > 512 || channels < 32 || height < 2 || width < 2 || op === 'Resize')
      continue
    const pixels = height * width
    if (!best || pixels < best.pixels || (pixels === best.pixels && channels >= best.channels)) best = { name, pixels, channels }
  }
  if (!best) throw misfit('known', 'it has no feature map to describe a frame by')
  return best.name
}
