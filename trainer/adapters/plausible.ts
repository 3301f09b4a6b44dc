/**
 * What a network's outputs look like on a picture: where a file is only run, its numbers must be what its family's are. Scores that are no
 * probabilities, or boxes that lie elsewhere than their cells, are refused instead of being passed on.
 */
import { cellsOf } from '../detector/cells.ts'
import { Random } from '../detector/random.ts'
import { type AdapterOptions, misfit, type Normalization, preparation } from './adapter.ts'
import type { Foreign } from './foreign.ts'
import { runEnd } from './probe.ts'
import { ownName } from './settle.ts'

/** The named outputs, as float32, for a picture of coloured squares, prepared as the network wants it. */
export async function onSample(
  foreign: Foreign,
  { normalization, options }: { normalization: Normalization; options: AdapterOptions },
  names: readonly string[],
): Promise<Float32Array[]> {
  const { name, width, height, channelsLast } = foreign.input
  const { scale, mean, deviation } = preparation(normalization, foreign, options)
  const random = new Random(11)
  const side = 16
  const across = Math.ceil(width / side)
  const colours = Array.from({ length: across * Math.ceil(height / side) * 3 }, () => random.integer(256))
  const data = new Float32Array(width * height * 3)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        const square = Math.floor(y / side) * across + Math.floor(x / side)
        const value = (colours[square * 3 + channel]! * scale - mean[channel]!) / deviation[channel]!
        data[channelsLast ? (y * width + x) * 3 + channel : channel * width * height + y * width + x] = value
      }
    }
  }
  return await runEnd(foreign, new Map([[name, data]]), names)
}

/** @throws MuninnError BAD_MODEL when these are no probabilities */
export function refuseNoProbabilities(family: string, output: string, values: ArrayLike<number>): void {
  let [low, high] = [0, 0]
  for (let i = 0; i < values.length; i++) {
    if (!(values[i]! >= low)) low = values[i]!
    if (!(values[i]! <= high)) high = values[i]!
  }
  if (!(low > -1e-3 && high < 1 + 1e-3))
    throw misfit(
      family,
      `the scores in ${ownName(output)} reach from ${low.toPrecision(3)} to ${high.toPrecision(3)} on a picture, so they are no probabilities: export it with its sigmoid or softmax inside`,
    )
}

export interface BoxForm {
  readonly corners: boolean
  /** In shares of the picture's sides instead of pixels. */
  readonly shares: boolean
}

/** Networks that give distances as plain numbers make a few boxes of less than nothing. */
const mostly = 0.9

/** What the four numbers of each row may be, by whether sizes are sizes; nothing when they are no boxes, or there are none. */
export function boxForms(rows: readonly (readonly number[])[]): BoxForm[] {
  if (rows.length === 0 || !rows.every((row) => row.every(Number.isFinite))) return []
  const shares = Math.max(...rows.map((row) => Math.max(...row))) <= 2
  const slack = shares ? 1e-3 : 0.5
  const part = (fits: (row: readonly number[]) => boolean) => rows.filter(fits).length / rows.length
  return [
    ...(part(([a, b, c, d]) => c! >= a! - slack && d! >= b! - slack) > mostly ? [{ corners: true, shares }] : []),
    ...(part(([, , w, h]) => w! >= 0 && h! >= 0) > mostly ? [{ corners: false, shares }] : []),
  ]
}

/** Grids that detectors of these families have, in strides. */
const grids = [
  [8, 16, 32],
  [8, 16, 32, 64],
  [4, 8, 16, 32],
  [16, 32],
]

/** Every way in which so many rows can lie on grids, with one row a cell or with two to four anchors: centre of each row's cell in pixels. */
export function layoutsOf(
  count: number,
  { width, height }: { width: number; height: number },
  perCell: 'one' | 'anchors',
): { x: number[]; y: number[] }[] {
  const found: { x: number[]; y: number[] }[] = []
  for (const strides of grids) {
    for (const order of [strides, strides.toReversed()]) {
      const levels = order.map((stride) => cellsOf({ width, height, strides: [stride] }))
      const cells = levels.reduce((sum, { x }) => sum + x.length, 0)
      const anchors = count / cells
      if (perCell === 'one' ? anchors !== 1 : ![2, 3, 4].includes(anchors)) continue
      // Anchor by anchor over all cells, or cell by cell.
      const byAnchor = (values: Float32Array) => Array.from({ length: anchors }, () => [...values]).flat()
      const byCell = (values: Float32Array) => [...values].flatMap((value) => Array<number>(anchors).fill(value))
      for (const way of anchors > 1 ? [byAnchor, byCell] : [byAnchor])
        found.push({ x: levels.flatMap(({ x }) => way(x)), y: levels.flatMap(({ y }) => way(y)) })
    }
  }
  return found
}

/** The form in which boxes lie about their cells, so that centres go up and down with these; undefined when they do in none. */
export function formOnGrid(
  rows: readonly (readonly number[])[],
  layouts: readonly { x: readonly number[]; y: readonly number[] }[],
): BoxForm | undefined {
  const centre = (axis: number, { corners }: BoxForm) =>
    rows.map((row) => (corners ? (row[axis]! + row[axis + 2]!) / 2 : row[axis]!))
  const likeness = (form: BoxForm) => {
    const [cx, cy] = [centre(0, form), centre(1, form)]
    return Math.max(...layouts.map(({ x, y }) => Math.min(correlation(cx, x), correlation(cy, y))))
  }
  const [best] = boxForms(rows)
    .map((form) => ({ form, likeness: likeness(form) }))
    .sort((a, b) => b.likeness - a.likeness)
  return best && best.likeness > leastCorrelation ? best.form : undefined
}

/** Decoded centres have 0.9 and more, raw offsets about 0. */
const leastCorrelation = 0.5

function correlation(a: readonly number[], b: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [ma, mb] = [mean(a), mean(b)]
  const sums = a.reduce(
    ({ ab, aa, bb }, value, i) => ({
      ab: ab + (value - ma) * (b[i]! - mb),
      aa: aa + (value - ma) ** 2,
      bb: bb + (b[i]! - mb) ** 2,
    }),
    { ab: 0, aa: 0, bb: 0 },
  )
  return sums.ab / Math.sqrt(sums.aa * sums.bb || 1)
}

/** Rows [n, width] of a flat array. */
export const rowsIn = (data: Float32Array, width: number): number[][] =>
  Array.from({ length: data.length / width }, (_, i) => Array.from(data.subarray(i * width, (i + 1) * width)))
