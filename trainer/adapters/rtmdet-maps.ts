/** RTMDet's maps where a file gives them as they are: of each grid one of class logits and one of distances, apart or side by side. */
import { columns } from '../detector/heads/head.ts'
import type { GraphBuilder } from '../graph/builder.ts'
import type { Foreign } from './foreign.ts'
import { lastConvolutions } from './last-convolutions.ts'
import type { Decoded, OwnOutput } from './own-decoding.ts'

export const family = 'RTMDet'

export interface Grid {
  /** Maps of class logits, and of distances in strides. */
  readonly kinds: string
  readonly sides: string
}

export interface Found {
  /** With what is read as its outputs. */
  readonly file: Foreign
  /** Fine to coarse. */
  readonly grids: readonly Grid[]
  readonly own: readonly OwnOutput[]
  readonly decoded: boolean
  readonly words: string
}

/** What a file gives of a map, as it is or after its sigmoid or times its stride: an output, or a part of one. */
interface Given {
  readonly output: string
  readonly value: string
  /** Of the last convolution behind it. */
  readonly map: string
}

/** Maps apart (mmdetection, mmyolo), or the classes in front of the distances in one output (mmyolo's `--model-only`). */
export function mapsAlone(foreign: Foreign, classes: number): Found | undefined {
  const outputs = foreign.graph.outputs.map(({ name }) => name)
  if (outputs.some((name) => foreign.shape(name).length !== 4)) return undefined
  const all = outputs.map((output) => foreign.parts(output).flatMap((value) => givenOf(foreign, output, value)))
  const joined = all.every((parts) => parts.length === 2)
  if (!joined && all.some((parts) => parts.length !== 1)) return undefined
  const sizeOf = ({ map }: Given) => foreign.shape(map).slice(2).join()
  const pairs = [...new Set(all.flat().map(sizeOf))].map((size) => all.flat().filter((each) => sizeOf(each) === size))
  const channels = ({ map }: Given) => foreign.shape(map)[1]
  const grids = pairs
    .map((pair): readonly Given[] => {
      // With four classes these come first, as its authors have them.
      const turned = pair.length === 2 && !joined && (channels(pair[0]!) !== classes || isInPixels(foreign, pair[0]!))
      return turned ? pair.toReversed() : pair
    })
    .sort(([a], [b]) => foreign.cells(b!.map) - foreign.cells(a!.map))
  const isGrid = ([kinds, sides, ...more]: readonly Given[]) =>
    sides !== undefined && more.length === 0 && channels(kinds!) === classes && channels(sides) === 4
  // Scores in front of distances are YOLOv6's.
  if (!grids.every(isGrid) || (joined && grids.some(([kinds]) => areScores(foreign, kinds!)))) return undefined
  return {
    file: foreign,
    grids: grids.map(([kinds, sides]) => ({ kinds: kinds!.map, sides: distancesOf(foreign, sides!.map) })),
    own: grids.flatMap((pair, level) => ownOutputs(foreign, pair, { level, classes, joined })),
    decoded: false,
    words: `${joined ? 'side by side' : 'in a map each'}, not decoded`,
  }
}

function givenOf(foreign: Foreign, output: string, value: string): Given[] {
  const [node, ...more] = lastConvolutions(foreign, value)
  return node && more.length === 0 ? [{ output, value: foreign.behind(value), map: node.outputs[0]! }] : []
}

const areScores = (foreign: Foreign, { value }: Given): boolean => foreign.maker(value)?.op === 'Sigmoid'
const isInPixels = (foreign: Foreign, { value }: Given): boolean => foreign.maker(value)?.op === 'Mul'

/** The map of distances where the last convolution's has their logarithms, or what a file of 8-bit numbers has cut off at 0; else that itself. */
export function distancesOf(foreign: Foreign, map: string): string {
  const [user, ...more] = foreign.users(map)
  return (user?.op === 'Exp' || user?.op === 'Relu') && more.length === 0 ? user.outputs[0]! : map
}

/** What the outputs of a grid must be; of maps that are outputs themselves nothing. */
function ownOutputs(
  foreign: Foreign,
  [kinds, sides]: readonly Given[],
  { level, classes, joined }: { level: number; classes: number; joined: boolean },
): OwnOutput[] {
  const [stride] = foreign.strides([sides!.map], family) as [number]
  const kindsOf = (g: GraphBuilder, { rows, scores, ofLevel }: Decoded) =>
    ofLevel(areScores(foreign, kinds!) ? scores : columns(g, rows, 0, classes), level)
  const sidesOf = (g: GraphBuilder, { rows, ofLevel }: Decoded) =>
    g.scale(ofLevel(columns(g, rows, classes, classes + 4), level), isInPixels(foreign, sides!) ? stride : 1)
  if (joined)
    return [{ output: kinds!.output, make: (g, made) => g.transpose(g.concat([kindsOf(g, made), sidesOf(g, made)], 1), [1, 0]) }]
  const apart = [
    { given: kinds!, make: kindsOf },
    { given: sides!, make: sidesOf },
  ]
  return apart
    .filter(({ given }) => given.value !== distancesOf(foreign, given.map))
    .map(({ given, make }) => ({ output: given.output, make: (g, made) => g.transpose(make(g, made), [1, 0]) }))
}
