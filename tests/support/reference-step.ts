/** One small training step of the built-in detector, the same numbers each time: what the test runs, and what the reference was made from. */
import { cellsOf } from '../../trainer/detector/cells.ts'
import { coreOf } from '../../trainer/detector/core.ts'
import { trainingGraph } from '../../trainer/detector/loss.ts'
import { plainNetwork } from '../../trainer/detector/network.ts'
import { Random } from '../../trainer/detector/random.ts'
import { targetsOf } from '../../trainer/detector/targets.ts'
import type { Feeds } from '../../trainer/engine/feeds.ts'
import type { Graph } from '../../trainer/onnx/graph.ts'

export const size = 96
export const batch = 2
export const classes = ['a', 'b', 'c']

export interface ReferenceStep {
  /** The core with its parameters. */
  readonly core: Graph
  readonly graph: Graph
  readonly parameters: readonly string[]
  readonly feeds: Feeds
}

export function referenceStep(): ReferenceStep {
  const random = new Random(11)
  const { graph, specification } = plainNetwork({ width: size, height: size, classes, random })
  const core = coreOf(graph, specification)
  const positives = 48
  const cells = cellsOf({ width: size, height: size, strides: specification.strides })
  const labels = Array.from({ length: batch }, () =>
    Array.from({ length: 3 }, () => {
      const [x, y, side] = [random.integer(40), random.integer(40), 14 + random.integer(40)]
      return { box: [x, y, x + side, y + side * 0.8] as const, label: random.integer(classes.length) }
    }),
  )
  const image = Uint8Array.from({ length: batch * size * size * 3 }, () => random.integer(256))
  return {
    core,
    graph: trainingGraph(core, specification, { batch, width: size, height: size, positives }),
    parameters: [...core.initializers.keys()].filter((name) => /\.(weight|scale|bias)$/.test(name)),
    feeds: {
      image: { type: 'uint8', shape: [batch, size, size, 3], data: image },
      ...targetsOf(labels, { cells, classes: classes.length, positives, oneHot: false }),
    },
  }
}

/** A fixed direction to project a gradient on: one number that depends on every component and its place. */
export const projection = (gradient: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < gradient.length; i++) sum += gradient[i]! * (((i * 7919) % 13) - 6)
  return sum
}
