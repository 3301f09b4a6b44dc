/**
 * Holds a head against the file that it is to stand in for: the file's own end and ours run on the same random maps, and must give the same
 * numbers. What a family's name and shapes promise is not enough: decoding that differs would give boxes that look right and are wrong.
 */
import ort from 'onnxruntime-node'
import { type Cells, cellsOf } from '../detector/cells.ts'
import { centresOf, columns } from '../detector/heads/head.ts'
import { headOf } from '../detector/heads/table.ts'
import { Random } from '../detector/random.ts'
import type { Specification } from '../detector/specification.ts'
import { GraphBuilder, type Value } from '../graph/builder.ts'
import { writeOnnx } from '../onnx/write.ts'
import type { Foreign } from './foreign.ts'
import { filledMaps, runEnd } from './probe.ts'
import { isProbable, mapOf, type Part, partValue, rowsOf } from './rows.ts'
import { ownName } from './settle.ts'

/** What the head makes of the maps, all [n, ..], and its cells grid by grid. */
export interface Decoded {
  readonly rows: Value
  /** x1 y1 x2 y2 in input pixels. */
  readonly boxes: Value
  readonly scores: Value
  /** Rows of one grid. */
  readonly ofLevel: (value: Value, level: number) => Value
}

/** An output of the file, and the same in the same order of numbers from our rows. */
export interface OwnOutput {
  readonly output: string
  readonly make: (g: GraphBuilder, decoded: Decoded) => Value
}

/** [n, 4] corners as centre x, centre y, width, height. */
export function asCentred(g: GraphBuilder, boxes: Value): Value {
  const [low, high] = [columns(g, boxes, 0, 2), columns(g, boxes, 2, 4)]
  return g.concat([g.scale(g.add(low, high), 0.5), g.sub(high, low)], 1)
}

/** Boxes that a file makes of all its rows before it chooses among them. */
export const ownBoxes = (boxes: readonly string[]): OwnOutput[] =>
  boxes.map((output, level) => ({
    output,
    make: (_, decoded) => (boxes.length === 1 ? decoded.boxes : decoded.ofLevel(decoded.boxes, level)),
  }))

/** Numbers of each grid anchor by anchor, as the file has them, from rows cell by cell. */
export const byAnchor = (g: GraphBuilder, value: Value, perCell: number): Value => {
  const width = value.shape[1]!
  return g.reshape(g.transpose(g.reshape(value, [-1, perCell, width]), [1, 0, 2]), [-1, width])
}

/**
 * @param own the outputs that must agree; none where the file decodes nothing
 * @returns in words where the file gives something else; undefined when all agree
 */
export async function disagreement(
  foreign: Foreign,
  specification: Specification,
  levels: readonly (readonly Part[])[],
  own: readonly OwnOutput[],
): Promise<string | undefined> {
  const random = new Random(5)
  const parts = levels.flat()
  const probable = new Set(parts.filter(isProbable).map(mapOf))
  const maps = filledMaps(foreign, [...new Set(parts.map(mapOf))], (map) =>
    probable.has(map) ? random.uniform() : random.normal() * 0.8,
  )
  let theirs: Float32Array[] = []
  try {
    if (own.length > 0)
      theirs = await runEnd(
        foreign,
        maps,
        own.map(({ output }) => output),
      )
  } catch {
    return 'its outputs hang on more than these maps'
  }
  const cells = cellsOf({ ...foreign.input, ...specification })
  const rows = levels.reduce(
    (sum, parts, level) => sum + foreign.cells(mapOf(parts[0]!)) * (specification.anchors?.[level]?.length ?? 1),
    0,
  )
  if (cells.x.length !== rows) return `its maps have ${rows} rows, grids of its strides ${cells.x.length}`
  if (own.length === 0) return undefined
  const ours = await headOn(foreign, specification, levels, maps, own, cells)
  for (const [i, { output }] of own.entries()) {
    const [a, b] = [theirs[i]!, ours[i]!]
    const name = ownName(output)
    if (a.length !== b.length) return `${name} has ${a.length} numbers where its maps make ${b.length}`
    // Decoded sizes reach some hundred pixels in float32.
    const off = a.findIndex((value, at) => !(Math.abs(value - b[at]!) <= 2e-3 + 2e-4 * Math.abs(value)))
    if (off >= 0)
      return `on the same maps ${name} has ${a[off]!.toPrecision(4)} where this family's decoding gives ${b[off]!.toPrecision(4)}`
  }
  return undefined
}

async function headOn(
  foreign: Foreign,
  specification: Specification,
  levels: readonly (readonly Part[])[],
  maps: ReadonlyMap<string, Float32Array>,
  own: readonly OwnOutput[],
  cells: Cells,
): Promise<Float32Array[]> {
  const { width, height } = foreign.input
  const g = new GraphBuilder('head')
  for (const name of maps.keys()) g.input(name, 'float32', foreign.shape(name))
  const perCell = levels.map((_, level) => specification.anchors?.[level]?.length ?? 1)
  const batched = rowsOf(
    g,
    levels.map((parts) => parts.map((part) => partValue(g, part))),
    perCell,
  )
  const rows = g.reshape(batched, batched.shape.slice(1))
  const decoded: Decoded = {
    rows,
    boxes: headOf(specification).boxes(g, specification, rows, centresOf(g, cells, { width, height })),
    scores: headOf(specification).scores(g, specification, rows),
    ofLevel: (value, level) => g.slice(value, [cells.levels[level]!], [cells.levels[level + 1]!], [0]),
  }
  const names = own.map(({ make }, i) => {
    g.output(make(g, decoded), `own_${i}`)
    return `own_${i}`
  })
  const session = await ort.InferenceSession.create(writeOnnx(g.graph), {
    graphOptimizationLevel: 'disabled',
    logSeverityLevel: 4,
  })
  try {
    const feeds = [...maps].map(([name, data]) => [name, new ort.Tensor('float32', data, foreign.shape(name))] as const)
    const results = await session.run(Object.fromEntries(feeds))
    return names.map((name) => results[name]!.data as Float32Array)
  } finally {
    await session.release()
  }
}
