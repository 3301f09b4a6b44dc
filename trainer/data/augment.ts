/** Augmentation: mosaic (YOLOv4, Bochkovskiy et al. 2020), mixup, scale, place, mirror, and colour; pure, from one random source. */
import { area, type Box, clip, letterboxScale } from '../../protocol/boxes.ts'
import { type Picture, padding, resizeInto } from '../../protocol/letterbox.ts'
import { transformColours } from '../../protocol/pixels/pixels.ts'
import type { Random } from '../detector/random.ts'
import type { Label } from '../detector/targets.ts'

export interface Labelled {
  readonly picture: Picture
  readonly labels: readonly Label[]
}

export interface Input {
  readonly width: number
  readonly height: number
}

/** Shares of pictures and strengths of changes, as a recipe has them. */
export interface Augmentation {
  readonly mosaic: number
  readonly mixup: number
  readonly copyPaste: number
  readonly plain: number
  readonly scale: number
  readonly colour: number
}
type Strength = Pick<Augmentation, 'scale' | 'colour'>

/** A box of which less is left by a cut is no longer that object. */
const leastVisible = 0.3

/** Draws a picture into a blank canvas at a scale and place, mirrored or not, and moves its labels along; `window` is what may be drawn on. */
function draw(
  canvas: Picture,
  { picture, labels }: Labelled,
  place: { x: number; y: number; scale: number; mirrored: boolean },
  window: Box,
): Label[] {
  const [width, height] = [
    Math.max(1, Math.round(picture.width * place.scale)),
    Math.max(1, Math.round(picture.height * place.scale)),
  ]
  const [x0, y0, x1, y1] = window.map(Math.round) as [number, number, number, number]
  resizeInto(picture, canvas, { x: place.x, y: place.y, width, height }, place.mirrored, [x0, y0, x1, y1])
  return labels.flatMap(({ box, ...rest }) => {
    const [left, right] = place.mirrored ? [picture.width - box[2], picture.width - box[0]] : [box[0], box[2]]
    const moved: Box = [
      left * place.scale + place.x,
      box[1] * place.scale + place.y,
      right * place.scale + place.x,
      box[3] * place.scale + place.y,
    ]
    const [cx1, cy1, cx2, cy2] = clip([moved[0] - x0, moved[1] - y0, moved[2] - x0, moved[3] - y0], x1 - x0, y1 - y0)
    const visible: Box = [cx1 + x0, cy1 + y0, cx2 + x0, cy2 + y0]
    // Of a region that says nothing, what is left still says nothing.
    const enough = rest.ignore ? area(visible) > 0 : area(visible) >= leastVisible * area(moved) && area(visible) > 4
    return enough ? [{ ...rest, box: visible }] : []
  })
}

/** What pictures are drawn on; one serves for many, as each wipes it first. */
export const canvasOf = ({ width, height }: Input): Picture => ({ width, height, data: new Uint8Array(width * height * 3) })

const wipe = ({ data }: Picture) => data.fill(padding)

/** The picture as it will be evaluated: letterboxed, nothing changed. */
export function plain(sample: Labelled, canvas: Picture): Labelled {
  wipe(canvas)
  const scale = letterboxScale(sample.picture, canvas)
  const labels = draw(canvas, sample, { x: 0, y: 0, scale, mirrored: false }, [0, 0, canvas.width, canvas.height])
  return { picture: canvas, labels }
}

/** A factor between `low` and `high` at strength 1, nearer to 1 (or farther from it) at others. */
const factor = (low: number, high: number, strength: number, random: Random): number => random.between(low, high) ** strength

/** One picture: scaled by 0.6 to 1.5 at strength 1, moved, mirrored half of the time, in other light. */
export function single(sample: Labelled, canvas: Picture, strength: Strength, random: Random): Labelled {
  wipe(canvas)
  const scale = letterboxScale(sample.picture, canvas) * factor(0.6, 1.5, strength.scale, random)
  const spare = (size: number, room: number) => Math.round((room - size * scale) * random.uniform())
  const place = {
    x: spare(sample.picture.width, canvas.width),
    y: spare(sample.picture.height, canvas.height),
    scale,
    mirrored: random.uniform() < 0.5,
  }
  const labels = draw(canvas, sample, place, [0, 0, canvas.width, canvas.height])
  recolour(canvas, strength.colour, random)
  return { picture: canvas, labels }
}

/** Four pictures around a random centre. */
export function mosaic(
  samples: readonly [Labelled, Labelled, Labelled, Labelled],
  canvas: Picture,
  strength: Strength,
  random: Random,
): Labelled {
  wipe(canvas)
  const { width, height } = canvas
  const [cx, cy] = [Math.round(width * random.between(0.3, 0.7)), Math.round(height * random.between(0.3, 0.7))]
  const windows: Box[] = [
    [0, 0, cx, cy],
    [cx, 0, width, cy],
    [0, cy, cx, height],
    [cx, cy, width, height],
  ]
  const labels = samples.flatMap((sample, i) => {
    const window = windows[i]!
    const scale = letterboxScale(sample.picture, canvas) * factor(0.5, 1.2, strength.scale, random)
    const within = (low: number, high: number, size: number) => Math.round(low + (high - low - size) * random.uniform())
    const place = {
      x: within(window[0], window[2], sample.picture.width * scale),
      y: within(window[1], window[3], sample.picture.height * scale),
      scale,
      mirrored: random.uniform() < 0.5,
    }
    return draw(canvas, sample, place, window)
  })
  recolour(canvas, strength.colour, random)
  return { picture: canvas, labels }
}

/** Two pictures of one size seen through each other, half and half, with the boxes of both (as YOLOX does it). */
export function mixed(a: Labelled, b: Labelled): Labelled {
  const data = a.picture.data.map((value, i) => (value + b.picture.data[i]! + 1) >> 1)
  return { picture: { ...a.picture, data }, labels: [...a.labels, ...b.labels] }
}

/** Shares of red, green and blue in brightness (ITU-R BT.601). */
const luma = [0.299, 0.587, 0.114]

/** Other light: saturation, contrast, brightness and a slight colour cast, in one pass. */
function recolour({ data }: Picture, strength: number, random: Random): void {
  const around = (value: number, spread: number) => value + random.between(-spread, spread) * strength
  const saturation = around(1, 0.5)
  const contrast = around(1, 0.3)
  const brightness = around(0, 30)
  const cast = [around(1, 0.08), around(1, 0.08), around(1, 0.08)] as const
  // (luma + (x - luma) saturation) cast contrast + 128 (1 - contrast) + brightness, as one matrix.
  const offset = 128 - 128 * contrast + brightness
  transformColours(
    data,
    cast.map((share, channel) => {
      const grey = share * contrast * (1 - saturation)
      const own = share * contrast * saturation
      const [red, green, blue] = luma.map((weight, i) => weight * grey + (i === channel ? own : 0)) as [number, number, number]
      return [red, green, blue, offset]
    }),
  )
}
