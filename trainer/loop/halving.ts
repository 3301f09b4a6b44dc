/** Successive halving (Jamieson and Talwalkar, AISTATS 2016): many candidates get little, the better half gets twice as much each; pure but for the evaluation. */

export interface Rung {
  readonly candidates: number
  /** For each of them. */
  readonly budget: number
}

/** Rungs that together spend no more than the budget, as published: each rung gets the same sum. */
export function rungsOf(candidates: number, budget: number): Rung[] {
  const count = Math.ceil(Math.log2(candidates))
  const rungs: Rung[] = []
  for (let left = candidates; left > 1; left = Math.ceil(left / 2))
    rungs.push({ candidates: left, budget: Math.floor(budget / (left * count)) })
  return rungs
}

export interface Tried<T> {
  readonly candidate: T
  readonly budget: number
  readonly value: number
}

/** @param evaluate how good a candidate is with this much; greater is better, the first wins a tie */
export async function halve<T>(
  candidates: readonly T[],
  budget: number,
  evaluate: (candidate: T, budget: number) => Promise<number>,
): Promise<{ best: T; tried: Tried<T>[] }> {
  const [first, ...rest] = candidates
  if (first === undefined) throw new Error('there is nothing to choose from')
  let left: readonly T[] = [first, ...rest]
  const tried: Tried<T>[] = []
  for (const rung of rungsOf(candidates.length, budget)) {
    const results: Tried<T>[] = []
    for (const candidate of left) results.push({ candidate, budget: rung.budget, value: await evaluate(candidate, rung.budget) })
    tried.push(...results)
    left = results
      .toSorted((a, b) => b.value - a.value)
      .slice(0, Math.ceil(left.length / 2))
      .map(({ candidate }) => candidate)
  }
  return { best: left[0] ?? first, tried }
}
