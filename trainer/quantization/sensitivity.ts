/** Which layers suffer most from integers: each is tried alone, all others in float (Wu et al. 2020, 5.1, "partial quantization"). */
import type { Unit } from './plan.ts'

/**
 * Names of the convolutions, the most sensitive first.
 * @param floats already in float, so not tried
 * @param distance from the float file's output when these units are in float
 */
export async function bySensitivity(
  units: readonly Unit[],
  {
    floats,
    distance,
    onUnit,
  }: {
    floats: ReadonlySet<string>
    distance: (floats: ReadonlySet<string>) => Promise<number>
    onUnit?: (done: number, of: number) => void
  },
): Promise<string[]> {
  const tried = units.filter(({ node, name }) => node.op === 'Conv' && !floats.has(name))
  const found: { name: string; distance: number }[] = []
  for (const [i, { name }] of tried.entries()) {
    const others = new Set(units.map((each) => each.name).filter((each) => each !== name))
    found.push({ name, distance: await distance(others) })
    onUnit?.(i + 1, tried.length)
  }
  return found.sort((a, b) => b.distance - a.distance).map(({ name }) => name)
}
