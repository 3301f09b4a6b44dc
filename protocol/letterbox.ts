/** How a picture becomes a model's input: the one place for training, evaluation and devices. */
import { letterboxScale } from './boxes.ts'
import { blendInto, type Taps, weightOne } from './pixels/pixels.ts'

/** RGB, row by row. */
export interface Picture {
  readonly width: number
  readonly height: number
  readonly data: Uint8Array
}

/** How picture pixels become input pixels. */
export interface Fit {
  readonly scaleX: number
  readonly scaleY: number
}

/** What the models were trained with around a letterboxed picture. */
export const padding = 114

/**
 * A picture in a model's input. `letterbox`: bilinear without low-pass filter, picture at the top left, as YOLOX has it (OpenCV
 * INTER_LINEAR); `stretch`: the mean over each output pixel's area (OpenCV INTER_AREA). Training, evaluation and devices all use this
 * one function, so that they cannot drift apart.
 * @returns RGB [height, width, 3]
 */
export function fitPicture(
  picture: Picture,
  input: { width: number; height: number; resize: 'letterbox' | 'stretch' },
): { tensor: Uint8Array; fit: Fit } {
  const scale = letterboxScale(picture, input)
  const fit =
    input.resize === 'letterbox'
      ? { scaleX: scale, scaleY: scale }
      : { scaleX: input.width / picture.width, scaleY: input.height / picture.height }
  const tensor = new Uint8Array(input.width * input.height * 3).fill(padding)
  if (input.resize === 'stretch') {
    shrinkInto(picture, { data: tensor, width: input.width, height: input.height })
    return { tensor, fit }
  }
  const [width, height] = [
    Math.min(input.width, Math.floor(picture.width * fit.scaleX + 1e-6)),
    Math.min(input.height, Math.floor(picture.height * fit.scaleY + 1e-6)),
  ]
  resizeInto(picture, { data: tensor, width: input.width, height: input.height }, { x: 0, y: 0, width, height })
  return { tensor, fit }
}

/**
 * Bilinear resize of the whole picture into a rectangle of another; what sticks out of `window` ([left, top, right, bottom) in whole
 * pixels; the whole of `into` when left out) is cut off. Pixel centres are aligned at half.
 */
export function resizeInto(
  from: Picture,
  into: { readonly data: Uint8Array; readonly width: number; readonly height: number },
  place: { x: number; y: number; width: number; height: number },
  mirrored = false,
  window: readonly [number, number, number, number] = [0, 0, into.width, into.height],
): void {
  const [x0, x1] = [Math.max(window[0], place.x), Math.min(window[2], place.x + place.width)]
  const [y0, y1] = [Math.max(window[1], place.y), Math.min(window[3], place.y + place.height)]
  const [left, right] = [x0 - place.x, x1 - place.x]
  const columns = mirrored
    ? taps(from.width, place.width, place.width - right, place.width - left)
    : taps(from.width, place.width, left, right)
  if (mirrored) for (const each of [columns.low, columns.share]) each.reverse()
  const rows = taps(from.height, place.height, y0 - place.y, y1 - place.y)
  blendInto(from, columns, rows, into.data, (y0 * into.width + x0) * 3, into.width * 3)
}

/** Where outputs `start` to `end` of `to` come from among the `from` sources of a line. */
function taps(from: number, to: number, start: number, end: number): Taps {
  const count = Math.max(0, end - start)
  const low = new Int32Array(count)
  const share = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    const source = Math.min(Math.max(((start + i + 0.5) * from) / to - 0.5, 0), from - 1)
    low[i] = Math.floor(source)
    share[i] = Math.round((source - low[i]!) * weightOne)
  }
  return { low, share }
}

/** Mean over the area that each output pixel covers; for an enlargement that is the nearest pixel. */
function shrinkInto(from: Picture, into: { readonly data: Uint8Array; readonly width: number; readonly height: number }): void {
  const columns = coverage(from.width, into.width)
  const rows = coverage(from.height, into.height)
  // Rows first into one line of sums, then columns: each source pixel is read about once.
  const line = new Float32Array(from.width * 3)
  for (const [y, row] of rows.entries()) {
    line.fill(0)
    for (const { at, weight } of row)
      for (let i = 0, o = at * from.width * 3; i < line.length; i++, o++) line[i]! += from.data[o]! * weight
    for (const [x, column] of columns.entries()) {
      const o = (y * into.width + x) * 3
      let [r, g, b] = [0.5, 0.5, 0.5]
      for (const { at, weight } of column) {
        r += line[at * 3]! * weight
        g += line[at * 3 + 1]! * weight
        b += line[at * 3 + 2]! * weight
      }
      into.data[o] = r
      into.data[o + 1] = g
      into.data[o + 2] = b
    }
  }
}

/** Which source pixels an output pixel covers, with weights that add up to 1. */
function coverage(from: number, to: number): { at: number; weight: number }[][] {
  const scale = from / to
  return Array.from({ length: to }, (_, i) => {
    const [start, end] = [i * scale, Math.max((i + 1) * scale, i * scale + 1e-6)]
    const parts: { at: number; weight: number }[] = []
    for (let at = Math.floor(start); at < end && at < from; at++) {
      const shared = Math.min(at + 1, end) - Math.max(at, start)
      if (shared > 1e-9) parts.push({ at, weight: shared })
    }
    const sum = parts.reduce((total, { weight }) => total + weight, 0)
    return parts.map(({ at, weight }) => ({ at, weight: weight / sum }))
  })
}
