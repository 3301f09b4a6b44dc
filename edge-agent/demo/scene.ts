/** What stands and moves where on the drawn street at a time: pure, from the seed and the seconds. */
import { area, type Box, clip } from '../../protocol/boxes.ts'
import type { LabelledBox } from '../../protocol/primitives.ts'
import { draw, type Kind } from './objects.ts'
import { randomOf } from './random.ts'

export const width = 640
export const height = 480
export const horizon = 190
/** Where pavement and road meet, by the picture's row. */
export const curb = 268

/** Seconds after which the street's furniture stands elsewhere, so that samples differ. */
export const sceneSeconds = 5

/** Share of an object that must be seen for it to count. */
const leastVisible = 0.4
const smallestSide = 8

export interface Placed {
  readonly kind: Kind
  readonly svg: string
  readonly box: Box
  /** Row of its foot: what stands lower is nearer. */
  readonly ground: number
}

/** Size of things at a row of the picture. */
export const scaleAt = (ground: number) => 0.28 + ((ground - horizon) / (height - horizon)) * 0.95

function place(
  kind: Kind,
  x: number,
  ground: number,
  {
    seed,
    lit,
    phase = 0,
    mirrored = false,
    grow = 1,
  }: { seed: number; lit: boolean; phase?: number; mirrored?: boolean; grow?: number },
): Placed {
  const scale = scaleAt(ground) * grow
  const { svg, box } = draw(kind, randomOf(seed), { phase, lit })
  const [left, right] = mirrored ? [-box[2], -box[0]] : [box[0], box[2]]
  return {
    kind,
    ground,
    svg: `<g transform="translate(${x.toFixed(1)} ${ground.toFixed(1)}) scale(${((mirrored ? -1 : 1) * scale).toFixed(3)} ${scale.toFixed(3)})">${svg}</g>`,
    box: [x + left * scale, ground + box[1] * scale, x + right * scale, ground + box[3] * scale],
  }
}

/** Everything on the street, farthest first. */
export function placedAt({ seed, seconds, lit }: { seed: number; seconds: number; lit: boolean }): Placed[] {
  const scene = Math.floor(seconds / sceneSeconds)
  const since = seconds - scene * sceneSeconds
  const random = randomOf(seed, scene, 17)
  const things: Placed[] = []
  const id = () => Math.floor(random() * 1e9)
  const some = (most: number, least = 0) => least + Math.floor(random() * (most - least + 1))
  for (let i = some(2, 1); i > 0; i--)
    things.push(
      place('extinguisher_box', random.between(30, width - 30), random.between(232, 244), {
        seed: id(),
        lit,
        grow: random.between(0.9, 1.5),
      }),
    )
  for (let i = some(2); i > 0; i--)
    things.push(
      place('sign', random.between(30, width - 30), random.between(250, 272), {
        seed: id(),
        lit,
        grow: random.between(0.9, 1.3),
      }),
    )
  for (let i = some(2, 1); i > 0; i--)
    things.push(
      place('hydrant', random.between(25, width - 25), random.between(248, 270), {
        seed: id(),
        lit,
        grow: random.between(0.9, 1.4),
      }),
    )
  for (let i = some(2, 1); i > 0; i--)
    things.push(place('manhole', random.between(50, width - 50), random.between(300, 465), { seed: id(), lit }))
  // Nearer furniture on the other side of the road, cut off by the picture's edge now and then.
  if (random() < 0.35)
    things.push(
      place(random.pick(['hydrant', 'sign'] as const), random.between(0, width), random.between(440, 500), {
        seed: id(),
        lit,
        grow: 0.8,
      }),
    )
  for (let i = some(3); i > 0; i--) {
    const mirrored = random() < 0.5
    const ground = mirrored ? random.between(306, 335) : random.between(355, 430)
    const speed = random.between(35, 95) * (mirrored ? 1 : -1)
    things.push(
      place('car', random.between(-60, width + 60) + speed * since, ground, {
        seed: id(),
        lit,
        mirrored,
        grow: random.between(0.85, 1.05),
      }),
    )
  }
  for (let i = some(3); i > 0; i--) {
    const speed = random.between(12, 26) * random.pick([-1, 1])
    things.push(
      place('person', random.between(10, width - 10) + speed * since, random.between(246, 278), {
        seed: id(),
        lit,
        phase: since * 6 + i,
        mirrored: speed > 0,
        grow: random.between(0.9, 1.15),
      }),
    )
  }
  // What lies in the road is under everything that stands on it.
  const depth = ({ kind, ground }: Placed) => (kind === 'manhole' ? 0 : ground)
  return things.sort((a, b) => depth(a) - depth(b))
}

/** The boxes that a careful person would draw: cut at the picture's edge, mostly hidden things left out. */
export function truthOf(things: readonly Placed[]): LabelledBox[] {
  return things.flatMap(({ kind, box }, i) => {
    const inside = clip(box, width, height)
    if (inside[2] - inside[0] < smallestSide || inside[3] - inside[1] < smallestSide) return []
    const nearer = things.slice(i + 1).map((each) => each.box)
    const seen = (area(inside) / area(box)) * visibleShare(inside, nearer)
    return seen < leastVisible
      ? []
      : [{ box: inside.map((each) => Math.round(each * 10) / 10) as [number, number, number, number], label: kind }]
  })
}

/** Share of a box that no nearer box covers, told by a grid of points. */
function visibleShare([x1, y1, x2, y2]: Box, covers: readonly Box[]): number {
  const steps = 8
  let free = 0
  for (let i = 0; i < steps; i++) {
    for (let j = 0; j < steps; j++) {
      const [x, y] = [x1 + ((x2 - x1) * (i + 0.5)) / steps, y1 + ((y2 - y1) * (j + 0.5)) / steps]
      if (!covers.some((box) => x > box[0] && x < box[2] && y > box[1] && y < box[3])) free++
    }
  }
  return free / (steps * steps)
}
