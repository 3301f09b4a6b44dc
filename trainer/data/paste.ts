/** Copy-paste (Ghiasi et al., CVPR 2021): objects of one picture in another. Boxes have no outlines, so their edges are blended. */
import { area, type Box, intersection, iou } from '../../protocol/boxes.ts'
import { type Picture, resizeInto } from '../../protocol/letterbox.ts'
import type { Random } from '../detector/random.ts'
import type { Label } from '../detector/targets.ts'
import type { Input, Labelled } from './augment.ts'

/** Most objects pasted into one picture. */
const most = 4
/** Tries to find a free place for one. */
const tries = 8
/** A place is free when it hides no more than this share of any box there. */
const hidden = 0.2
/** Width of the blended edge, as a share of the object's shorter side. */
const edge = 0.08

/** Objects worth copying: whole ones, of some size, that no other box overlaps. */
export function copyable({ labels }: Pick<Labelled, 'labels'>): Label[] {
  const there = labels.filter(({ classOnly }) => !classOnly)
  return there.filter(
    (each) =>
      !each.ignore &&
      Math.min(each.box[2] - each.box[0], each.box[3] - each.box[1]) >= 6 &&
      there.every((other) => other === each || iou(other.box, each.box) < 0.1),
  )
}

/** A free place of this size, or null after some tries. */
export function freePlace(
  labels: readonly Label[],
  size: { width: number; height: number },
  canvas: Input,
  random: Random,
): Box | null {
  if (size.width > canvas.width || size.height > canvas.height) return null
  for (let i = 0; i < tries; i++) {
    const x = Math.floor(random.uniform() * (canvas.width - size.width + 1))
    const y = Math.floor(random.uniform() * (canvas.height - size.height + 1))
    const place: Box = [x, y, x + size.width, y + size.height]
    if (labels.every(({ box, classOnly }) => classOnly || intersection(place, box) <= hidden * Math.min(area(box), area(place))))
      return place
  }
  return null
}

/** The picture with up to four objects of the other, each at 0.7 to 1.4 of its size, mirrored or not, where there is room. */
export function pasted(onto: Labelled, from: Labelled, random: Random): Labelled {
  const objects = random.shuffle(copyable(from)).slice(0, 1 + random.integer(most))
  const picture: Picture = { ...onto.picture, data: onto.picture.data.slice() }
  const labels = [...onto.labels]
  for (const { box, label } of objects) {
    const source = cut(from.picture, box)
    const scale = random.between(0.7, 1.4)
    const size = { width: Math.round(source.width * scale), height: Math.round(source.height * scale) }
    const mirrored = random.uniform() < 0.5
    const place = Math.min(size.width, size.height) < 4 ? null : freePlace(labels, size, picture, random)
    if (!place) continue
    const object = { ...size, data: new Uint8Array(size.width * size.height * 3) }
    resizeInto(source, object, { x: 0, y: 0, ...size }, mirrored)
    blend(picture, object, place)
    labels.push({ box: place, label })
  }
  return { picture, labels }
}

function cut(picture: Picture, box: Box): Picture {
  const [x0, y0] = [Math.max(0, Math.floor(box[0])), Math.max(0, Math.floor(box[1]))]
  const [x1, y1] = [Math.min(picture.width, Math.ceil(box[2])), Math.min(picture.height, Math.ceil(box[3]))]
  const [width, height] = [Math.max(1, x1 - x0), Math.max(1, y1 - y0)]
  const data = new Uint8Array(width * height * 3)
  for (let row = 0; row < height; row++) {
    const start = ((y0 + row) * picture.width + x0) * 3
    data.set(picture.data.subarray(start, start + width * 3), row * width * 3)
  }
  return { width, height, data }
}

/** Fades in from the edge, so that the edge itself is nothing to learn (Dwibedi et al., Cut, Paste and Learn, ICCV 2017). */
function blend(canvas: Picture, object: Picture, [left, top]: Box): void {
  const { width, height } = object
  const fade = Math.max(1, edge * Math.min(width, height))
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const share = Math.min(1, (Math.min(x, y, width - 1 - x, height - 1 - y) + 1) / (fade + 1))
      const [from, to] = [(y * width + x) * 3, ((top + y) * canvas.width + left + x) * 3]
      for (let c = 0; c < 3; c++) canvas.data[to + c] = canvas.data[to + c]! * (1 - share) + object.data[from + c]! * share + 0.5
    }
  }
}
