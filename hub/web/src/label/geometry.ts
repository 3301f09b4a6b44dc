/** Tools of the label page in image coordinates: pure functions from boxes and pointers to boxes. */
export type Box = readonly [x1: number, y1: number, x2: number, y2: number]
export interface Point {
  readonly x: number
  readonly y: number
}
export interface Size {
  readonly width: number
  readonly height: number
}

/** Which part of a box a pointer holds: its inside, or sides by compass. */
export type Grip = 'move' | 'n' | 's' | 'e' | 'w' | 'ne' | 'nw' | 'se' | 'sw'

export const smallest = 2

/** Two corners in any order to a box inside the picture. */
export function boxFrom(a: Point, b: Point, { width, height }: Size): Box {
  const within = (value: number, limit: number) => Math.min(Math.max(value, 0), limit)
  return [
    within(Math.min(a.x, b.x), width),
    within(Math.min(a.y, b.y), height),
    within(Math.max(a.x, b.x), width),
    within(Math.max(a.y, b.y), height),
  ]
}

export const isBigEnough = ([x1, y1, x2, y2]: Box) => x2 - x1 >= smallest && y2 - y1 >= smallest

/** A box moved as a whole; it stops at the picture's edge. */
export function moved([x1, y1, x2, y2]: Box, dx: number, dy: number, { width, height }: Size): Box {
  const x = Math.min(Math.max(dx, -x1), width - x2)
  const y = Math.min(Math.max(dy, -y1), height - y2)
  return [x1 + x, y1 + y, x2 + x, y2 + y]
}

/** A box with one grip dragged to a point; dragging past the other side turns it over. */
export function resized([x1, y1, x2, y2]: Box, grip: Grip, to: Point, size: Size): Box {
  if (grip === 'move') return [x1, y1, x2, y2]
  const left = grip.includes('w') ? to.x : x1
  const right = grip.includes('e') ? to.x : x2
  const top = grip.includes('n') ? to.y : y1
  const bottom = grip.includes('s') ? to.y : y2
  return boxFrom({ x: left, y: top }, { x: right, y: bottom }, size)
}

/** The grip of a box at a point, or null; `reach` is how near to a side counts, in image pixels. */
export function gripAt([x1, y1, x2, y2]: Box, { x, y }: Point, reach: number): Grip | null {
  if (x < x1 - reach || x > x2 + reach || y < y1 - reach || y > y2 + reach) return null
  const nearX = Math.min(reach, (x2 - x1) / 3)
  const nearY = Math.min(reach, (y2 - y1) / 3)
  const vertical = y < y1 + nearY ? 'n' : y > y2 - nearY ? 's' : ''
  const horizontal = x < x1 + nearX ? 'w' : x > x2 - nearX ? 'e' : ''
  return (vertical + horizontal || 'move') as Grip
}

/** The smallest box under a point wins: a plate on a car can be taken hold of. */
export function topmostAt(boxes: readonly { readonly box: Box }[], point: Point, reach: number): number {
  let best = -1
  let bestArea = Number.POSITIVE_INFINITY
  for (const [i, { box }] of boxes.entries()) {
    if (!gripAt(box, point, reach)) continue
    const area = (box[2] - box[0]) * (box[3] - box[1])
    if (area < bestArea) {
      best = i
      bestArea = area
    }
  }
  return best
}

/** How image pixels lie on the screen. */
export interface View {
  readonly scale: number
  readonly x: number
  readonly y: number
}

export const toImage = ({ scale, x, y }: View, point: Point): Point => ({ x: (point.x - x) / scale, y: (point.y - y) / scale })

/** The whole picture in the room, centred. */
export function fitted(picture: Size, room: Size, margin = 16): View {
  const scale = Math.max(0.01, Math.min((room.width - 2 * margin) / picture.width, (room.height - 2 * margin) / picture.height))
  return { scale, x: (room.width - picture.width * scale) / 2, y: (room.height - picture.height * scale) / 2 }
}

/** Zoomed so that what is under the pointer stays there. */
export function zoomedAt(view: View, pointer: Point, factor: number, least: number, most = 40): View {
  const scale = Math.min(Math.max(view.scale * factor, least), most)
  const ratio = scale / view.scale
  return { scale, x: pointer.x - (pointer.x - view.x) * ratio, y: pointer.y - (pointer.y - view.y) * ratio }
}
