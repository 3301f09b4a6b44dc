/**
 * Exports with two outputs over all cells, boxes [1, cells, 4] x1 y1 x2 y2 in pixels of the input and class scores [1, cells, C] or turned, that come from
 * a map of class logits and one of distance distributions of each grid (YOLO-NAS, PP-YOLOE, DAMO-YOLO).
 */
import { type Adapter, misfit } from './adapter.ts'
import { type TrainableEnding, trainableCore } from './build-core.ts'
import type { Foreign } from './foreign.ts'
import type { OwnOutput } from './own-decoding.ts'

/** What families of this form differ in. */
export interface Family extends Pick<TrainableEnding, 'family' | 'architecture' | 'normalization' | 'resize' | 'head'> {
  /** Where a cell's point lies between its corner and the next cell's. */
  readonly cellOffset: number
  /** What a file cannot tell of how its pictures are prepared. */
  readonly pictures: string
}

export const besideScores =
  ({ pictures, cellOffset, ...named }: Family): Adapter =>
  async (foreign, options) => {
    const { family } = named
    const classes = options.classes.length
    const outputs = outputsOf(foreign, classes)
    if (!outputs)
      throw misfit(
        family,
        `its outputs are ${foreign.describeOutputs()}; [1, cells, 4] and [1, cells, ${classes}] alone are wanted`,
      )
    const { grids, bins } = gridsOf(foreign, outputs, classes)
    if (grids.length === 0)
      throw misfit(family, `its boxes are not made of a map of distributions and one of ${classes} classes for each grid`)
    return await trainableCore({
      ...named,
      foreign,
      options,
      why: `${grids.length} grids of class scores and distributions over ${bins} distances, measured from ${cellOffset === 0 ? 'the corners of cells' : 'the centres of cells'}; ${pictures}`,
      levels: grids,
      fields: {
        strides: foreign.strides(
          grids.map(([kinds]) => kinds),
          family,
        ),
        bins,
        cellOffset,
        nms: 'per-class',
        nmsIou: 0.7,
      },
      classMaps: grids.map(([kinds]) => ({ map: kinds, before: 0, after: 0 })),
      own: [ownOutputs(outputs)],
    })
  }

interface Outputs {
  readonly boxes: string
  readonly scores: string
  /** [1, C, cells], as Paddle exports them. */
  readonly turned: boolean
}

function outputsOf(foreign: Foreign, classes: number): Outputs | undefined {
  const names = foreign.graph.outputs.map(({ name }) => name)
  if (names.length !== 2) return undefined
  // With four classes only what they are made of tells which are the boxes.
  const boxes = foreign.outputs([1, undefined, 4]).find((name) => distributionsOf(foreign, name).length > 0)
  const scores = names.find((name) => name !== boxes)
  if (!boxes || !scores) return undefined
  const cells = foreign.shape(boxes)[1]!
  const shape = foreign.shape(scores).join()
  const turned = shape === `1,${classes},${cells}`
  return turned || shape === `1,${cells},${classes}` ? { boxes, scores, turned } : undefined
}

/** Maps of which a softmax is taken, of each grid or of all that are joined before it. */
function distributionsOf(foreign: Foreign, boxes: string): string[] {
  const softmaxes = foreign.ancestors(boxes).filter(({ op }) => op === 'Softmax')
  return softmaxes
    .flatMap(({ inputs }) => foreign.parts(inputs[0]!))
    .flatMap((name) => foreign.mapBehind(name) ?? [])
    .filter((map) => foreign.shape(map)[1]! % 4 === 0)
}

/** Of each grid its maps of classes and of distances, fine to coarse; none where any grid has others. */
function gridsOf(foreign: Foreign, { boxes, scores }: Outputs, classes: number): { grids: [string, string][]; bins: number } {
  const fineFirst = (maps: readonly string[]) => maps.toSorted((a, b) => foreign.cells(b) - foreign.cells(a))
  const kinds = fineFirst(foreign.ends(scores)).filter((map) => foreign.shape(map)[1] === classes)
  const numbers = fineFirst(distributionsOf(foreign, boxes))
  const pairs = kinds.flatMap((map, level): [string, string][] => (numbers[level] === undefined ? [] : [[map, numbers[level]]]))
  const sizeOf = (map: string) => foreign.shape(map).slice(2).join()
  const widths = new Set(numbers.map((map) => foreign.shape(map)[1]!))
  const fits = kinds.length === numbers.length && widths.size === 1 && pairs.every(([a, b]) => sizeOf(a) === sizeOf(b))
  return fits ? { grids: pairs, bins: [...widths][0]! / 4 } : { grids: [], bins: 0 }
}

const ownOutputs = ({ boxes, scores, turned }: Outputs): OwnOutput[] => [
  { output: boxes, make: (_, decoded) => decoded.boxes },
  { output: scores, make: (g, decoded) => (turned ? g.transpose(decoded.scores, [1, 0]) : decoded.scores) },
]
