/** Seeded numbers for the drawn street: the same seed draws the same street. */
export interface Random {
  (): number
  between(low: number, high: number): number
  pick<T>(items: readonly T[]): T
}

/** mulberry32 over a hash of all parts. */
export function randomOf(...parts: readonly number[]): Random {
  let state = parts.reduce((hash, part) => Math.imul(hash ^ (part + 0x9e3779b9), 0x85ebca6b) ^ (hash >>> 13), 0x2545f491) >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return Object.assign(next, {
    between: (low: number, high: number) => low + (high - low) * next(),
    pick: <T>(items: readonly T[]): T => items[Math.floor(next() * items.length)]!,
  })
}
