/** Turns the labels of a batch into the inputs of the training graph. */
import type { Box } from '../../protocol/boxes.ts'
import type { Feeds } from '../engine/feeds.ts'
import { type Assignment, assign as adaptive } from './assignment.ts'
import type { Cells } from './cells.ts'

/**
 * A labelled box in pixels of the model's input; `ignore` marks a region from which nothing may be learnt, and with `classOnly` nothing
 * about that class alone.
 */
export interface Label {
  readonly box: Box
  readonly label: number
  readonly ignore?: boolean
  readonly classOnly?: boolean
}

/** Smaller boxes (input pixels, either side) are left out: augmentation cut them off, and no cell could answer for them. */
const smallest = 2

interface Answer {
  readonly cell: number
  readonly row: number
  readonly truth: Label
}

function groupsBy<T>(items: readonly T[], keyOf: (item: T) => unknown): T[][] {
  const groups = new Map<unknown, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group) group.push(item)
    else groups.set(keyOf(item), [item])
  }
  return [...groups.values()]
}

/** Boxes that may want one cell; of more the others take what they get. */
export const mostRivals = 4

/** The same values again and again. */
function repeated(values: readonly number[], times: number): Float32Array {
  const all = new Float32Array(values.length * times)
  if (times > 0) all.set(values)
  for (let done = values.length; done < all.length; done *= 2) all.copyWithin(done, 0, done)
  return all
}

/** Every place its own only rival, by the number of places: made once, for there are thousands in each of a training's batches. */
const alone = new Map<number, BigInt64Array>()
function aloneOf(positives: number): BigInt64Array {
  const known = alone.get(positives)
  if (known) return known
  const made = new BigInt64Array(positives * mostRivals)
  for (let i = 0; i < made.length; i++) made[i] = BigInt(Math.floor(i / mostRivals))
  alone.set(positives, made)
  return made
}

/** For each candidate the places of those that are the same cell, itself among them. */
function rivalsOf(filled: readonly { row: number; next: number }[], positives: number): BigInt64Array {
  const rivals = aloneOf(positives).slice()
  for (const same of groupsBy(filled, ({ row }) => row))
    for (const { next } of same)
      for (const [i, other] of same.slice(0, mostRivals).entries()) rivals[next * mostRivals + i] = BigInt(other.next)
  return rivals
}

export function targetsOf(
  pictures: readonly (readonly Label[])[],
  options: {
    cells: Cells
    classes: number
    positives: number
    oneHot: boolean
    /** Whether the graph was built for classes that were not looked for everywhere. */
    partial?: boolean
    /** Which cells answer for which box; adaptive training sample selection when left out. */
    assign?: (truths: readonly Box[], cells: Cells) => Assignment[]
    /** Candidates of a box, which stand side by side, for heads that choose among them; 1 when left out. */
    slots?: number
  },
): Feeds {
  const { cells, classes, positives, oneHot, partial = false, assign = adaptive, slots = 1 } = options
  const centreWidth = cells.sizes ? 5 : 3
  const perPicture = cells.x.length
  const index = new BigInt64Array(positives)
  const classIndex = new BigInt64Array(positives * 2)
  // Padding points at the first row with weight 0; its box must be a sane one, or its gradient would be NaN times 0.
  const target = repeated([0, 0, 8, 8], positives)
  const centre = repeated(cells.sizes ? [4, 4, 8, 8, 8] : [4, 4, 8], positives)
  const weight = new Float32Array(positives)
  const hot = new Float32Array(oneHot ? positives * classes : 0)
  const rowWeight = new Float32Array(perPicture * pictures.length).fill(1)
  const classWeight = new Float32Array(partial ? rowWeight.length * classes : 0).fill(1)
  const chosen: Answer[][] = []
  for (const [picture, labels] of pictures.entries()) {
    const first = picture * perPicture
    for (const { box, label, classOnly } of labels.filter(({ ignore }) => ignore)) {
      if (classOnly && !partial) throw new Error('the graph has no input for classes that were not looked for everywhere')
      for (let cell = 0; cell < perPicture; cell++) {
        const [x, y] = [cells.x[cell]!, cells.y[cell]!]
        if (x <= box[0] || x >= box[2] || y <= box[1] || y >= box[3]) continue
        if (classOnly) classWeight[(first + cell) * classes + label] = 0
        else rowWeight[first + cell] = 0
      }
    }
    const truths = labels.filter(({ box, ignore }) => !ignore && box[2] - box[0] >= smallest && box[3] - box[1] >= smallest)
    const assigned = assign(
      truths.map(({ box }) => box),
      cells,
    )
    for (const { cell, unsure } of assigned) if (unsure) rowWeight[first + cell] = 0
    const sure = assigned.filter(({ unsure }) => !unsure)
    const answers = sure.map(({ cell, truth }) => ({ cell, row: first + cell, truth: truths[truth]! }))
    chosen.push(...(slots > 1 ? groupsBy(answers, ({ truth }) => truth) : answers.map((each) => [each])))
  }
  // More than there is room for: some of every picture are kept, and those left out are not learnt as background.
  for (const { row } of chosen.flat()) rowWeight[row] = 0
  const count = Math.min(positives / slots, chosen.length)
  const kept = chosen.filter((_, i) => Math.floor(((i + 1) * count) / chosen.length) > Math.floor((i * count) / chosen.length))
  const filled = kept.flatMap((answers, i) => answers.map((answer, slot) => ({ ...answer, next: i * slots + slot })))
  for (const { next, cell, row, truth } of filled) {
    const { box, label } = truth
    index[next] = BigInt(row)
    classIndex[next * 2] = BigInt(row)
    classIndex[next * 2 + 1] = BigInt(label)
    target.set(box, next * 4)
    centre.set([cells.x[cell]!, cells.y[cell]!, cells.stride[cell]!], next * centreWidth)
    if (cells.sizes) centre.set([cells.sizes.width[cell]!, cells.sizes.height[cell]!], next * centreWidth + 3)
    weight[next] = 1
    if (oneHot) hot[next * classes + label] = 1
    rowWeight[row] = 1
    // A box of a class is known, whoever looked for more of its kind.
    if (partial) classWeight[row * classes + label] = 1
  }
  return {
    index: { type: 'int64', shape: [positives, 1], data: index },
    classIndex: { type: 'int64', shape: [positives, 2], data: classIndex },
    target: { type: 'float32', shape: [positives, 4], data: target },
    centre: { type: 'float32', shape: [positives, centreWidth], data: centre },
    weight: { type: 'float32', shape: [positives, 1], data: weight },
    rowWeight: { type: 'float32', shape: [rowWeight.length, 1], data: rowWeight },
    normalizer: { type: 'float32', shape: [1], data: Float32Array.of(1 / Math.max(1, filled.length)) },
    ...(slots > 1 && { rivals: { type: 'int64', shape: [positives, mostRivals], data: rivalsOf(filled, positives) } as const }),
    ...(partial && { classWeight: { type: 'float32', shape: [rowWeight.length, classes], data: classWeight } as const }),
    ...(oneHot && { oneHot: { type: 'float32', shape: [positives, classes], data: hot } as const }),
  }
}
