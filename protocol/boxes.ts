/** Box geometry shared by tracking, mining, evaluation and the labelling page. Boxes are [x1, y1, x2, y2] in pixels. */
export type Box = readonly [x1: number, y1: number, x2: number, y2: number]

/** Area in square pixels; an inverted box has none. */
export function area([x1, y1, x2, y2]: Box): number {
  return Math.max(0, x2 - x1) * Math.max(0, y2 - y1)
}

/** Area shared by two boxes, in square pixels. */
export function intersection(a: Box, b: Box): number {
  return Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]))
}

/** Intersection over union (Jaccard index), 0..1; two empty boxes give 0. */
export function iou(a: Box, b: Box): number {
  const shared = intersection(a, b)
  const union = area(a) + area(b) - shared
  return union > 0 ? shared / union : 0
}

/** The part of a box inside a picture of width x height pixels. */
export function clip([x1, y1, x2, y2]: Box, width: number, height: number): Box {
  const inside = (value: number, limit: number) => Math.min(Math.max(value, 0), limit)
  return [inside(x1, width), inside(y1, height), inside(x2, width), inside(y2, height)]
}

/** Scale of the letterbox that fits a picture into a model's input: aspect kept, picture at the top left, rest padded with 114. */
export function letterboxScale(picture: { width: number; height: number }, input: { width: number; height: number }): number {
  return Math.min(input.width / picture.width, input.height / picture.height)
}
