/** Finds all look-alikes among many thumbnails without comparing each with each. Exact: any two that are alike get into one cluster. Pure. */

/**
 * The mean squared difference of two thumbnails is no less than that of the means of their parts (Jensen's inequality). So look-alikes lie in
 * one cell of a grid over the means of bands of rows, or in two that touch; and the means of smaller parts tell most others apart. They
 * are a line of the processor's cache each.
 */
const bands = 4
const parts = 16

/**
 * @param thumbnails all of one size, a multiple of 16 cells: parts of unequal size would not be bounded so
 * @param within mean squared difference below which two are alike; what is alike to the same one is of one cluster
 * @returns of each thumbnail, the first of its cluster
 */
export function clustersOf(thumbnails: readonly Uint8Array[], within: number): number[] {
  const first = thumbnails.map((_, i) => i)
  const root = (i: number): number => {
    let at = i
    while (first[at] !== at) at = first[at] = first[first[at]!]!
    return at
  }
  const side = Math.sqrt(within * bands)
  const across = Math.ceil(256 / side) + 2
  const around = keysAround(across)
  const means = meansOf(thumbnails)
  const alike = (i: number, j: number) =>
    areMeansNear(means, i, j, within) && difference(thumbnails[i]!, thumbnails[j]!, within) < within
  /** Of each cell its thumbnails, those together that were of one cluster when they came. */
  const grid = new Map<number, number[][]>()
  for (const i of thumbnails.keys()) {
    const key = keyOf(bandMeans(means, i), { side, across })
    for (const by of around)
      for (const group of grid.get(key + by) ?? []) {
        // One like it is enough to be of its cluster.
        const [a, b] = [root(i), root(group[0]!)]
        if (a !== b && group.some((j) => alike(i, j))) first[Math.max(a, b)] = Math.min(a, b)
      }
    const groups = grid.get(key)
    const own = groups?.find(([j]) => root(j!) === root(i))
    if (own) own.push(i)
    else if (groups) groups.push([i])
    else grid.set(key, [[i]])
  }
  return first.map((_, i) => root(i))
}

/**
 * Look-alikes on both sides of a split.
 * @returns for each of `second` that has one among `first`, its place and that of one of them
 */
export function acrossSplit(
  first: readonly Uint8Array[],
  second: readonly Uint8Array[],
  within: number,
): { first: number; second: number }[] {
  const clusters = clustersOf([...first, ...second], within)
  const members = new Map<number, number[]>()
  for (const i of first.keys()) {
    const known = members.get(clusters[i]!)
    if (known) known.push(i)
    else members.set(clusters[i]!, [i])
  }
  return second.flatMap((thumbnail, place) => {
    // Of one cluster are also those that are only like a third one. The most alike is not looked for: that would be each with each.
    const found = members.get(clusters[first.length + place]!)?.find((i) => difference(first[i]!, thumbnail, within) < within)
    return found === undefined ? [] : [{ first: found, second: place }]
  })
}

/** Mean squared difference; stops counting at `enough`. */
export function difference(a: Uint8Array, b: Uint8Array, enough: number): number {
  const limit = enough * a.length
  let sum = 0
  for (let i = 0; i < a.length && sum < limit; i++) {
    const by = a[i]! - b[i]!
    sum += by * by
  }
  return sum / Math.max(1, a.length)
}

/** Means of the parts, one thumbnail behind the other. */
function meansOf(thumbnails: readonly Uint8Array[]): Float32Array {
  const means = new Float32Array(thumbnails.length * parts)
  for (const [at, thumbnail] of thumbnails.entries()) {
    const size = thumbnail.length / parts
    for (let i = 0; i < thumbnail.length; i++) means[at * parts + Math.floor(i / size)]! += thumbnail[i]! / size
  }
  return means
}

/** Differences come in steps of a whole number over the cells, so that rounding decides nothing. */
function areMeansNear(means: Float32Array, i: number, j: number, within: number): boolean {
  let sum = 0
  for (let part = 0; part < parts; part++) {
    const by = means[i * parts + part]! - means[j * parts + part]!
    sum += by * by
  }
  return sum < within * parts
}

function bandMeans(means: Float32Array, i: number): number[] {
  const size = parts / bands
  return Array.from({ length: bands }, (_, band) => {
    const from = i * parts + band * size
    return means.subarray(from, from + size).reduce((sum, value) => sum + value / size, 0)
  })
}

const keyOf = (means: readonly number[], { side, across }: { side: number; across: number }): number =>
  means.reduce((key, mean) => key * across + Math.floor(mean / side) + 1, 0)

/** From a cell to itself and all that touch it. */
const keysAround = (across: number): number[] =>
  Array.from({ length: bands }).reduce<number[]>((keys) => keys.flatMap((key) => [-1, 0, 1].map((by) => key * across + by)), [0])
